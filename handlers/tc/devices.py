"""Devices with their siblings: what is alike is one group, and what is unlike its many siblings stands out."""

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
"""From so many siblings on, one that differs is worth a word."""
_MAJORITY = 0.8


@dataclass(frozen=True, slots=True)
class JudgedDevice:
    """A device and the decision for both of its hooks."""

    namespace: Namespace
    device: Device
    hooks: tuple[Hook, ...]

    @property
    def family(self) -> tuple[bool, str, str]:
        """Devices that do the same work: on the same side, of the same kind, named alike."""
        return self.namespace.host, self.device.kind, _stem(self.device.name)

    @property
    def label(self) -> str:
        """For people."""
        where = "" if self.namespace.host else f" in {self.namespace.name or f'namespace {self.namespace.inode}'}"
        return f"{self.device.name}{where}"

    @property
    def codes(self) -> tuple[str, ...]:
        """The finding codes of both hooks."""
        return tuple(ruling.code for hook in self.hooks for ruling in hook.rulings)

    @property
    def verdict(self) -> Verdict:
        """The worst of both hooks; `skipped` when the Agent watches neither."""
        found = [KINDS[code].verdict for code in self.codes]
        if not found and all(hook.expected is False and not hook.attached for hook in self.hooks):
            return Verdict.SKIPPED
        return max(found, key=lambda verdict: verdict.badness, default=Verdict.PASS)

    @property
    def looks(self) -> tuple[object, ...]:
        """All that a table shows of it."""
        return tuple(
            (hook.direction, hook.expected, tuple((link.entry.attachment, link.who, link.what, link.entry.pref, link.codes) for link in hook.links))
            for hook in self.hooks
        )  # fmt: skip

    @property
    def outcome(self) -> tuple[object, ...]:
        """What it comes to for the Agent; siblings should have the same."""
        return self.codes, tuple(frozenset(link.what for link in hook.links if link.own) for hook in self.hooks)


@dataclass(frozen=True, slots=True)
class Group:
    """Devices of one family with the same chains and the same verdict."""

    devices: tuple[JudgedDevice, ...]

    @property
    def title(self) -> str:
        """`veth devices lxc*, host namespace`; without numbers, so that it is the same on every node."""
        host, kind, stem = self.devices[0].family
        name = self.devices[0].device.name
        shown = f"{stem}*" if stem != name or len(self.devices) > 1 else name
        return f"{shown}{f' ({kind})' if kind else ''}, {'host namespace' if host else 'other namespaces'}"

    @property
    def verdict(self) -> Verdict:
        """Of each of its devices."""
        return self.devices[0].verdict


def groups(devices: Iterable[JudgedDevice]) -> Sequence[Group]:
    """The worst first, then the largest."""
    found: dict[tuple[object, ...], list[JudgedDevice]] = {}
    for each in devices:
        found.setdefault((each.family, each.looks, each.outcome), []).append(each)
    made = [Group(tuple(members)) for members in found.values()]
    return sorted(made, key=lambda group: (-group.verdict.badness, -len(group.devices), group.title))


def odd_ones(devices: Iterable[JudgedDevice]) -> Sequence[tuple[JudgedDevice, JudgedDevice, int]]:
    """Devices that come to something else than most of their many siblings; each with a sibling, and how many there are."""
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
    """The part of a name that siblings share: what is before the first digit, or a prefix that is known."""
    known = _KNOWN.match(name)
    return known[0] if known else re.split(r"[0-9.@]", name, maxsplit=1)[0] or name
