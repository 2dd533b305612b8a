#!/usr/bin/env python3
"""
The stand-in Agent: answers as a Datadog Agent of a chosen version does, faults included.

One file, standard library only, Python 3.8 and up: it is copied into containers, run as `system-probe`,
`security-agent` and `agent`, and imported where a whole fleet is played in one process. What it prints is
what the Agent's sources print (DataDog/datadog-agent: cmd/system-probe/subcommands/runtime/selftest.go@26727419,
pkg/security/agent/status_templates/runtimesecurity.tmpl@0bf8273d, pkg/cli/subcommands/version/command.go@15d68ebc).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Mapping, Sequence

RULES = tuple("datadog_agent_cws_self_test_rule_" + what for what in ("open", "chmod", "chown"))

FAULTS = {
    "rule_failed": "one of the three tests fails",
    "all_failed": "all tests fail",
    "disabled": "self-tests are switched off",
    "not_enabled": "Workload Protection is switched off",
    "module_down": "the module's socket does not exist",
    "refused": "nothing listens on the module's socket",
    "permission_denied": "the module's socket may not be opened",
    "ebpfless": "the Agent works without eBPF",
    "never_finished": "no self-test has ever finished",
    "stale": "the results are of yesterday",
    "future": "the results are of tomorrow",
    "contradiction": "a test both succeeded and failed",
    "missing_rule": "one test has no result",
    "no_block": "the status has no results",
    "garbage": "the status cannot be read",
    "already_running": "another self-test is running",
    "starting": "the module is still starting",
    "hang": "the self-test never answers",
    "deaf": "the self-test never answers, and ignores that it is asked to end",
    "status_hangs": "the status never answers",
    "noisy": "log lines come before the answer",
    "hostile": "it prints escape sequences, mentions and what looks like secrets",
}
"""What can be wrong with a stand-in Agent, in words."""

SOCKET = "DD_RUNTIME_SECURITY_CONFIG_SOCKET"
SOCKET_PATH = "/var/run/sysprobe/runtime-security.sock"
NAMES = {"agent": "Agent", "datadog-agent": "Agent", "security-agent": "Security agent", "system-probe": "System Probe"}


@dataclass
class Behaviour:
    """Which Agent is played."""

    version: str = "7.70.1"
    installation: str = "helm"
    """`helm`, `operator`, `kubernetes`, `docker` or `host`."""
    security_agent: bool = True
    """Whether there is a security-agent at all."""
    fault: str = ""
    """A name of `FAULTS`, or nothing."""
    delay_s: float = 0.0
    """How long each answer takes."""

    @classmethod
    def from_json(cls, text: str) -> Behaviour:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def era(self) -> tuple[int, ...]:
        parts = self.version.split("-")[0].split(".")
        return (int(parts[1]), int(parts[2]))


@dataclass
class Reply:
    """What the process does: wait, print, exit; or never exit."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
    delay_s: float = 0.0
    hang: bool = False
    deaf: bool = False
    """Ignores SIGTERM."""
    raw_stdout: bytes = field(default=b"", repr=False)

    @property
    def stdout_bytes(self) -> bytes:
        return self.raw_stdout or self.stdout.encode()


def reply(
    argv: Sequence[str],
    env: Mapping[str, str],
    behaviour: Behaviour,
    *,
    now: float | None = None,
) -> Reply:
    """Answer one command. `now` is seconds since the epoch, UTC."""
    binary = os.path.basename(argv[0])  # noqa: PTH119 - one file without a need for paths
    arguments = list(argv[1:])
    now = time.time() if now is None else now
    if binary not in NAMES or (binary == "security-agent" and not behaviour.security_agent):
        return Reply(stderr="exec: %s: no such file or directory\n" % argv[0], exit_status=127)
    if arguments[:1] == ["version"]:
        answer = Reply(
            "%s %s - Commit: 0123456789 - Serialization version: v5.0.120 - Go version: go1.24.6\n"
            % (NAMES[binary], behaviour.version)
        )
    elif arguments[:1] == ["status"]:
        answer = _status(binary, behaviour, now)
    elif arguments[:2] == ["runtime", "self-test"]:
        answer = _self_test(binary, env, behaviour)
    else:
        answer = _unknown_command(binary, arguments[0] if arguments else "")
    answer.delay_s = behaviour.delay_s
    return answer


def _unknown_command(binary: str, word: str) -> Reply:
    return Reply(stderr='Error: unknown command "%s" for "%s"\n' % (word, binary), exit_status=255)


def _self_test(binary: str, env: Mapping[str, str], behaviour: Behaviour) -> Reply:
    era = behaviour.era
    if (
        binary == "agent"
        or (binary == "security-agent" and era >= (67, 0))
        or (binary == "system-probe" and era < (57, 0))
    ):
        return _unknown_command(binary, "runtime")
    fault = behaviour.fault
    if fault in ("hang", "deaf"):
        return Reply(hang=True, deaf=fault == "deaf")
    socket = env.get(SOCKET) or _default_socket(binary, behaviour)
    before = (
        'Command "runtime" is deprecated, use system-probe runtime instead\n'
        if binary == "security-agent" and era >= (66, 0)
        else ""
    )
    failure = _transport_failure(fault, socket)
    if failure:
        return Reply(stderr=before + "Error: " + failure + "\n", exit_status=255)
    message = {
        "disabled": "self-tests are disabled",
        "not_enabled": "self-tests are disabled",
        "ebpfless": "self-tests through gRPC are not supported with eBPF less",
        "already_running": "failed to run self test: a self test is already running"
        if (36, 0) <= era < (53, 0)
        else "",
        "rule_failed": "failed to receive expected event" if era < (36, 0) else "",
        "all_failed": "failed to receive expected event" if era < (36, 0) else "",
    }.get(fault, "")
    said = "Runtime self test: error: %s\n" % message if message else "Runtime self test: OK\n"
    if fault == "noisy":
        said = (
            "2026-11-24 10:00:00 UTC | SYS-PROBE | INFO | (cmd/run.go:1 in run) | Error: this is only a log line\n"
            + said
        )
    if fault == "hostile":
        said = _hostile() + said
    return Reply(said, before)


def _default_socket(binary: str, behaviour: Behaviour) -> str:
    """The chart sets the socket for security-agent only; the Operator for all containers."""
    if behaviour.installation == "helm" and binary == "system-probe":
        return "/opt/datadog-agent/run/runtime-security.sock"
    return SOCKET_PATH


def _transport_failure(fault: str, socket: str) -> str:
    """What the client says when it does not get through to the module."""
    dial = 'unable to get a process self test: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix %s: connect: %s"'
    reasons = {
        "module_down": "no such file or directory",
        "refused": "connection refused",
        "permission_denied": "permission denied",
    }
    if socket != SOCKET_PATH:
        return dial % (socket, "no such file or directory")
    if fault in reasons:
        return dial % (socket, reasons[fault])
    if fault == "starting":
        return "unable to get a process self test: rpc error: code = Unknown desc = failed to found module in APIServer"
    return ""


def _status(binary: str, behaviour: Behaviour, now: float) -> Reply:
    if behaviour.fault == "status_hangs":
        return Reply(hang=True)
    if binary == "system-probe":
        return _unknown_command(binary, "status")
    if behaviour.fault == "garbage":
        return Reply(
            raw_stdout=b"\xff\xfe\x00Self Tests\n==========\n\x1b[31mLast execution: yesterday\n" + bytes(range(256))
        )
    head = "%s (v%s)\n%s\n\n  Pid: 1\n\n" % (NAMES[binary], behaviour.version, "=" * 24)
    if behaviour.fault == "not_enabled":
        return Reply(head + "Runtime Security\n================\n\n  Not enabled\n\n")
    block = _block(behaviour, now) if _has_block(binary, behaviour) else ""
    title = "CWS (runtime security)" if binary != "security-agent" else "Runtime Security"
    section = "%s\n%s\n\n  Connected: true\n  Events received: 42\n\n%s" % (title, "=" * len(title), block)
    if binary != "security-agent" and behaviour.era < (72, 0):
        section = ""
    return Reply(head + section + "  Policies\n  ========\n\n    default.policy: loaded\n\n")


def _has_block(binary: str, behaviour: Behaviour) -> bool:
    if behaviour.fault in ("no_block", "module_down", "refused"):
        return False
    return behaviour.era >= ((36, 0) if binary == "security-agent" else (72, 0))


def _block(behaviour: Behaviour, now: float) -> str:
    fault, failed = behaviour.fault, []
    succeeded = list(RULES)
    if fault == "rule_failed":
        succeeded, failed = [RULES[0], RULES[2]], [RULES[1]]
    elif fault == "all_failed":
        succeeded, failed = [], list(RULES)
    elif fault == "contradiction":
        failed = [RULES[1]]
    elif fault == "missing_rule":
        succeeded = [RULES[0], RULES[2]]
    elif fault in ("never_finished", "disabled", "starting", "ebpfless"):
        succeeded = []
    at = now + {"stale": -86400, "future": 86400}.get(fault, 0)
    if behaviour.era >= (65, 0) and not fault:
        at -= 1500  # tests itself hourly; a request in between waits for its turn
    stamp = time.strftime("%d %b %y %H:%M UTC", time.gmtime(at))
    if fault in ("never_finished", "disabled", "starting", "ebpfless"):
        stamp = "01 Jan 01 00:00 UTC"
    return "  Self Tests\n  ==========\n\n    Last execution: %s\n%s%s\n" % (
        stamp,
        _listed("Succeeded", succeeded),
        _listed("Failed", failed),
    )


def _listed(label: str, rules: Sequence[str]) -> str:
    if not rules:
        return "    %s: none\n" % label
    return "    %s:\n%s" % (label, "".join("      - %s\n" % rule for rule in rules))


def _hostile() -> str:
    """Everything that must not reach Slack, put together here so that no scanner takes it for real."""
    secret = "".join(("0123456789abcdef" * 2,))
    return (
        "\x1b[31;1m\x1b]0;title\x07<!channel> <@U0SANDANA> ```\n*bold* <https://evil.example|click>\n"
        "DD_API_KEY=" + secret + "\npassword: hunter2-" + secret[:8] + "\n\u202egnp.exe\u2066\n" + "x" * 200000 + "\n"
    )


def _play_flare(argv: Sequence[str]) -> None:
    """Become the flare, which talks and waits. Its program lies beside this one."""
    program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "flare_agent.py")  # noqa: PTH118, PTH120
    os.execv(sys.executable, [sys.executable, "-S", program, *argv])  # noqa: S606


def main() -> None:
    """Play the binary that this file was started as, or that its first argument names."""
    argv = list(sys.argv)
    if os.path.basename(argv[0]) not in NAMES:  # noqa: PTH119
        argv = argv[1:] or ["agent"]
    if argv[1:2] == ["flare"]:
        _play_flare(argv)
    text = os.environ.get("STAND_IN_AGENT")
    if text is None:
        with open(os.environ.get("STAND_IN_AGENT_FILE", "/etc/stand-in-agent.json")) as file:  # noqa: PTH123
            text = file.read()
    answer = reply(argv, os.environ, Behaviour.from_json(text))
    if answer.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if answer.hang:
        while True:
            signal.pause()
    time.sleep(answer.delay_s)
    sys.stdout.buffer.write(answer.stdout_bytes)
    sys.stdout.flush()
    sys.stderr.write(answer.stderr)
    sys.exit(answer.exit_status)


if __name__ == "__main__":
    main()
