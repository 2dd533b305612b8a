"""What a self-test must come to, by Agent version and fault, wherever it runs."""

from __future__ import annotations

from handlers.model import Verdict

ERAS = (
    ("7.34.0", "helm", True),
    ("7.50.3", "helm", True),
    ("7.60.1", "helm", True),
    ("7.66.0", "helm", True),
    ("7.70.1", "helm", True),
    ("7.70.1", "operator", True),
    ("7.78.0", "helm", False),
)
"""Version, installation, and whether there is a security-agent."""


def agent_tests_itself(version: str) -> bool:
    """Whether the Agent tests itself, so that nothing may be triggered on it."""
    return int(version.split(".")[1]) >= 65


def expected(version: str, fault: str) -> tuple[Verdict, str | None]:
    """The verdict, and the code of the only finding."""
    old = version == "7.34.0"
    return {
        "": (Verdict.UNKNOWN, "selftest.no_block") if old else (Verdict.PASS, None),
        "rule_failed": (Verdict.FAIL, "selftest.rule_failed"),
        "all_failed": (Verdict.FAIL, "selftest.rule_failed"),
        "disabled": (Verdict.UNKNOWN, "selftest.disabled"),
        "module_down": (Verdict.FAIL, "selftest.socket_dead"),
        "refused": (Verdict.FAIL, "selftest.socket_refused"),
        "hang": (Verdict.UNKNOWN, "agent.timeout"),
        "ebpfless": (Verdict.SKIPPED, "selftest.ebpfless"),
    }[fault]
