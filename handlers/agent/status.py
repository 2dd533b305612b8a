"""
Parse what `security-agent status` and `agent status` print about the runtime security module, as JSON or as text.

Sources: DataDog/datadog-agent:pkg/security/agent/status_provider.go@39b5c6f6 and
status_templates/runtimesecurity.tmpl@0bf8273d (security-agent),
pkg/status/systemprobe/status_templates/systemprobe.tmpl@0e10f34e and pkg/eventmonitor/eventmonitor.go (Agent),
comp/core/status/statusimpl/common_header_provider.go@1c6edd7e (the header of both).

The Agent that prints it may be broken or hostile: what was not seen is `None`, and what does not fit is a fault, never
a guess. All parsing is linear in the length of its input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import re2

from handlers.agent.timestamps import NodeClock, Stamp, read_stamp

MAX_RULES = 50
_NOT_TOLD = "<no value>"
_HEADING = re2.compile(r"[=\-~^]{3,}")
_STATUS_DATE = re2.compile(r"(?:Status date|System time): [^\n]{0,200}\((\d{12,14})\)")
_TITLES = {"Runtime Security", "CWS (runtime security)"}


@dataclass(frozen=True, slots=True)
class SelfTests:
    """The contents of a Self Tests block."""

    stamp: Stamp | None
    """When the module finished its last self-test."""
    succeeded: tuple[str, ...] | None
    failed: tuple[str, ...] | None
    lines: tuple[str, ...]
    """The block, for evidence; not redacted."""
    faults: tuple[str, ...] = ()
    """Descriptions of what could not be read in the block."""


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """The contents of one status. Any field but `tests` may be missing from a complete status."""

    tests: SelfTests | None = None
    """`None` when the status has no results: the module did not answer, or has no self-tests."""
    enabled: bool | None = None
    """
    False when the status says `Not enabled`; `None` when it has no section about the module. In direct-send mode (from
    7.71) security-agent says `Not enabled` of a module that is on.
    """
    connected: bool | None = None
    """Whether security-agent is connected to the module's stream of events."""
    events_received: int | None = None
    """Events that security-agent has received since it started."""
    trouble: str = ""
    """Why the module could not be queried, in the Agent's words; not redacted."""
    clock: NodeClock | None = None
    """The node's time when the status was made, without the time zone."""
    is_json: bool = False


def read_status(text: str) -> RuntimeStatus:
    """Parse a status. Never raises."""
    document = _json_object(text)
    return _from_text(text) if document is None else _from_json(document)


# -- JSON ----------------------------------------------------------------------------------------------------------


def _json_object(text: str) -> Mapping[str, Any] | None:
    """The first JSON object. security-agent prints a line of text before it, the Agent none."""
    start = text.find("{")
    if start < 0 or (start > 0 and text[start - 1] != "\n"):
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _from_json(document: Mapping[str, Any]) -> RuntimeStatus:
    nanoseconds = document.get("time_nano")
    clock = _clock(nanoseconds / 1e9) if isinstance(nanoseconds, int | float) else None
    security_agent = document.get("runtimeSecurityStatus")
    if isinstance(security_agent, dict):
        return RuntimeStatus(
            tests=_tests_of(security_agent.get("selfTests")),
            enabled=True,
            connected=_boolean(security_agent.get("connected")),
            events_received=_count(security_agent.get("eventReceived")),
            clock=clock,
            is_json=True,
        )
    probe = document.get("systemProbeStats")
    if not isinstance(probe, dict):
        # security-agent leaves its part out when Workload Protection is off there; in text that is `Not enabled`.
        off = document.get("flavor") == "security_agent" and security_agent is None
        return RuntimeStatus(enabled=False if off else None, clock=clock, is_json=True)
    if trouble := probe.get("Errors"):
        return RuntimeStatus(trouble=f"system-probe cannot be asked: {trouble}", clock=clock, is_json=True)
    monitor = probe.get("event_monitor")
    module = monitor.get("cws") if isinstance(monitor, dict) else None
    if isinstance(module, str):
        return RuntimeStatus(enabled=True, trouble=module, clock=clock, is_json=True)
    if not isinstance(module, dict):
        return RuntimeStatus(clock=clock, is_json=True)
    return RuntimeStatus(tests=_tests_of(module.get("SelfTests")), enabled=True, clock=clock, is_json=True)


def _tests_of(block: Any) -> SelfTests | None:
    """Parse a Self Tests block in JSON. One of the two commands leaves empty lists out, the other prints null."""
    if not isinstance(block, dict):
        return None
    stamp = block.get("LastTimestamp")
    succeeded, failed = _names(block.get("Success")), _names(block.get("Fails"))
    if not stamp and not succeeded and not failed:
        return None
    text = stamp if isinstance(stamp, str) else json.dumps(stamp)[:60]
    lines = (f"Last execution: {text}", *_listed("Succeeded", succeeded), *_listed("Failed", failed))
    return _checked(text, succeeded, failed, lines)


def _names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_RULES or not all(isinstance(name, str) for name in value):
        return None
    return tuple(value)


def _listed(label: str, names: tuple[str, ...] | None) -> Sequence[str]:
    if names is None:
        return (f"{label}: (cannot be read)",)
    return (f"{label}:", *(f"- {name}" for name in names)) if names else (f"{label}: none",)


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# -- text ----------------------------------------------------------------------------------------------------------


def _from_text(text: str) -> RuntimeStatus:
    lines = [line.rstrip() for line in text.splitlines()]
    headings = list(_headings(lines))
    blocks = [block for at in headings if lines[at].strip() == "Self Tests" and (block := _block(lines, at))]
    tests = blocks[0] if blocks else None
    if tests is not None and any(_content(other) != _content(tests) for other in blocks[1:]):
        tests = SelfTests(None, None, None, tests.lines, ("there are several blocks, and they contradict one another",))
    section = next((at for at in headings if lines[at].strip() in _TITLES), None)
    following = [line.strip() for line in lines[section + 2 : section + 12]] if section is not None else []
    date = _STATUS_DATE.search(text)
    return RuntimeStatus(
        tests=tests,
        enabled=None if section is None else next((line for line in following if line), "") != "Not enabled",
        connected=_boolean({"true": True, "false": False}.get(_value(following, "Connected"))),
        events_received=int(received) if (received := _value(following, "Events received")).isdecimal() else None,
        trouble=_trouble(lines, headings),
        clock=_clock(int(date[1]) / 1000) if date else None,
    )


def _headings(lines: Sequence[str]) -> Iterator[int]:
    for number in range(len(lines) - 1):
        if lines[number].strip() and _HEADING.fullmatch(lines[number + 1].strip()):
            yield number


def _trouble(lines: Sequence[str], headings: Sequence[int]) -> str:
    """The Agent's message when it cannot query system-probe."""
    for at in headings:
        if lines[at].strip() != "System Probe":
            continue
        following = [line.strip() for line in lines[at + 2 : at + 8]]
        if _value(following, "Status") == "Not running or unreachable":
            return f"system-probe cannot be asked: {_value(following, 'Error')}"
    return ""


def _value(lines: Sequence[str], label: str) -> str:
    return next((line.partition(":")[2].strip()[:300] for line in lines if line.startswith(f"{label}:")), "")


def _content(block: SelfTests) -> tuple[object, ...]:
    return (block.stamp, block.succeeded, block.failed)


def _block(lines: Sequence[str], start: int) -> SelfTests | None:
    """Parse the block under a heading; `None` when it has no results."""
    shown: list[str] = []
    for number in range(start + 2, min(start + 2 + 4 * MAX_RULES, len(lines))):
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if lines[number].strip() and _HEADING.fullmatch(following):
            break
        if lines[number].strip():
            shown.append(lines[number].strip())
    if not shown:
        return None
    stamps = [line.partition(":")[2].strip() for line in shown if line.startswith("Last execution:")]
    succeeded, failed = _rules(shown, "Succeeded"), _rules(shown, "Failed")
    if stamps == [_NOT_TOLD] and not succeeded and not failed:
        return None
    return _checked(stamps[0] if len(stamps) == 1 else None, succeeded, failed, tuple(shown))


def _rules(lines: Sequence[str], label: str) -> tuple[str, ...] | None:
    """
    The rule ids under a label: `none`, or a list with dashes on the lines that follow. `None` when they cannot be read.
    """
    at = [number for number, line in enumerate(lines) if line.startswith(f"{label}:")]
    if len(at) != 1:
        return None
    rest = lines[at[0]].partition(":")[2].strip()
    if rest == "none":
        return ()
    found = []
    for line in lines[at[0] + 1 :]:
        if not line.startswith("- "):
            break
        found.append(line[2:].strip())
    return tuple(found) if found and not rest else None


# -- both ----------------------------------------------------------------------------------------------------------


def _checked(
    stamp: str | None, succeeded: tuple[str, ...] | None, failed: tuple[str, ...] | None, lines: tuple[str, ...]
) -> SelfTests:
    """Make a block from its parts, with a fault for each part that is missing or cannot be read."""
    read = read_stamp(stamp) if stamp is not None else None
    faults = []
    if stamp is None:
        faults.append("it has no time of the last execution")
    elif read is None:
        faults.append(f"the time of the last execution cannot be read: {stamp[:60]!r}")
    faults += [
        f"it has no list of {what} tests"
        for what, rules in (("succeeded", succeeded), ("failed", failed))
        if rules is None
    ]
    return SelfTests(read, succeeded, failed, lines, tuple(faults))


def _clock(seconds: float) -> NodeClock | None:
    try:
        return NodeClock(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None
