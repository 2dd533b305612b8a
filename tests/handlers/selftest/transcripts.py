"""
Transcripts of self-tests: what an Agent of a version answers to each command, in a short notation, made into its words.

The words are those of the Agent's sources (see `handlers.agent.status` and `handlers.agent.selftest_output`). Nothing
here knows what a transcript comes to: that is written by hand beside each, in `tests/handlers/selftest/transcripts.yaml`.

    sa, core    what `security-agent status` and `agent status` answer: `json 11:30 pass`, `text 11:30 fail chmod`,
                `json none` (the module is not asked), `off`, `unreachable`, `module error`, `garbage`, `denied`, `hangs`
    trigger     what the self-test's command answers: `ok`, `error: …` (exit 0), `failed: …` (exit 255), `hangs`
    moved       the same when it is told another socket than the first
    config      what `system-probe config` answers: `enabled: true, socket: /x`; `old`, `refused`
    yaml        the same of system-probe.yaml
    sockets     the sockets that exist
    node        `CST -0600`, `CET +0100 ahead 90`: the node's zone and by how many seconds its clock is ahead
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from handlers.errors import DeadlineExceeded
from handlers.model import Agent, Container, Installation, Platform
from handlers.selftest.judge import RULES
from tests.handlers.scripted import ChecklistAnswer, Said, SetClock

NOW = datetime(2026, 11, 28, 12, 0, 20, tzinfo=UTC)
"""By csm's clock, when the check begins."""
FILE = Path(__file__).with_suffix(".yaml")
_DIAL = 'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix {}: connect: {}"'


@dataclass(frozen=True)
class Transcript:
    """One Agent's answers, and what they must come to."""

    name: str
    follows: str
    expect: Mapping[str, Any]
    version: str | None = None
    """In the image's tag; `None` where the tag does not tell."""
    said_version: str = ""
    """What `agent version` says; empty when it says nothing that can be read."""
    installation: str = "helm"
    security_agent: bool = True
    up_s: float = 5400
    """How long the containers have run."""
    sa: str | Sequence[str] = ()
    core: str | Sequence[str] = ()
    trigger: str = "ok"
    triggers_in: Sequence[str] = ("security-agent", "system-probe")
    """The binaries that know the self-test's command."""
    moved: str = ""
    config: str = ""
    yaml: str = ""
    sockets: Sequence[str] | None = None
    node: str = "UTC +0000"
    date: bool = True
    """Whether the node has `date`."""

    @property
    def agent(self) -> Agent:
        installation = Installation(self.installation)
        platform = {"docker": Platform.DOCKER, "host": Platform.HOST}.get(self.installation, Platform.KUBERNETES)
        names = ["agent", *(["security-agent"] if self.security_agent else []), "system-probe"]
        started = NOW - timedelta(seconds=self.up_s)
        containers = tuple(Container(name=name, started_at=started) for name in names)
        if platform is Platform.DOCKER:
            containers = (Container(name="dd-agent", started_at=started),)
        return Agent(
            target="cluster-a",
            name="node-1",
            platform=platform,
            installation=installation,
            containers=() if platform is Platform.HOST else containers,
            version=self.version,
        )

    def script(self, clock: SetClock) -> dict[str, list[ChecklistAnswer]]:
        """What each command answers, at the time of that clock."""
        found: dict[str, list[ChecklistAnswer]] = {}
        for binary, answers in (("security-agent", self.sa), ("agent", self.core)):
            for answer in [answers] if isinstance(answers, str) else answers:
                for command, said in self._status(binary, answer, clock).items():
                    found.setdefault(f"{binary} {command}", []).append(said)
        found["agent version"] = [Said(f"Agent {self.said_version} - Commit: 0123 - Go version: go1.24\n".encode())]
        for binary in self.triggers_in:
            found[f"{binary} runtime self-test"] = [self._trigger(self.trigger)]
            if self.moved:
                found[f"@/moved/rs.sock {binary} runtime self-test"] = [self._trigger(self.moved)]
        if self.config:
            found["system-probe config"] = [_config(self.config)]
        if self.yaml:
            found["cat /etc/datadog-agent/system-probe.yaml"] = [Said(_settings(self.yaml).encode())]
        if self.sockets is not None:
            found["ls …"] = [self._list_sockets]
        if self.date:
            found["date +%s %z %Z"] = [lambda _argv: Said(self._date(clock.now()).encode())]
        return found

    @property
    def _ahead(self) -> timedelta:
        words = self.node.split()
        return timedelta(seconds=float(words[3]) if len(words) > 3 else 0)

    def _list_sockets(self, argv: Sequence[str]) -> Said:
        existing = [path for path in argv[2:] if path in (self.sockets or ())]
        missing = [path for path in argv[2:] if path not in existing]
        said = "".join(f"ls: cannot access '{path}': No such file or directory\n" for path in missing)
        return Said("".join(f"{path}\n" for path in existing).encode(), said.encode(), 2 if missing else 0)

    def _date(self, now: datetime) -> str:
        zone, offset = self.node.split()[:2]
        return f"{int((now + self._ahead).timestamp())} {offset} {zone}\n"

    def _trigger(self, words: str) -> ChecklistAnswer:
        kind, _, rest = words.partition(": ")
        match kind:
            case "ok":
                return Said(b"Runtime self test: OK\n")
            case "error":
                return Said(f"Runtime self test: error: {rest}\n".encode())
            case "no socket" | "refused" | "denied":
                why = {"no socket": "no such file or directory", "refused": "connection refused"}.get(
                    kind, "permission denied"
                )
                error = f"Error: unable to get a process self test: {_DIAL.format(rest or '/run/rs.sock', why)}\n"
                return Said(stderr=error.encode(), exit_status=255)
            case "failed":
                return Said(stderr=f"Error: {rest}\n".encode(), exit_status=255)
            case "hangs":
                return DeadlineExceeded("`env` on cluster-a/node-1 was still running after 60 s and was ended")
        raise ValueError(words)

    def _status(self, binary: str, words: str, clock: SetClock) -> dict[str, ChecklistAnswer]:
        """The answers to a status as JSON and, where that is what the Agent has, as text."""
        if words == "denied":
            error = "Error: unable to read authentication token file: open /etc/datadog-agent/auth/token: permission denied\n"
            return {"status --json": Said(stderr=error.encode(), exit_status=255)}
        if words == "hangs":
            return {
                "status --json": DeadlineExceeded(f"`{binary}` on cluster-a/node-1 was still running and was ended")
            }
        if words == "unreachable" and binary == "security-agent":
            return {"status --json": Said(b"Could not reach security agent: connection refused\n", b"", 255)}
        if words == "garbage":
            return {f"status{option}": Said(b"\xff\xfe\x00Self Tests\n\x1b[31m{{{\n") for option in (" --json", "")}
        kind, _, rest = words.partition(" ")
        if kind == "text":
            flag = Said(stderr=b"Error: unknown flag: --json\n", exit_status=255)
            return {
                "status --json": flag,
                "status": lambda _argv: Said(self._text(binary, rest, clock.now() + self._ahead).encode()),
            }
        line = "Getting the status from the agent.\n" if binary == "security-agent" else ""

        def as_json(_argv: Sequence[str]) -> Said:
            document = self._document(binary, rest if kind == "json" else words, clock.now() + self._ahead)
            return Said(f"{line}{json.dumps(document, indent=2)}\n".encode())

        return {"status --json": as_json}

    def _document(self, binary: str, words: str, at: datetime) -> dict[str, Any]:
        head = {
            "flavor": "security_agent" if binary == "security-agent" else "agent",
            "version": self.version or self.said_version,
        }
        if words.endswith(" without clock"):
            words = words.removesuffix(" without clock")
        else:
            head["time_nano"] = int(at.timestamp() * 1e9)
        if words == "off":
            return head
        if words == "unreachable":
            return {
                **head,
                "systemProbeStats": {
                    "Errors": "dial unix /var/run/sysprobe/sysprobe.sock: connect: connection refused"
                },
            }
        if words == "module error":
            cws = "failed to get CWS status: failed to found module in APIServer"
            return {**head, "systemProbeStats": {"event_monitor": {"cws": cws}}}
        tests = self._tests(words)
        if binary == "security-agent":
            told = {"selfTests": tests, "policiesStatus": []} if tests else {}
            return {**head, "runtimeSecurityStatus": {"connected": bool(tests), "eventReceived": 7, **told}}
        module = {"SelfTests": {key: value for key, value in tests.items() if value}} if tests else {}
        return {**head, "systemProbeStats": {"uptime": "1h30m0s", "event_monitor": {"probe": {}, "cws": module}}}

    def _text(self, binary: str, words: str, at: datetime) -> str:
        zone = self.node.split()[0]
        title = "Runtime Security" if binary == "security-agent" else "CWS (runtime security)"
        head = f"Getting the status from the agent.\n\n  Status date: {at:%Y-%m-%d %H:%M:%S} {zone} ({int(at.timestamp() * 1000)})\n\n"
        head += f"{title}\n{'=' * len(title)}\n\n"
        if words == "off":
            return head + "  Not enabled\n"
        tests = self._tests(words) or {"LastTimestamp": "<no value>", "Success": [], "Fails": []}
        lists = "".join(
            f"    {label}: none\n" if not names else f"    {label}:\n" + "".join(f"      - {name}\n" for name in names)
            for label, names in (("Succeeded", tests["Success"]), ("Failed", tests["Fails"]))
        )
        seen = "  Connected: true\n  Events received: 7\n\n" if binary == "security-agent" else ""
        return f"{head}{seen}  Self Tests\n  ==========\n\n    Last execution: {tests['LastTimestamp']}\n{lists}\n  Policies\n  ========\n"

    def _tests(self, words: str) -> dict[str, Any]:
        """`11:30 pass`, `11:30 CST fail chmod`, `27 Nov 26 11:30 pass`, `never`, `11:30 pass open`, `none`."""
        if words == "none":
            return {}
        if words == "never":
            return {"LastTimestamp": "01 Jan 01 00:00 UTC", "Success": [], "Fails": []}
        stamp, _, result = words.partition(" pass") if " pass" in words else words.partition(" fail")
        time_, _, zone = (
            stamp.rpartition(" ") if stamp[-1].isalpha() or stamp[-5] in "+-" or stamp[-3] in "+-" else (stamp, "", "")
        )
        date, _, clock = time_.rpartition(" ")
        named = [f"datadog_agent_cws_self_test_rule_{name}" for name in result.split()]
        passed = [rule for rule in RULES if rule not in named] if " fail" in words else named or list(RULES)
        return {
            "LastTimestamp": f"{date or '28 Nov 26'} {clock} {zone or self.node.split()[0]}",
            "Success": passed,
            "Fails": named if " fail" in words else [],
        }


def _config(words: str) -> Said:
    if words == "refused":
        return Said(
            stderr=b'Error: Get "http://unix/config": dial unix /var/run/sysprobe/sysprobe.sock: connect: connection refused\n',
            exit_status=255,
        )
    if words == "old":
        return Said(b"system_probe_config:\n  enabled: true\n")
    return Said(("system_probe_config:\n  enabled: true\n" + _settings(words)).encode())


def _settings(words: str) -> str:
    """`enabled: true, self_test.enabled: false` as YAML."""
    lines = []
    for pair in words.split(", "):
        path, value = pair.split(": ", 1)
        *outer, key = path.split(".")
        lines += [f"{'  ' * depth}{name}:" for depth, name in enumerate(outer, 1)]
        lines.append(f"{'  ' * (len(outer) + 1)}{key}: {value}")
    return "# made by hand\nruntime_security_config:\n" + "\n".join(lines) + "\n"


def transcripts() -> Sequence[Transcript]:
    """All of them, in the order of the file."""
    return [Transcript(**entry) for entry in yaml.safe_load(FILE.read_text("utf-8"))]
