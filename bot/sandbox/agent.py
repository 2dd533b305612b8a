#!/usr/bin/env python3
"""
The stand-in Agent: prints what a Datadog Agent of a chosen version prints, with a chosen fault.

One file, standard library only, Python 3.8 and up. It is copied into containers, run as `system-probe`,
`security-agent` and `agent`, and imported where one process simulates a whole fleet. Its output is taken from the
Agent's sources (DataDog/datadog-agent: cmd/system-probe/subcommands/runtime/selftest.go@26727419,
pkg/security/agent/status_templates/runtimesecurity.tmpl@0bf8273d, pkg/security/agent/status_provider.go@39b5c6f6,
pkg/eventmonitor/eventmonitor.go, pkg/cli/subcommands/version/command.go@15d68ebc).

From 7.65 the module tests itself, and a manual self-test waits in a queue that blocks the module when it is full
(pkg/security/module/cws.go@0227eb6e, pkg/security/probe/selftests/tester.go). `Module` simulates that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

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
    "not_told": "security-agent cannot ask the module, and its status does not tell; the Agent's own does",
    "late_events": "events come late, which 7.73 and later count as a failure",
    "socket_moved": "system-probe.yaml has moved the module's socket",
    "hang": "the module never answers",
    "deaf": "the module never answers, and commands ignore that they are asked to end",
    "status_hangs": "the status never answers",
    "noisy": "log lines come before the answer",
    "hostile": "it prints escape sequences, mentions and what looks like secrets",
}
"""The faults of a stand-in Agent: name and description."""

SOCKET = "DD_RUNTIME_SECURITY_CONFIG_SOCKET"
SOCKET_PATH = "/var/run/sysprobe/runtime-security.sock"
CONFIG_FILE = "/etc/datadog-agent/system-probe.yaml"
CONTINUOUS = (65, 0)
"""From this version on, the module tests itself."""
NAMES = {"agent": "Agent", "datadog-agent": "Agent", "security-agent": "Security agent", "system-probe": "System Probe"}


@dataclass
class Behaviour:
    """The Agent to simulate: version, installation, fault and clock."""

    version: str = "7.70.1"
    installation: str = "helm"
    """`helm`, `operator`, `kubernetes`, `docker` or `host`."""
    security_agent: bool = True
    """Whether the Agent has a security-agent."""
    fault: str = ""
    """A name of `FAULTS`, or empty for none."""
    delay_s: float = 0.0
    """Seconds before each answer."""
    uptime_s: float = 5400.0
    """Seconds that system-probe has run when the stand-in gets its first command."""
    broken_at: float = 0.0
    """From when on events no longer reach the module (seconds since the epoch); 0 for never."""
    zone: str = "UTC"
    """The abbreviation of the host's time zone."""
    utc_offset_s: int = 0
    """The offset of that time zone, positive east of UTC."""
    clock_ahead_s: float = 0.0
    """How many seconds the node's clock is ahead."""

    @classmethod
    def from_json(cls, text: str) -> Behaviour:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def era(self) -> tuple[int, ...]:
        parts = self.version.split("-")[0].split(".")
        return (int(parts[1]), int(parts[2]))

    @property
    def socket(self) -> str:
        """The path of the module's socket."""
        return "/run/moved/runtime-security.sock" if self.fault == "socket_moved" else SOCKET_PATH


@dataclass
class Module:
    """
    The module's own self-tests, from 7.65.

    The state is a pure function of the start time and of the manual runs since. One goroutine takes a run from the
    queue, collects its result, and sleeps. Each iteration takes one run and adds one. A manual run is added as well,
    and runs are taken in order only, so the queue only grows. When the queue is full, adding a run blocks the caller,
    who holds the tester's lock, so the status blocks too.
    """

    started_at: float = 0.0
    """Seconds since the epoch; 0 until `start` is called."""
    by_hand: List[float] = field(default_factory=list)

    ROOM = 10
    FIRST_S = 15.0
    RETRY_S = 15.0

    def start(self, behaviour: Behaviour, now: float) -> None:
        """Set the start time, unless it is set. With the fault `starting`, it is always five seconds ago."""
        if behaviour.fault == "starting":
            self.started_at, self.by_hand = now - 5.0, []
        elif not self.started_at:
            self.started_at = now - behaviour.uptime_s

    def results(self, behaviour: Behaviour, now: float) -> Tuple[Optional[float], bool, bool]:
        """
        Return the state of the self-tests at the time `now`.

        The result is: the time of the latest result (`None` before the first), whether it succeeded, and whether the
        module is blocked.
        """
        interval = 300.0 if behaviour.era < (67, 0) else 3600.0
        stamped_late = behaviour.era < (73, 0)
        queue, waiting = [self.started_at + self.FIRST_S], sorted(self.by_hand)
        at, stamp, succeeded, has_passed = queue[0], None, False, False
        while at <= now:
            while waiting and waiting[0] <= at:
                queue.append(waiting.pop(0))
            if len(queue) > self.ROOM:
                return stamp, succeeded, True
            run = queue.pop(0)
            stamp, succeeded = at, self._sees_events(behaviour, run)
            pause = interval if has_passed else self.RETRY_S
            has_passed = has_passed or succeeded
            queue.append(at if stamped_late else at + pause)
            at += pause
        return stamp, succeeded, len(queue) + len(waiting) > self.ROOM

    @staticmethod
    def _sees_events(behaviour: Behaviour, at: float) -> bool:
        late = behaviour.fault == "late_events" and behaviour.era >= (73, 0)
        broken = behaviour.broken_at and at >= behaviour.broken_at
        return not late and not broken and behaviour.fault not in ("rule_failed", "all_failed")


@dataclass
class Reply:
    """What the process does: wait, print and exit, or never exit."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
    delay_s: float = 0.0
    hang: bool = False
    deaf: bool = False
    """Whether the process ignores SIGTERM."""
    raw_stdout: bytes = field(default=b"", repr=False)

    @property
    def stdout_bytes(self) -> bytes:
        return self.raw_stdout or self.stdout.encode()


def reply(
    argv: Sequence[str],
    env: Mapping[str, str],
    behaviour: Behaviour,
    *,
    module: Optional[Module] = None,
    now: Optional[float] = None,
) -> Reply:
    """Answer one command. `now` is seconds since the epoch, UTC; `module` holds the module's state between commands."""
    binary = os.path.basename(argv[0])  # noqa: PTH119 - one file without a need for paths
    arguments = list(argv[1:])
    now = time.time() if now is None else now
    module = module or Module()
    module.start(behaviour, now)
    if plays_tool(argv):
        answer = _tool(argv, behaviour, now)
    elif binary not in NAMES or (binary == "security-agent" and not behaviour.security_agent):
        return Reply(stderr="exec: %s: no such file or directory\n" % argv[0], exit_status=127)
    elif arguments[:1] == ["version"]:
        answer = Reply(
            "%s %s - Commit: 0123456789 - Serialization version: v5.0.120 - Go version: go1.24.6\n"
            % (NAMES[binary], behaviour.version)
        )
    elif arguments[:1] == ["status"] and binary != "system-probe":
        answer = _status(binary, behaviour, module, now, as_json="--json" in arguments)
    elif arguments == ["config"] and binary == "system-probe":
        answer = _config(behaviour)
    elif arguments[:2] == ["runtime", "self-test"]:
        answer = _self_test(binary, env, behaviour, module, now)
    else:
        answer = _unknown_command(binary, arguments[0] if arguments else "")
    answer.delay_s = behaviour.delay_s
    return answer


def plays_tool(argv: Sequence[str]) -> bool:
    """Whether `argv` is a tool that reads the node's clock (`date`), sockets (`ls -d`) or settings (`cat`)."""
    return list(argv[:1]) == ["date"] or list(argv[:2]) == ["ls", "-d"] or list(argv) == ["cat", CONFIG_FILE]


def _tool(argv: Sequence[str], behaviour: Behaviour, now: float) -> Reply:
    if argv[0] == "date":
        offset = behaviour.utc_offset_s
        sign, minutes = "-" if offset < 0 else "+", abs(offset) // 60
        words = (now + behaviour.clock_ahead_s, sign, minutes // 60, minutes % 60, behaviour.zone)
        return Reply("%d %s%02d%02d %s\n" % words)
    if argv[0] == "cat":
        return Reply(_settings(behaviour))
    there = [] if behaviour.fault in ("module_down", "starting", "not_enabled") else [behaviour.socket]
    missing = [path for path in argv[2:] if path not in there]
    return Reply(
        "".join("%s\n" % path for path in argv[2:] if path in there),
        "".join("ls: cannot access '%s': No such file or directory\n" % path for path in missing),
        2 if missing else 0,
    )


def _unknown_command(binary: str, word: str) -> Reply:
    return Reply(stderr='Error: unknown command "%s" for "%s"\n' % (word, binary), exit_status=255)


def _config(behaviour: Behaviour) -> Reply:
    """`system-probe config`: before 7.60 it does not print the module's settings."""
    if behaviour.fault == "refused":
        dial = "dial unix /var/run/sysprobe/sysprobe.sock: connect: connection refused"
        return Reply(stderr='Error: Get "http://unix/config": %s\n' % dial, exit_status=255)
    if behaviour.era < (60, 0):
        return Reply("system_probe_config:\n  enabled: true\n")
    return Reply("system_probe_config:\n  enabled: true\n" + _settings(behaviour))


def _settings(behaviour: Behaviour) -> str:
    flag = {True: "true", False: "false"}
    return (
        "# The chart's own settings\nruntime_security_config:\n  enabled: %s\n  ebpfless:\n    enabled: %s\n"
        '  self_test:\n    enabled: %s  # on by default\n  socket: "%s"\n'
        % (
            flag[behaviour.fault != "not_enabled"],
            flag[behaviour.fault == "ebpfless"],
            flag[behaviour.fault != "disabled"],
            behaviour.socket,
        )
    )


# -- manual self-test --------------------------------------------------------------------------------------------------


def _self_test(binary: str, env: Mapping[str, str], behaviour: Behaviour, module: Module, now: float) -> Reply:
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
    failure = _transport_failure(behaviour, socket)
    if failure:
        return Reply(stderr=before + "Error: " + failure + "\n", exit_status=255)
    if era >= CONTINUOUS:
        if module.results(behaviour, now)[2]:
            return Reply(hang=True)
        module.by_hand.append(now)
        if module.results(behaviour, now)[2]:
            return Reply(hang=True)
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
        said = _NOISE + said
    if fault == "hostile":
        said = _hostile() + said
    return Reply(said, before)


_NOISE = "2026-11-24 10:00:00 UTC | SYS-PROBE | INFO | (cmd/run.go:1 in run) | Error: this is only a log line\n"


def _default_socket(binary: str, behaviour: Behaviour) -> str:
    """
    The socket that a binary uses by default.

    The chart sets it for security-agent only, the Operator for all containers.
    """
    if behaviour.installation == "helm" and binary == "system-probe":
        return "/opt/datadog-agent/run/runtime-security.sock"
    return SOCKET_PATH


def _transport_failure(behaviour: Behaviour, socket: str) -> str:
    """The client's error when it cannot reach the module; empty when it can."""
    dial = 'unable to get a process self test: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix %s: connect: %s"'
    reasons = {
        "module_down": "no such file or directory",
        "refused": "connection refused",
        "permission_denied": "permission denied",
    }
    if socket != behaviour.socket:
        return dial % (socket, "no such file or directory")
    if behaviour.fault in reasons:
        return dial % (socket, reasons[behaviour.fault])
    if behaviour.fault == "starting":
        return "unable to get a process self test: rpc error: code = Unknown desc = failed to found module in APIServer"
    return ""


# -- the status --------------------------------------------------------------------------------------------------------


def _status(binary: str, behaviour: Behaviour, module: Module, now: float, *, as_json: bool) -> Reply:
    fault = behaviour.fault
    blocked = behaviour.era >= CONTINUOUS and module.results(behaviour, now)[2]
    if blocked or fault in ("status_hangs", "hang", "deaf"):
        return Reply(hang=True, deaf=fault == "deaf")
    if fault == "permission_denied" and behaviour.era >= CONTINUOUS:
        words = "unable to read authentication token file: open /etc/datadog-agent/auth/token: permission denied"
        return Reply(stderr="Error: %s\n" % words, exit_status=255)
    if fault == "garbage":
        return Reply(
            raw_stdout=b"\xff\xfe\x00Self Tests\n==========\n\x1b[31mLast execution: yesterday\n" + bytes(range(256))
        )
    before = {"noisy": _NOISE, "hostile": _hostile()}.get(fault, "")
    tests = _tests(binary, behaviour, module, now)
    if as_json:
        text = json.dumps(_document(binary, behaviour, now, tests), indent=2) + "\n"
        return Reply(before + "Getting the status from the agent.\n" * (binary == "security-agent") + text)
    return Reply(before + _text(binary, behaviour, now, tests))


def _tests(binary: str, behaviour: Behaviour, module: Module, now: float) -> Optional[Dict[str, Any]]:
    """The Self Tests block as in the JSON status; `None` when this status has none."""
    fault, is_security_agent = behaviour.fault, binary == "security-agent"
    silent = ["module_down", "refused", "starting", "ebpfless", "no_block", "not_enabled", "disabled"]
    silent += ["not_told", "socket_moved"] if is_security_agent else []
    if fault in silent or behaviour.era < ((36, 0) if is_security_agent else (72, 0)):
        return None
    stamp, succeeded = now, True
    if behaviour.era >= CONTINUOUS:
        found, succeeded, _ = module.results(behaviour, now)
        stamp = found or 0.0
    if fault == "never_finished" or not stamp:
        return {"LastTimestamp": "01 Jan 01 00:00 UTC", "Success": [], "Fails": []}
    passed, failed = list(RULES), []
    if fault == "rule_failed":
        passed, failed = [RULES[0], RULES[2]], [RULES[1]]
    elif fault == "all_failed" or not succeeded:
        passed, failed = [], list(RULES)
    elif fault == "contradiction":
        failed = [RULES[1]]
    elif fault == "missing_rule":
        passed = [RULES[0], RULES[2]]
    stamp += {"stale": -86400, "future": 86400}.get(fault, 0) + behaviour.clock_ahead_s
    local = time.strftime("%d %b %y %H:%M", time.gmtime(stamp + behaviour.utc_offset_s))
    return {"LastTimestamp": "%s %s" % (local, behaviour.zone), "Success": passed, "Fails": failed}


def _document(binary: str, behaviour: Behaviour, now: float, tests: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """The status as JSON. The Agent leaves out empty members; security-agent does not."""
    is_security_agent = binary == "security-agent"
    found: Dict[str, Any] = {
        "version": behaviour.version,
        "flavor": "security_agent" if is_security_agent else "agent",
        "time_nano": int((now + behaviour.clock_ahead_s) * 1e9),
        "pid": 1,
    }
    if is_security_agent:
        if behaviour.fault != "not_enabled":
            found["runtimeSecurityStatus"] = {"connected": tests is not None, "eventReceived": 42}
            if tests is not None:
                found["runtimeSecurityStatus"].update(selfTests=tests, policiesStatus=[])
        return found
    if behaviour.fault == "refused":
        found["systemProbeStats"] = {"Errors": "dial unix /var/run/sysprobe/sysprobe.sock: connect: connection refused"}
        return found
    monitor: Dict[str, Any] = {"probe": {}}
    if behaviour.era >= (72, 0) and behaviour.fault not in ("not_enabled", "module_down"):
        told = {key: value for key, value in (tests or {}).items() if value}
        monitor["cws"] = {"SelfTests": told} if told else {}
        if behaviour.fault == "starting":
            monitor["cws"] = "failed to get CWS status: failed to found module in APIServer"
    found["systemProbeStats"] = {"uptime": "%ds" % behaviour.uptime_s, "event_monitor": monitor}
    return found


def _text(binary: str, behaviour: Behaviour, now: float, tests: Optional[Dict[str, Any]]) -> str:
    at = now + behaviour.clock_ahead_s
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at + behaviour.utc_offset_s))
    head = "Getting the status from the agent.\n\n%s (v%s)\n%s\n\n" % (NAMES[binary], behaviour.version, "=" * 24)
    head += "  Status date: %s %s (%d)\n  Pid: 1\n\n" % (local, behaviour.zone, at * 1000)
    if binary != "security-agent":
        trouble = "  Status: Not running or unreachable\n  Error: connection refused\n"
        head += "System Probe\n============\n" + (trouble if behaviour.fault == "refused" else "  Status: Running\n\n")
    if behaviour.fault == "not_enabled":
        return head + "Runtime Security\n================\n\n  Not enabled\n\n" * (binary == "security-agent")
    if binary != "security-agent" and (behaviour.era < (72, 0) or behaviour.fault == "refused"):
        return head
    title = "CWS (runtime security)" if binary != "security-agent" else "Runtime Security"
    seen = "  Connected: %s\n  Events received: 42\n\n" % ("true" if tests else "false")
    has_block = behaviour.fault != "no_block" and behaviour.era >= (36, 0)
    return "".join((
        head, "%s\n%s\n\n" % (title, "=" * len(title)), seen * (binary == "security-agent"),
        _block(tests) if has_block else "", "  Policies\n  ========\n\n    default.policy: loaded\n\n",
    ))  # fmt: skip


def _block(tests: Optional[Dict[str, Any]]) -> str:
    """The Self Tests block as text. Without results, it has the headings only."""
    told = tests or {"LastTimestamp": "<no value>", "Success": [], "Fails": []}
    return "  Self Tests\n  ==========\n\n    Last execution: %s\n%s%s\n" % (
        told["LastTimestamp"],
        _listed("Succeeded", told["Success"]),
        _listed("Failed", told["Fails"]),
    )


def _listed(label: str, rules: Sequence[str]) -> str:
    if not rules:
        return "    %s: none\n" % label
    return "    %s:\n%s" % (label, "".join("      - %s\n" % rule for rule in rules))


def _hostile() -> str:
    """Output that must not reach Slack. It is assembled here, so that secret scanners do not report this file."""
    secret = "".join(("0123456789abcdef" * 2,))
    return (
        "\x1b[31;1m\x1b]0;title\x07<!channel> <@U0SANDANA> ```\n*bold* <https://evil.example|click>\n"
        "DD_API_KEY=" + secret + "\npassword: hunter2-" + secret[:8] + "\n\u202egnp.exe\u2066\n" + "x" * 200000 + "\n"
    )


def _play_flare(argv: Sequence[str]) -> None:
    """Replace this process with the flare command, which is interactive. Its program is in the same folder."""
    program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "flare_agent.py")  # noqa: PTH118, PTH120
    os.execv(sys.executable, [sys.executable, "-S", program, *argv])  # noqa: S606


def _remembered(path: str) -> Module:
    """Load the module's state that earlier commands saved."""
    if not os.path.exists(path):  # noqa: PTH110
        return Module()
    with open(path) as file:  # noqa: PTH123
        return Module(**json.load(file))


def _remember(module: Module, path: str) -> None:
    """
    Save the module's state for later commands. The file is replaced atomically: commands can run at the same time.
    """
    new = "%s.%d" % (path, os.getpid())
    with open(new, "w") as file:  # noqa: PTH123
        json.dump(asdict(module), file)
    os.replace(new, path)  # noqa: PTH105


def main() -> None:
    """Run as the binary that this file was started as, or that its first argument names."""
    argv = list(sys.argv)
    if os.path.basename(argv[0]) not in NAMES:  # noqa: PTH119
        argv = argv[1:] or ["agent"]
    if argv[1:2] == ["flare"]:
        _play_flare(argv)
    text, state = os.environ.get("STAND_IN_AGENT"), ""
    if text is None:
        path = os.environ.get("STAND_IN_AGENT_FILE", "/etc/stand-in-agent.json")
        with open(path) as file:  # noqa: PTH123
            text = file.read()
        state = path + ".module"
    module = _remembered(state) if state else Module()
    answer = reply(argv, os.environ, Behaviour.from_json(text), module=module)
    if state and argv[1:2] == ["runtime"]:
        _remember(module, state)
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
