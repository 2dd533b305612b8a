"""
The state of packet classifiers in the kernel of one node, as data: the document `csm.tc-evidence/1`.

The collector prints this document on the node, so its content is untrusted: it is bounded here, and redacted before it
is shown. Facts are tri-state: `None` means *not seen*, and `unseen` says why. The document holds no judgement.
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
"""Opcode of the instruction that loads 64 bits and takes two slots."""
MAP_SOURCES = (1, 2, 5, 6)
"""The source registers of that instruction for which it loads a map."""


class Seen(BaseModel):
    """Base class of the document's models: immutable. Ignores unknown fields, which a newer collector may add."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Attachment(StrEnum):
    """How a program or filter is attached to a hook. A chain is in execution order: tcx runs before any filter."""

    NETKIT = "netkit"
    """
    Runs while a packet passes to the other device of the pair: after this device's egress, before the other device's
    ingress. Both devices list the program, so it is at the end of an egress chain and at the start of an ingress chain.
    """
    TCX = "tcx"
    FILTER = "filter"
    """A classic filter of clsact."""


class Entry(Seen):
    """One entry in the chain of a hook: a filter, or a tcx or netkit program."""

    attachment: Attachment
    kind: str = Field(default="bpf", max_length=MOST_NAME)
    """Kind of a filter: `bpf`, `flower`, `u32`, `matchall`, …; always `bpf` for tcx and netkit."""
    pref: int | None = None
    """Priority; filters only. A smaller number runs earlier."""
    handle: int | None = None
    chain: int | None = None
    protocol: int | None = None
    """Ethertype; 3 is all."""
    program: int | None = None
    """The id of its eBPF program, a key of `Evidence.programs`."""
    name: str = Field(default="", max_length=MOST_NAME)
    """Name that the filter was attached with; tcx and netkit entries have no name of their own."""
    direct_action: bool | None = None
    actions: tuple[str, ...] = ()
    """Actions of a filter without direct-action, as kind and control: `gact drop`, `mirred egress mirror pipe`, …"""
    skip_sw: bool = False
    """Whether the filter is for hardware only, so that the kernel does not run it."""
    shared: bool = False
    """Whether the filter is in a block that devices share. No filter can be added to it by the name of one device."""


class Device(Seen):
    """One network device in one namespace. Both chains are in the order in which the kernel runs them."""

    name: str = Field(max_length=MOST_NAME)
    index: int
    kind: str = Field(default="", max_length=MOST_NAME)
    """The kind that netlink reports: `veth`, `bridge`, `netkit`, …; empty for plain devices."""
    up: bool | None = None
    clsact: bool | None = None
    qdisc: str = Field(default="", max_length=MOST_NAME)
    """Qdisc that holds the classic filters: `clsact`, the older `ingress` (which excludes clsact), or empty."""
    link: int | None = None
    """Index of the device that this one is tied to, such as the peer of a veth, in that device's own namespace."""
    ingress: tuple[Entry, ...] | None = None
    egress: tuple[Entry, ...] | None = None
    tcx_seen: bool | None = None
    """
    Whether tcx and netkit programs could be listed. `True` also on a kernel without tcx, where there are none.
    `False`: not seen, so the chain may be incomplete, and `unseen` says why.
    """
    unseen: tuple[str, ...] = ()


class Namespace(Seen):
    """One network namespace."""

    inode: int
    host: bool = False
    """Whether this is the network namespace of the host's process 1."""
    pids: tuple[int, ...] = ()
    """The pids of a few of its processes."""
    name: str = Field(default="", max_length=MOST_NAME)
    """Name for people: that of its first process, or of a named namespace."""
    devices: tuple[Device, ...] = ()
    vanished: tuple[str, ...] = ()
    """Names of devices that disappeared while the namespace was read. They need no verdict."""
    unseen: tuple[str, ...] = ()


class Program(Seen):
    """An eBPF program, as the kernel describes it."""

    id: int
    type: int | None = None
    name: str = Field(default="", max_length=MOST_NAME)
    tag: str = Field(default="", max_length=32)
    instructions: str | None = None
    """
    Translated instructions in base64, eight bytes each, in the node's byte order; `None` when hidden.

    A `call` of one of the program's own functions (source register 1) keeps its offset in `off`.
    """
    same_as: int | None = None
    """Id of the program whose instructions are the same except for the maps that they load: use `Evidence.program`."""
    loads: tuple[int, ...] = ()
    """Ids of the maps that the instructions load, in the order of the instructions."""
    calls: Mapping[int, str] = {}
    """
    Names of helper functions by the index of the calling instruction, where the kernel shows them: `bpf_redirect`,
    `bpf_tail_call`, or the function that the verifier put in a helper's place. With `same_as`, use `Evidence.program`.
    """
    maps: tuple[int, ...] = ()
    replaced_by: tuple[int, ...] = ()
    """Programs that replace functions of this one (freplace). Its instructions then do not show what it does."""
    unseen: tuple[str, ...] = ()

    def code(self) -> bytes:
        """Return the instructions as bytes; empty when they are hidden. Raises `ValueError` for invalid base64."""
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
    """One setting of the running Agent process."""

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
    """
    By the setting's name, which is the same for the old and the new key: `runtime_security.enabled`, `network.enabled`,
    `network.classifier_priority`, `network.classifier_handle`, `network.raw_classifier_handle`,
    `network.ingress.enabled`, `network.raw_packet.enabled`, `network.lazy_interface_prefixes`, `ebpfless.enabled`.
    """
    settings_seen: bool | None = None
    """False when neither environment nor files could be read. A missing setting then does not mean the default."""
    unseen: tuple[str, ...] = ()


class ClusterDaemonSet(Seen):
    """A DaemonSet of the network plugin's namespace."""

    name: str = Field(max_length=MOST_NAME)
    images: tuple[str, ...] = ()


class Cluster(Seen):
    """Facts from the cluster's API, read without any exec. `None`: not seen."""

    namespace: str = Field(default="", max_length=MOST_NAME)
    daemon_sets: tuple[ClusterDaemonSet, ...] | None = None
    cilium: Mapping[str, str] | None = None
    """Cilium settings that concern its programs, from `cilium-config`; empty without Cilium."""
    unseen: tuple[str, ...] = ()
    """Why facts of the cluster were not seen. This does not affect the facts from the node."""


class Evidence(Seen):
    """The whole document."""

    schema_: Literal["csm.tc-evidence/1"] = Field(default="csm.tc-evidence/1", alias="schema")
    collector: Literal["python", "tools"] = "python"
    """`python`: the collector program. `tools`: `tc -j` and `bpftool -j`, which see less."""
    byte_order: Literal["little", "big"] = "little"
    kernel: str = Field(default="", max_length=MOST_NAME)
    tcx: bool | None = None
    """Whether the kernel supports tcx. `None`: not seen."""
    duration_s: float = 0.0
    agent: AgentSeen = AgentSeen()
    cluster: Cluster | None = None
    """`None` where there is no cluster."""
    namespaces: tuple[Namespace, ...] = ()
    vanished: int = 0
    """Number of namespaces that were gone before they were read."""
    programs: Mapping[int, Program] = {}
    program_arrays: Mapping[int, ProgramArray] = {}
    unseen: tuple[str, ...] = ()
    """What could not be seen at all, and why: sentences for people."""

    def program(self, number: int) -> Program | None:
        """
        Return a program with its instructions and calls; `None` when the document does not hold it.

        Instructions that the document stores once for many programs (`same_as`) are filled in. They are left out when
        other programs replace functions of this one, because they then do not show what it does.
        """
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
    """The instructions with the loaded maps replaced by `loads`, in order. Excess loads or ids are left as they are."""
    found = bytearray(code)
    opcodes, numbers = code[::8], iter(loads)
    index = opcodes.find(LOAD_64)
    while 0 <= index < len(code) // 8:
        source = code[index * 8 + 1] >> 4 if byte_order == "little" else code[index * 8 + 1] & 15
        if source in MAP_SOURCES and (number := next(numbers, None)) is not None:
            found[index * 8 + 4 : index * 8 + 8] = (number & 0xFFFFFFFF).to_bytes(4, byte_order)
        index = opcodes.find(LOAD_64, index + 2)
    return bytes(found)
