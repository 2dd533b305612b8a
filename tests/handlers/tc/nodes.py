"""Evidence for tests, written as a node would have it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from handlers.model import Agent, AgentResult, Installation, Platform
from handlers.tc.evidence import AgentSeen, Attachment, Device, Entry, Evidence, Namespace, Program, Setting
from handlers.tc.result import result_of
from tests.bpf import EXIT, assemble, call, helper_calls, mov

HOST_INODE = 4026531840
UNSPEC, OK, SHOT, REDIRECT = -1, 0, 2, 7


class Node:
    """Collects programs while chains are written."""

    def __init__(self) -> None:
        self.programs: dict[int, Program] = {}

    def program(self, *codes: int, name: str = "prog", hidden: bool = False) -> int:
        """A program that can return each of these; REDIRECT by the helper."""
        ops = []
        for code in codes[:-1]:
            ops += [(0x61, 2, 1, 0, 0), (0x55, 2, 0, 2, code & 0x7F), mov(0, code), EXIT]
        last = [mov(1, 4), mov(2, 0), call(23), EXIT] if codes[-1] == REDIRECT else [mov(0, codes[-1]), EXIT]
        code = assemble([*ops, *last])
        number = len(self.programs) + 1
        given = None if hidden else base64.b64encode(code).decode()
        self.programs[number] = Program(
            id=number, type=3, name=name[:15], instructions=given, calls={} if hidden else helper_calls(code)
        )
        return number

    def filter(
        self, name: str, *codes: int, pref: int = 1, handle: int = 1, hidden: bool = False, **more: object
    ) -> Entry:
        """A classic, direct-action filter."""
        program = self.program(*codes, name=name, hidden=hidden)
        return Entry.model_validate(
            {
                "attachment": "filter",
                "pref": pref,
                "handle": handle,
                "chain": 0,
                "protocol": 3,
                "program": program,
                "name": name,
                "direct_action": True,
                **more,
            }
        )

    def tcx(self, name: str, *codes: int, hidden: bool = False, attachment: Attachment = Attachment.TCX) -> Entry:
        return Entry(attachment=attachment, program=self.program(*codes, name=name, hidden=hidden))

    def own(self, direction: str, *, pref: int = 10, handle: int = 1, index: int = 6, pid: int = 4321, raw: bool = False) -> Entry:  # fmt: skip
        function = f"classifier_raw_packet_{direction}" if raw else f"classifier_{direction}"
        name = f"classifier_{direction}_security_{function}_{index}_{HOST_INODE}_{pid}"
        return self.filter(name, UNSPEC, pref=pref, handle=handle)

    def evidence(self, *devices: Device, **more: object) -> Evidence:
        fields: dict[str, object] = {
            "kernel": "6.8.0-45-generic", "tcx": True, "agent": seen(), "programs": self.programs,
            "namespaces": (Namespace(inode=HOST_INODE, host=True, pids=(1,), name="systemd", devices=devices),),
        }  # fmt: skip
        return Evidence.model_validate({**fields, **more})


def device(name: str, ingress: Sequence[Entry] | None, egress: Sequence[Entry] | None, **more: object) -> Device:
    given = {
        "name": name,
        "index": 6,
        "kind": "veth",
        "up": True,
        "clsact": True,
        "qdisc": "clsact",
        "ingress": ingress,
        "egress": egress,
        "tcx_seen": True,
    }
    return Device.model_validate({**given, **more})


def seen(version: str | None = "7.70.1", settings: Mapping[str, str] | None = None, **more: object) -> AgentSeen:
    values = {"runtime_security.enabled": "true", **(settings or {})}
    given = {
        name: Setting(value=value, key=f"event_monitoring_config.{name}", source="/etc/datadog-agent/system-probe.yaml")
        for name, value in values.items()
    }
    return AgentSeen.model_validate(
        {"version": version, "running": {"system-probe": 4321}, "settings": given, "settings_seen": True, **more}
    )


def agent(installation: Installation = Installation.HELM, version: str | None = None) -> Agent:
    platforms = {Installation.DOCKER: Platform.DOCKER, Installation.HOST: Platform.HOST}
    return Agent(
        target="cluster-a", name="node-1", platform=platforms.get(installation, Platform.KUBERNETES), installation=installation,
        namespace="datadog", handle="datadog-1", node="node-1", version=version,
    )  # fmt: skip


def judged(evidence: Evidence, installation: Installation = Installation.HELM) -> AgentResult:
    return result_of(agent(installation), evidence)


def codes(result: AgentResult) -> list[str]:
    return [finding.code for finding in result.findings]
