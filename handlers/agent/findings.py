"""
Every finding of the self-test, with its severity and what it makes of the verdict. One table.

`fail` is for what was observed to be wrong; whatever kept us from observing is `unknown`. Codes are a fixed
surface: other programs match on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from handlers import errors
from handlers.model import Severity, Verdict


class Kind(NamedTuple):
    """What a finding code stands for. `summary` may use {agent}, {detail} and {container}."""

    severity: Severity
    verdict: Verdict
    summary: str


_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_FAIL, _UNKNOWN = Verdict.FAIL, Verdict.UNKNOWN

SELFTEST: Mapping[str, Kind] = {
    "selftest.rule_failed": Kind(_HIGH, _FAIL, "The self-test failed: {detail}."),
    "selftest.errored": Kind(_HIGH, _FAIL, "The Agent could not run its self-test."),
    "selftest.socket_dead": Kind(_HIGH, _FAIL, "The runtime security module is down: its socket does not exist."),
    "selftest.socket_refused": Kind(
        _HIGH, _FAIL, "The runtime security module is down: nothing answers on its socket."
    ),
    "selftest.not_enabled": Kind(_HIGH, _FAIL, "Workload Protection is not enabled on this Agent."),
    "selftest.disabled": Kind(_MEDIUM, _UNKNOWN, "Self-tests are disabled on this Agent, or their set-up failed."),
    "selftest.ebpfless": Kind(
        _LOW, Verdict.SKIPPED, "This Agent works without eBPF, where the self-test cannot be asked for."
    ),
    "selftest.permission_denied": Kind(
        _MEDIUM, _UNKNOWN, "The module's socket may not be opened by the user that ran the command."
    ),
    "selftest.module_starting": Kind(_LOW, _UNKNOWN, "The runtime security module is still starting."),
    "selftest.already_running": Kind(_LOW, _UNKNOWN, "Another self-test was running on this Agent."),
    "selftest.unknown_command": Kind(_MEDIUM, _UNKNOWN, "No binary of this Agent knows the self-test's command."),
    "selftest.no_command": Kind(
        _MEDIUM, _UNKNOWN, "The Agent has neither a system-probe nor a security-agent container."
    ),
    "selftest.unreadable": Kind(_MEDIUM, _UNKNOWN, "What the Agent said cannot be read: {detail}."),
    "selftest.no_block": Kind(_MEDIUM, _UNKNOWN, "The Agent's status does not say which self-tests succeeded."),
    "selftest.never_finished": Kind(_MEDIUM, _UNKNOWN, "The status says that a self-test has never finished."),
    "selftest.stale": Kind(_MEDIUM, _UNKNOWN, "The self-test's results are too old to count: {detail}."),
    "selftest.future": Kind(
        _MEDIUM, _UNKNOWN, "The self-test's results are from the future: {detail}. Check the node's clock."
    ),
    "selftest.contradiction": Kind(_MEDIUM, _UNKNOWN, "The results contradict themselves: {detail}."),
    "selftest.incomplete": Kind(_MEDIUM, _UNKNOWN, "Not every test has a result: {detail}."),
}

AGENT: Mapping[str, Kind] = {
    "agent.not_running": Kind(_HIGH, _UNKNOWN, "The Agent is not running: {detail}."),
    "agent.container_not_ready": Kind(_HIGH, _UNKNOWN, "Its container is not ready: {detail}."),
    "agent.unreachable": Kind(_MEDIUM, _UNKNOWN, "The Agent could not be reached."),
    "agent.denied": Kind(_MEDIUM, _UNKNOWN, "csm was not allowed to run the command."),
    "agent.vanished": Kind(_MEDIUM, _UNKNOWN, "The Agent is no longer there."),
    "agent.throttled": Kind(_LOW, _UNKNOWN, "The platform had too many requests."),
    "agent.binary_missing": Kind(_MEDIUM, _UNKNOWN, "The Agent's binary is not where it should be."),
    "agent.timeout": Kind(_HIGH, _UNKNOWN, "The Agent did not answer in time."),
    "agent.output_limit": Kind(_MEDIUM, _UNKNOWN, "The Agent printed more than it may."),
    "agent.connection_lost": Kind(_MEDIUM, _UNKNOWN, "The connection was lost while the Agent was asked."),
    "agent.no_exit_status": Kind(_LOW, _UNKNOWN, "The platform did not say how the command ended."),
}

KINDS: Mapping[str, Kind] = {**SELFTEST, **AGENT}

CODES: Mapping[type[errors.ExecError], str] = {
    errors.Unreachable: "agent.unreachable",
    errors.Denied: "agent.denied",
    errors.Vanished: "agent.vanished",
    errors.NotReady: "agent.container_not_ready",
    errors.Throttled: "agent.throttled",
    errors.BinaryMissing: "agent.binary_missing",
    errors.DeadlineExceeded: "agent.timeout",
    errors.OutputLimitExceeded: "agent.output_limit",
    errors.ConnectionLost: "agent.connection_lost",
    errors.NoExitStatus: "agent.no_exit_status",
}
"""The finding for each way in which a command does not end by itself."""
