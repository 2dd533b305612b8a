"""
What the kernel of one node knows about packet classifiers: `csm.tc-evidence/1`.

The collector prints this document on the node, so everything in it is foreign: bounded here, and redacted before it is
shown. Facts are tri-state: `None` means *not seen*, and `unseen` says why. Nothing in here is a judgement.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_NAME = 256

LOAD_64 = 0x18
"""The instruction that loads 64 bits, in two slots. From one of these sources, it loads a map."""
MAP_SOURCES = (1, 2, 5, 6)


class Seen(BaseModel):
    """The base of everything in the document: immutable, and patient with what a newer collector adds."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Attachment(StrEnum):
    """How a program or filter is attached to a hook. A chain's order says which runs first: tcx before any filter."""

    NETKIT = "netkit"
    """Runs while a packet goes over to the other device of the pair: after this one's egress, before that one's
    ingress. Both devices of a pair list it, so a program is at the end of an egress chain and the start of an ingress one."""
    TCX = "tcx"
    FILTER = "filter"
    """A classic filter of clsact."""


class Entry(Seen):
    """One thing in the chain of a hook."""

    attachment: Attachment
    kind: str = Field(default="bpf", max_length=MOST_NAME)
    """Of a filter: `bpf`, `flower`, `u32`, `matchall`, …; of tcx and netkit: `bpf`."""
    pref: int | None = None
    """Priority; filters only. A smaller number runs earlier."""
    handle: int | None = None
    chain: int | None = None
    protocol: int | None = None
    """Ethertype; 3 is all."""
    program: int | None = None
    """The id of its eBPF program, a key of `Evidence.programs`."""
    name: str = Field(default="", max_length=MOST_NAME)
    """As the filter is named by whoever attached it; tcx and netkit have none of their own."""
    direct_action: bool | None = None
    actions: tuple[str, ...] = ()
    """Actions attached to a filter that is not direct-action, as kind and control: `gact drop`, `mirred egress mirror pipe`, …"""
    skip_sw: bool = False
    """Whether the filter is for hardware alone: then the kernel does not run it."""
    shared: bool = False
    """Whether the filter is in a block that several devices have, to which none can be added by the name of one."""


class Device(Seen):
    """One network device in one namespace. Both chains are in the order in which the kernel runs them."""

    name: str = Field(max_length=MOST_NAME)
    index: int
    kind: str = Field(default="", max_length=MOST_NAME)
    """`veth`, `bridge`, `netkit`, … as netlink says it; empty for plain devices."""
    up: bool | None = None
    clsact: bool | None = None
    qdisc: str = Field(default="", max_length=MOST_NAME)
    """What holds its classic filters: `clsact`, the older `ingress` (in whose place clsact cannot be made), or nothing."""
    link: int | None = None
    """The index of the device that it is tied to: the peer of a veth, in its own namespace."""
    ingress: tuple[Entry, ...] | None = None
    egress: tuple[Entry, ...] | None = None
    tcx_seen: bool | None = None
    """
    Whether tcx and netkit programs could be listed. `True` also on a kernel that has no tcx, where there are none;
    `False`: not seen, so what the chain holds is not all, and `unseen` says why.
    """
    unseen: tuple[str, ...] = ()


class Namespace(Seen):
    """One network namespace."""

    inode: int
    host: bool = False
    """Whether it is the one of process 1 of the host."""
    pids: tuple[int, ...] = ()
    """A few of its processes."""
    name: str = Field(default="", max_length=MOST_NAME)
    """Of its first process, or of a named namespace; for people."""
    devices: tuple[Device, ...] = ()
    vanished: tuple[str, ...] = ()
    """Devices that were there first and gone before all was read: nothing is known of them, and nothing need be."""
    unseen: tuple[str, ...] = ()


class Program(Seen):
    """An eBPF program, as the kernel describes it."""

    id: int
    type: int | None = None
    name: str = Field(default="", max_length=MOST_NAME)
    tag: str = Field(default="", max_length=32)
    instructions: str | None = None
    """Its translated instructions in base64, eight bytes each, in the node's byte order; `None` when hidden."""
    """A `call` in them keeps its offset in `off` when it is to a function of the program (source register 1)."""
    same_as: int | None = None
    """The program whose instructions are the same but for the maps that they load: read `Evidence.program`."""
    loads: tuple[int, ...] = ()
    """The ids of the maps that its instructions load, in their order."""
    calls: Mapping[int, str] = {}
    """
    Helper functions by the index of the calling instruction, where the kernel shows them: `bpf_redirect`, `bpf_tail_call`,
    or what the verifier put in a helper's place. With `same_as`, read `Evidence.program`.
    """
    maps: tuple[int, ...] = ()
    replaced_by: tuple[int, ...] = ()
    """Programs that replace functions of this one (freplace), so that its instructions do not tell what it does."""
    unseen: tuple[str, ...] = ()

    def code(self) -> bytes:
        """Its instructions as bytes. Raises `ValueError` when they are no base64; empty when they are hidden."""
        try:
            return base64.b64decode(self.instructions or "", validate=True)
        except binascii.Error:
            raise ValueError("its instructions cannot be read") from None


class ProgramArray(Seen):
    """A map of tail-call targets."""

    id: int
    entries: Mapping[int, int] | None = None
    """Program ids by index; `None` when it cannot be read."""
    unseen: tuple[str, ...] = ()


class Setting(Seen):
    """One setting of the Agent, as its running process has it."""

    value: str = Field(max_length=1024)
    key: str = Field(max_length=MOST_NAME)
    """The key or variable that set it: `event_monitoring_config.network.classifier_priority`, `DD_…`."""
    source: str = Field(max_length=1024)
    """A file's path, or `environment of system-probe (pid 12)`."""


class AgentSeen(Seen):
    """The Agent on this node."""

    version: str | None = Field(default=None, max_length=64)
    running: Mapping[str, int] = {}
    """Its processes by name, with their pids: `system-probe`, `security-agent`, `agent`."""
    settings: Mapping[str, Setting] = {}
    """By the name of the setting, whatever key set it: `runtime_security.enabled`, `network.enabled`,
    `network.classifier_priority`, `network.classifier_handle`, `network.raw_classifier_handle`,
    `network.ingress.enabled`, `network.raw_packet.enabled`, `network.lazy_interface_prefixes`, `ebpfless.enabled`."""
    settings_seen: bool | None = None
    """False when neither environment nor files could be read: an absent setting then is not a default."""
    unseen: tuple[str, ...] = ()


class ClusterDaemonSet(Seen):
    """A DaemonSet of the network plugin's namespace."""

    name: str = Field(max_length=MOST_NAME)
    images: tuple[str, ...] = ()


class Cluster(Seen):
    """What the cluster tells without any exec. `None`: not seen."""

    namespace: str = Field(default="", max_length=MOST_NAME)
    daemon_sets: tuple[ClusterDaemonSet, ...] | None = None
    cilium: Mapping[str, str] | None = None
    """Those of Cilium's settings that concern its programs, from `cilium-config`; empty without Cilium."""
    unseen: tuple[str, ...] = ()
    """Why something was not seen. It takes nothing from what was seen on the node."""


class Evidence(Seen):
    """The whole document."""

    schema_: Literal["csm.tc-evidence/1"] = Field(default="csm.tc-evidence/1", alias="schema")
    collector: Literal["python", "tools"] = "python"
    """`tools`: from `tc -j` and `bpftool -j`, which see less."""
    byte_order: Literal["little", "big"] = "little"
    kernel: str = Field(default="", max_length=MOST_NAME)
    tcx: bool | None = None
    """Whether the kernel knows tcx. `None`: not seen."""
    duration_s: float = 0.0
    agent: AgentSeen = AgentSeen()
    cluster: Cluster | None = None
    """`None` where there is no cluster."""
    namespaces: tuple[Namespace, ...] = ()
    vanished: int = 0
    """How many namespaces were gone before they were read."""
    programs: Mapping[int, Program] = {}
    program_arrays: Mapping[int, ProgramArray] = {}
    unseen: tuple[str, ...] = ()
    """What could not be seen at all, and why: sentences for people."""

    def program(self, number: int) -> Program | None:
        """A program with its instructions and calls, also where the document gives them once for many; where they count."""
        found = self.programs.get(number)
        if found is not None and found.replaced_by:
            by = ", ".join(map(str, found.replaced_by[:5]))
            why = f"Functions of it are replaced by others' (program {by}), so its own instructions do not tell."
            return found.model_copy(update={"instructions": None, "unseen": (why, *found.unseen)})
        if found is None or found.same_as is None:
            return found
        source = self.programs.get(found.same_as, found)
        instructions = None
        with contextlib.suppress(ValueError):
            code = _with_maps(source.code(), found.loads, self.byte_order)
            instructions = base64.b64encode(code).decode() or None
        unseen = found.unseen or source.unseen
        return found.model_copy(update={"instructions": instructions, "calls": source.calls, "unseen": unseen})


def _with_maps(code: bytes, loads: Sequence[int], byte_order: Literal["little", "big"]) -> bytes:
    """Instructions that load these maps, where others are loaded. What has too few or too many is left as it is."""
    found = bytearray(code)
    opcodes, numbers = code[::8], iter(loads)
    index = opcodes.find(LOAD_64)
    while 0 <= index < len(code) // 8:
        source = code[index * 8 + 1] >> 4 if byte_order == "little" else code[index * 8 + 1] & 15
        if source in MAP_SOURCES and (number := next(numbers, None)) is not None:
            found[index * 8 + 4 : index * 8 + 8] = (number & 0xFFFFFFFF).to_bytes(4, byte_order)
        index = opcodes.find(LOAD_64, index + 2)
    return bytes(found)
