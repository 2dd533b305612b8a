"""
The classifiers of the stand-in fleet's nodes: tc evidence as the collector prints it.

The programs are short but real BPF instructions, so that the analysis has input.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PODS = 8
"""The number of pods on a stand-in node."""
MARK = "csm.tc-evidence/1"
"""A string in the arguments of the command that collects evidence."""
_HOST = 4026531840
_UNSPEC, _OK, _SHOT, _REDIRECT = -1, 0, 2, 7
Chain = list[dict[str, Any]]
Chains = Callable[["_Node", str], tuple[Chain, Chain]]


def evidence(network: str, version: str) -> dict[str, Any]:
    """The evidence document of a node with this network, a name of `NETWORKS`."""
    return _Node(version).document(NETWORKS[network])


def length_of_input(argv: Sequence[str]) -> int:
    """How many bytes of stdin the command reads before it answers: the collector itself is sent over stdin."""
    found = re.search(r"read\((\d+)\)", argv[-1])
    return int(found[1]) if found else 0


class _Node:
    def __init__(self, version: str) -> None:
        self._version = version
        self._programs: dict[str, dict[str, Any]] = {}
        self.unseen: list[str] = []

    def document(self, chains: Chains) -> dict[str, Any]:
        host = [
            self.device("eth0", 2, chains),
            *(self.device(f"{_STEMS[chains]}{number:04x}", 10 + number, chains) for number in range(PODS)),
        ]
        pods = [
            {"inode": _HOST + 100 + number, "name": f"pod-{number}", "pids": [500 + number], "devices": [self.device("eth0", 2, none)]}
            for number in range(PODS)
        ]  # fmt: skip
        return {
            "schema": MARK,
            "kernel": "6.8.0-1021-generic",
            "tcx": True,
            "duration_s": 0.2,
            "agent": {
                "version": self._version,
                "running": {"system-probe": 4321, "agent": 4300},
                "settings": {"runtime_security.enabled": {"value": "true", "key": "DD_RUNTIME_SECURITY_CONFIG_ENABLED", "source": "environment of system-probe (pid 4321)"}},
                "settings_seen": True,
            },
            "namespaces": [{"inode": _HOST, "host": True, "name": "systemd", "pids": [1], "devices": host}, *pods],
            "programs": {str(each["id"]): each for each in self._programs.values()},
            "unseen": self.unseen,
        }  # fmt: skip

    def device(self, name: str, index: int, chains: Chains) -> dict[str, Any]:
        ingress, egress = chains(self, name)
        return {
            "name": name, "index": index, "kind": "veth" if index > 2 else "", "up": True, "clsact": True, "qdisc": "clsact",
            "tcx_seen": True, "ingress": ingress, "egress": egress,
        }  # fmt: skip

    def program(self, name: str, *codes: int) -> int:
        """Return the id of a program that returns one of these codes, depending on the packet's length."""
        if name not in self._programs:
            code = _code(codes)
            calls = {str(code.index(_CALL) // 8): "bpf_redirect"} if _CALL in code else {}
            number = 100 + len(self._programs)
            self._programs[name] = {"id": number, "type": 3, "name": name[:15], "tag": f"{number:016x}", "calls": calls, "instructions": base64.b64encode(code).decode()}  # fmt: skip
        return int(self._programs[name]["id"])

    def filter(self, name: str, pref: int, *codes: int, program: str = "") -> dict[str, Any]:
        number = self.program(program or name, *codes)
        return {"attachment": "filter", "kind": "bpf", "pref": pref, "handle": 1, "chain": 0, "protocol": 3, "program": number, "name": name, "direct_action": True}  # fmt: skip

    def tcx(self, name: str, *codes: int) -> dict[str, Any]:
        return {"attachment": "tcx", "program": self.program(name, *codes)}

    def own(self, direction: str) -> dict[str, Any]:
        name = f"classifier_{direction}"
        return self.filter(f"{name}_security_{name}_6_{_HOST}_4321", 10, _UNSPEC, program=name)


def none(node: _Node, _name: str) -> tuple[Chain, Chain]:
    """Only the Agent's classifiers."""
    return [node.own("ingress")], [node.own("egress")]


def cilium_tcx(node: _Node, name: str) -> tuple[Chain, Chain]:
    """Cilium 1.16: it attaches with tcx and removes all classic filters of the direction."""
    program = "cil_from_netdev" if name == "eth0" else "cil_from_container"
    return [node.tcx(program, _REDIRECT, _SHOT, _OK)], [node.own("egress")]


def aws(node: _Node, name: str) -> tuple[Chain, Chain]:
    """The network policy agent's filters, on the host's side of each pod."""
    if name == "eth0":
        return none(node, name)
    ingress, egress = node.filter("handle_ingress", 1, _SHOT, _OK), node.filter("handle_egress", 1, _SHOT, _OK)
    return [ingress, node.own("ingress")], [egress, node.own("egress")]


def unprivileged(node: _Node, name: str) -> tuple[Chain, Chain]:
    """A collector that cannot enter other network namespaces."""
    node.unseen = ["8 network namespaces could not be entered: Operation not permitted"]
    return none(node, name)


NETWORKS: Mapping[str, Chains] = {
    "none": none,
    "cilium-tcx": cilium_tcx,
    "aws": aws,
    "unprivileged": unprivileged,
}
_STEMS: Mapping[Chains, str] = {none: "veth", cilium_tcx: "lxc", aws: "eni", unprivileged: "veth"}
_CALL = struct.pack("<BBhi", 0x85, 0, 0, 23)


def _code(codes: Sequence[int]) -> bytes:
    found = b""
    for code in codes[:-1]:
        ending = _returning(code)
        found += struct.pack("<BBhi", 0x61, 0x12, 0, 0)  # r2 = the packet's length
        found += struct.pack("<BBhi", 0x55, 0x02, len(ending) // 8, 64 + code)  # skips the return unless it is this
        found += ending
    return found + _returning(codes[-1])


def _returning(code: int) -> bytes:
    first = _CALL if code == _REDIRECT else struct.pack("<BBhi", 0xB7, 0, 0, code)
    return first + struct.pack("<BBhi", 0x95, 0, 0, 0)
