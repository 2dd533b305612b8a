"""
What the kernel of one node knows about packet classifiers: `csm.tc-evidence/1`.

The collector prints this document on the node, so everything in it is foreign: bounded here, and redacted before it is
shown. Facts are tri-state: `None` means *not seen*, and `unseen` says why. Nothing in here is a judgement.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_NAME = 256


class Seen(BaseModel):
    """The base of everything in the document: immutable, and patient with what a newer collector adds."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Attachment(StrEnum):
    """How a program or filter is attached to a hook. In the order in which the kernel runs them."""

    NETKIT = "netkit"
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
    """Kinds of the actions attached to a filter that is not direct-action: `gact drop`, `mirred`, …"""


class Device(Seen):
    """One network device in one namespace. Both chains are in the order in which the kernel runs them."""

    name: str = Field(max_length=MOST_NAME)
    index: int
    kind: str = Field(default="", max_length=MOST_NAME)
    """`veth`, `bridge`, `netkit`, … as netlink says it; empty for plain devices."""
    up: bool | None = None
    clsact: bool | None = None
    ingress: tuple[Entry, ...] | None = None
    egress: tuple[Entry, ...] | None = None
    tcx_seen: bool | None = None
    """Whether tcx and netkit programs could be listed. `False` on a kernel without tcx means: there are none."""
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
    unseen: tuple[str, ...] = ()


class Program(Seen):
    """An eBPF program, as the kernel describes it."""

    id: int
    type: int | None = None
    name: str = Field(default="", max_length=MOST_NAME)
    tag: str = Field(default="", max_length=32)
    instructions: str | None = None
    """Its translated instructions in base64, eight bytes each, in the node's byte order; `None` when hidden."""
    calls: Mapping[int, str] = {}
    """Helper functions by the index of the calling instruction, where their names could be found out."""
    maps: tuple[int, ...] = ()
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


class Evidence(Seen):
    """The whole document."""

    schema_: Literal["csm.tc-evidence/1"] = Field(default="csm.tc-evidence/1", alias="schema")
    collector: Literal["python", "tools"] = "python"
    """`tools`: from `tc -j` and `bpftool -j`, which see less."""
    byte_order: Literal["little", "big"] = "little"
    kernel: str = Field(default="", max_length=MOST_NAME)
    duration_s: float = 0.0
    agent: AgentSeen = AgentSeen()
    namespaces: tuple[Namespace, ...] = ()
    programs: Mapping[int, Program] = {}
    program_arrays: Mapping[int, ProgramArray] = {}
    unseen: tuple[str, ...] = ()
    """What could not be seen at all, and why: sentences for people."""
