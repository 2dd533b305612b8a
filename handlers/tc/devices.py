"""Groups devices that are alike, and finds devices that differ from most of their siblings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from handlers.agent.findings import KINDS
from handlers.model import Verdict
from handlers.tc.evidence import Device, Namespace
from handlers.tc.hooks import Hook

_KNOWN = re.compile(r"(lxc|cali|eni|veth|azv|gke|nk|vlan|tap|br-|if|cilium_|flannel|tunl|docker|ens|enp|eth|eno)")
MANY = 5
"""Minimum number of alike siblings for a differing device to be reported."""
_MAJORITY = 0.8


@dataclass(frozen=True, slots=True)
class JudgedDevice:
    """A device with both of its hooks, judged."""

    namespace: Namespace
    device: Device
    hooks: tuple[Hook, ...]

    @property
    def family(self) -> tuple[bool, str, str]:
        """Key of devices that do the same work: in the host's namespace or not, kind, and stem of the name."""
        return self.namespace.host, self.device.kind, _stem(self.device.name)

    @property
    def label(self) -> str:
        """The device's name for people, with its namespace unless that is the host's."""
        where = "" if self.namespace.host else f" in {self.namespace.name or f'namespace {self.namespace.inode}'}"
        return f"{self.device.name}{where}"

    @property
    def codes(self) -> tuple[str, ...]:
        """The finding codes of both hooks."""
        return tuple(ruling.code for hook in self.hooks for ruling in hook.rulings)

    @property
    def verdict(self) -> Verdict:
        """The worse verdict of both hooks; `skipped` when the Agent watches neither and has no filters there."""
        found = [KINDS[code].verdict for code in self.codes]
        if not found and all(hook.expected is False and not hook.attached for hook in self.hooks):
            return Verdict.SKIPPED
        return max(found, key=lambda verdict: verdict.badness, default=Verdict.PASS)

    @property
    def looks(self) -> tuple[object, ...]:
        """Everything that a table shows of the device. Devices in one group have it in common."""
        return tuple(
            (hook.direction, hook.expected, tuple((link.entry.attachment, link.who, link.what, link.entry.pref, link.codes) for link in hook.links))
            for hook in self.hooks
        )  # fmt: skip

    @property
    def outcome(self) -> tuple[object, ...]:
        """The finding codes and the Agent's own filters. Siblings should have the same outcome."""
        return self.codes, tuple(frozenset(link.what for link in hook.links if link.own) for hook in self.hooks)


@dataclass(frozen=True, slots=True)
class Group:
    """Devices of one family with the same chains and the same verdict."""

    devices: tuple[JudgedDevice, ...]

    @property
    def title(self) -> str:
        """The title, such as `lxc* (veth), host namespace`. It has no numbers, so it is the same on every node."""
        host, kind, stem = self.devices[0].family
        name = self.devices[0].device.name
        shown = f"{stem}*" if stem != name or len(self.devices) > 1 else name
        return f"{shown}{f' ({kind})' if kind else ''}, {'host namespace' if host else 'other namespaces'}"

    @property
    def verdict(self) -> Verdict:
        """The verdict, which all devices of the group share."""
        return self.devices[0].verdict


def groups(devices: Iterable[JudgedDevice]) -> Sequence[Group]:
    """Group the devices. The worst verdict comes first, then the largest group."""
    found: dict[tuple[object, ...], list[JudgedDevice]] = {}
    for each in devices:
        found.setdefault((each.family, each.looks, each.outcome), []).append(each)
    made = [Group(tuple(members)) for members in found.values()]
    return sorted(made, key=lambda group: (-group.verdict.badness, -len(group.devices), group.title))


def odd_ones(devices: Iterable[JudgedDevice]) -> Sequence[tuple[JudgedDevice, JudgedDevice, int]]:
    """
    Find devices whose outcome differs from that of most siblings: at least `MANY` siblings, and 80 % of the family.

    Return each with a typical sibling and the number of siblings that have the usual outcome.
    """
    families: dict[tuple[bool, str, str], list[JudgedDevice]] = {}
    for each in devices:
        families.setdefault(each.family, []).append(each)
    found = []
    for members in families.values():
        usual, number = Counter(each.outcome for each in members).most_common(1)[0]
        if number < MANY or number < _MAJORITY * len(members):
            continue
        typical = next(each for each in members if each.outcome == usual)
        found += [(each, typical, number) for each in members if each.outcome != usual]
    return found


def _stem(name: str) -> str:
    """The part of a name that siblings share: a known prefix, or else the part before the first digit, `.` or `@`."""
    known = _KNOWN.match(name)
    return known[0] if known else re.split(r"[0-9.@]", name, maxsplit=1)[0] or name
