"""
Judges one hook, which is one direction of one device.

    The Agent sees a packet on a hook if and only if no program that can end the chain runs before its own.

Every ruling names a finding code of `handlers.agent.findings.TC`. A hook without rulings has no problem.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from handlers.tc import agent_filters as agents_own
from handlers.tc.agent_settings import AgentSettings
from handlers.tc.effects import Effect, effect, names, of_codes
from handlers.tc.evidence import Attachment, Device, Entry, Evidence, Program
from handlers.tc.returns import Analyst, Returns
from handlers.tc.vendors import CILIUM_TCX, Vendor, recognise

Direction = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
_HAS_TCX = (6, 6)
_IP = frozenset((3, 0x0800, 0x86DD, 0x8100, 0x88A8))
"""Protocols of filters that match packets of interest: all, IPv4, IPv6, and VLAN tags around them."""


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of a chain with its analysis: owner, return codes and effect."""

    entry: Entry
    program: Program | None
    own: bool
    vendor: Vendor | None
    returns: Returns
    effect: Effect
    name: str = ""
    """Name without the device's name, which some vendors append."""
    by_table: bool = False
    """Whether the effect comes from the vendor table, because the instructions do not show it."""

    @property
    def who(self) -> str:
        """The owner, for people."""
        if self.own:
            return "the Agent"
        return self.vendor.name if self.vendor else "unknown"

    @property
    def what(self) -> str:
        """Name of the program or kind of the filter, for people; the same on every device."""
        if self.own:
            return agents_own.short_name(self.entry, self.program)
        return self.name if self.entry.kind == "bpf" and self.name else f"{self.entry.kind} {self.name}".strip()

    @property
    def codes(self) -> str:
        """Codes that it can return, for people."""
        said = names(self.entry, self.returns)
        if self.by_table and self.vendor and self.vendor.codes is not None:
            table = names(self.entry, Returns(self.vendor.codes))
            return f"cannot tell; by the vendor table {table}"
        return said


@dataclass(frozen=True, slots=True)
class Ruling:
    """One problem on a hook: the finding code, and the entry that causes it."""

    code: str
    link: Link | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """One direction of one device, judged."""

    direction: Direction
    links: tuple[Link, ...]
    rulings: tuple[Ruling, ...]
    expected: bool | None
    """Whether the Agent should have its filters here."""

    @property
    def attached(self) -> bool:
        """Whether the Agent has filters here."""
        return any(link.own for link in self.links)


class HookJudge:
    """Judges the hooks of one document."""

    def __init__(self, evidence: Evidence, settings: AgentSettings, analyst: Analyst) -> None:
        self._evidence = evidence
        self._settings = settings
        self._analyst = analyst
        self._kernel = _version(evidence.kernel)

    def judge(self, device: Device, direction: Direction, *, priority: int | None, watched: bool | None = None) -> Hook:
        """
        Judge one hook.

        `priority` is the Agent's priority, used where it has no filter on the hook. `watched` says whether the Agent
        attaches filters to ingress at all, and is used where its settings do not show that. `None`: not known.
        """
        expected = self._expected(device, direction, watched)
        entries = device.ingress if direction == "ingress" else device.egress
        if entries is None:
            why = f": {device.unseen[0]}" if device.unseen else ""
            return Hook(direction, (), (Ruling("tc.unseen", None, f"its chain could not be listed{why}"),), expected)
        links = self.links(entries, device.name)
        rulings = list(_judged(links, priority, expected=expected is not False))
        rulings += self._missing(device, links, expected, priority)
        if self._hides_tcx(device) and (expected is not False or any(link.own for link in links)):
            rulings.append(Ruling("tc.unseen", None, "tcx and netkit programs could not be listed"))
        return Hook(direction, links, tuple(rulings), expected)

    def links(self, entries: Sequence[Entry], device: str = "") -> tuple[Link, ...]:
        """Return the chain in execution order. Entries of equal priority keep the kernel's order."""
        return tuple(self._link(entry, device) for entry in _in_order(entries))

    def _link(self, entry: Entry, device: str) -> Link:
        if entry.kind != "bpf":
            return Link(
                entry, None, own=False, vendor=None, returns=Returns(), effect=effect(entry, Returns()), name=entry.name
            )
        program = self._evidence.programs.get(entry.program) if entry.program is not None else None
        returns = self._analyst.returns(entry.program)
        if agents_own.is_own(entry, program, returns):
            return Link(entry, program, own=True, vendor=None, returns=returns, effect=Effect.CONTINUES)
        vendor, found = recognise(entry, program), effect(entry, returns)
        name = (entry.name or (program.name if program else "")).removesuffix(f"-{device}")
        if found is Effect.UNKNOWN and vendor and vendor.codes is not None and entry.direct_action is not False:
            known = of_codes(entry.attachment, vendor.codes)
            return Link(
                entry, program, own=False, vendor=vendor, returns=returns, effect=known, name=name, by_table=True
            )
        return Link(entry, program, own=False, vendor=vendor, returns=returns, effect=found, name=name)

    def _expected(self, device: Device, direction: Direction, watched: bool | None) -> bool | None:
        if device.up is False or device.kind == "dummy" or device.name.startswith(self._settings.lazy):
            return False
        if direction == "egress":
            return True
        return watched if self._settings.ingress is None else self._settings.ingress

    def _hides_tcx(self, device: Device) -> bool:
        if device.tcx_seen or self._evidence.tcx is False:
            return False
        return self._kernel is None or self._kernel >= _HAS_TCX

    def _missing(
        self, device: Device, links: Sequence[Link], expected: bool | None, priority: int | None
    ) -> list[Ruling]:
        """Rulings for missing filters of the Agent, with the reason as far as the chain shows it."""
        own = [link for link in links if link.own]
        if not expected or not all(agents_own.is_raw(link.entry, link.program) for link in own):
            return []
        room = "an older ingress qdisc leaves no room for clsact" if device.qdisc == "ingress" else ""
        room = "its clsact qdisc, which holds filters, is not there" if device.clsact is False and not room else room
        if any(link.entry.shared for link in links):
            room = "its filters are in a block that devices share, and the kernel adds none to that for one device"
        handles = {self._settings.handle or 1, self._settings.raw_handle or self._settings.handle or 1}
        taken = next((link for link in links if priority is not None and link.entry.pref == priority and link.entry.handle in handles), None)  # fmt: skip
        if taken is not None:
            return [Ruling("tc.handle_taken", taken)]
        if own:
            return [Ruling("tc.missing", None, "only its filter for raw packets is there")]
        removing = next((link for link in links if link.vendor is CILIUM_TCX), None)
        return [Ruling("tc.removed", removing)] if removing else [Ruling("tc.missing", None, room)]


def _in_order(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Sort tcx before filters, filters by chain and priority. A netkit program stays at the end where it is listed."""
    started = [entry.attachment is not Attachment.NETKIT for entry in entries]

    def rank(numbered: tuple[int, Entry]) -> tuple[int, int, int]:
        number, entry = numbered
        if entry.attachment is Attachment.NETKIT:
            return (3 if any(started[:number]) else 0), 0, 0
        return (1, 0, 0) if entry.attachment is Attachment.TCX else (2, entry.chain or 0, entry.pref or 0)

    return [entry for _, entry in sorted(enumerate(entries), key=rank)]


def _judged(links: Sequence[Link], priority: int | None, *, expected: bool) -> list[Ruling]:
    last = max((number for number, link in enumerate(links) if link.own), default=None)
    if last is None and not expected:
        return []
    found: list[Ruling] = []
    at = links[last].entry.pref if last is not None else priority
    for number, link in enumerate(links):
        if link.own or not _concerns(link.entry, links):
            continue
        before = number < last if last is not None else _runs_before(number, links, priority)
        if before is None:
            found += _undecided(link)
        elif before:
            found += _before(link, at)
        elif link.entry.pref == at and link.effect is not Effect.CONTINUES:
            found.append(Ruling("tc.priority_equal", link))
    return found


def _runs_before(number: int, links: Sequence[Link], priority: int | None) -> bool | None:
    """
    Return whether this entry would run before the Agent's filter, on a hook without one; `None`: not known.

    At equal priority either can run first, so the entry counts as before.
    """
    entry = links[number].entry
    if entry.attachment is Attachment.NETKIT:
        return not any(link.entry.attachment is not Attachment.NETKIT for link in links[:number])
    if entry.attachment is Attachment.TCX:
        return True
    if priority is None or entry.pref is None:
        return None
    return entry.pref <= priority


def _before(link: Link, priority: int | None) -> list[Ruling]:
    if link.entry.attachment is Attachment.NETKIT and link.effect in {Effect.REDIRECTS, Effect.PASSES}:
        return [Ruling("tc.netkit", link)]
    match link.effect:
        case Effect.ENDS:
            return [Ruling(_ending_code(link.entry, priority), link)]
        case Effect.REDIRECTS:
            return [Ruling("tc.redirected", link)]
        case Effect.MATCHES:
            return [Ruling("tc.matching_filter", link)]
        case Effect.UNKNOWN:
            return [Ruling("tc.cannot_tell", link, link.returns.unknown[0] if link.returns.unknown else "")]
        case Effect.CONTINUES | Effect.PASSES:
            return [Ruling("tc.by_table", link)] if link.by_table else []


def _ending_code(entry: Entry, priority: int | None) -> str:
    if entry.attachment is not Attachment.FILTER:
        return "tc.tcx_first"
    pref = entry.pref or 0
    if pref <= 1:
        return "tc.priority_one"
    if pref <= 10 or (priority is not None and priority <= 10):
        return "tc.priority_low"
    return "tc.priority_raised"


def _undecided(link: Link) -> list[Ruling]:
    return [] if link.effect is Effect.CONTINUES and not link.by_table else [Ruling("tc.priority_unseen", link)]


def _concerns(entry: Entry, links: Sequence[Link]) -> bool:
    """Return whether packets of interest can reach the entry: an IP protocol, and a chain that is run."""
    if entry.protocol is not None and entry.protocol not in _IP:
        return False
    jumps = any("goto" in action for link in links for action in link.entry.actions)
    return not entry.chain or jumps


def _version(kernel: str) -> tuple[int, int] | None:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", kernel)
    return (int(found[1]), int(found[2])) if found else None
