"""
Judges one Agent, from its evidence only.

The steps: check whether there is anything to judge (an Agent without network detections has no filters); judge every
hook of every device; then judge what only shows across all devices: the race of old Agents, an Agent without any
filter, devices that differ from their siblings. What was not seen is a finding of its own, and never a pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from handlers.agent.findings import KINDS
from handlers.model import Verdict
from handlers.tc.agent_settings import HAS_NETWORK, AgentSettings, is_racy, read_settings
from handlers.tc.checklist import answers
from handlers.tc.devices import Group, JudgedDevice, groups, odd_ones
from handlers.tc.evidence import Attachment, Cluster, Evidence
from handlers.tc.hooks import DIRECTIONS, Direction, HookJudge, Link, Ruling
from handlers.tc.returns import Analyst
from handlers.version import AgentVersion

_MOST_LINES = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One finding code with its detail, evidence lines and chain entries."""

    code: str
    detail: str = ""
    evidence: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def rank(self) -> tuple[int, int, str]:
        """Sort key that puts the worst first."""
        kind = KINDS[self.code]
        return -kind.verdict.badness, -kind.severity.badness, self.code


@dataclass(frozen=True, slots=True)
class NodeJudgement:
    """The judgement of one Agent's evidence."""

    settings: AgentSettings
    priority: int | None
    """The Agent's priority: that of its attached filters, or else that of its settings."""
    found: tuple[Found, ...] = ()
    groups: tuple[Group, ...] = ()
    answers: tuple[str, ...] = ()
    """Answers to the documentation's checklist."""
    links: tuple[Link, ...] = field(default=(), repr=False)
    """All entries of all chains."""
    plugins: tuple[str, ...] = ()
    """Lines about the cluster's network plugins."""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the findings; `pass` without findings."""
        return max((KINDS[each.code].verdict for each in self.found), key=lambda v: v.badness, default=Verdict.PASS)


def judge(evidence: Evidence, version: AgentVersion | None) -> NodeJudgement:
    """Judge the evidence. `version` is the Agent's version, from any source; `None`: not known."""
    return _Judge(evidence, version).judgement()


class _Judge:
    def __init__(self, evidence: Evidence, version: AgentVersion | None) -> None:
        self._evidence = evidence
        self._version = version
        self._settings = read_settings(evidence.agent, version)
        self._hooks = HookJudge(evidence, self._settings, Analyst(evidence))
        self._own = self._own_filters()
        prefs = Counter(link.entry.pref for _, link in self._own if link.entry.pref is not None)
        attached = prefs.most_common(1)[0][0] if prefs else None
        self._priority = attached if attached is not None else self._settings.priority
        self._watched = self._watches_ingress()

    def judgement(self) -> NodeJudgement:
        if skipped := self._nothing_to_judge():
            return NodeJudgement(self._settings, self._priority, (Found(skipped),))
        devices = self._devices()
        links = tuple(link for each in devices for hook in each.hooks for link in hook.links)
        found = [*self._of_hooks(devices), *self._of_agent(devices, links), *self._of_sight(devices)]
        return NodeJudgement(
            self._settings,
            self._priority,
            tuple(sorted(found, key=lambda each: each.rank)),
            tuple(groups(devices)),
            answers(links),
            links,
            _plugins(self._evidence.cluster),
        )

    def _nothing_to_judge(self) -> str | None:
        """Return the finding code for why the Agent certainly has no filters. An attached filter rules that out."""
        if self._own:
            return None
        if self._settings.ebpfless:
            return "tc.ebpfless"
        if self._settings.enabled is False:
            return "tc.disabled"
        if self._settings.network is False:
            return "tc.network_disabled"
        if self._version is not None and self._version.era < HAS_NETWORK:
            return "tc.too_old"
        return None

    def _own_filters(self) -> list[tuple[Direction, Link]]:
        return [
            (direction, link)
            for namespace in self._evidence.namespaces
            for device in namespace.devices
            for direction in DIRECTIONS
            for link in self._hooks.links((device.ingress if direction == "ingress" else device.egress) or ())
            if link.own
        ]

    def _watches_ingress(self) -> bool | None:
        """Derive from attached filters whether the Agent watches ingress, if the version's default is not known."""
        directions = {direction for direction, _ in self._own}
        if "ingress" in directions:
            return True
        certain = self._version is not None and self._evidence.agent.settings_seen and not self._evidence.agent.unseen
        return False if directions and certain else None

    def _devices(self) -> list[JudgedDevice]:
        return [
            JudgedDevice(
                namespace,
                device,
                tuple(
                    self._hooks.judge(device, direction, priority=self._priority, watched=self._watched)
                    for direction in DIRECTIONS
                ),
            )
            for namespace in self._evidence.namespaces
            for device in namespace.devices
        ]

    # -- findings -----------------------------------------------------------------------------------------

    def _of_hooks(self, devices: Sequence[JudgedDevice]) -> list[Found]:
        by_code: dict[str, list[tuple[JudgedDevice, Direction, Ruling]]] = {}
        for each in devices:
            for hook in each.hooks:
                for ruling in hook.rulings:
                    by_code.setdefault(ruling.code, []).append((each, hook.direction, ruling))
        if not self._own:
            # Without any filter on the node, `tc.not_attached` reports it, not single devices; and no removal was seen.
            by_code.pop("tc.missing", None)
            by_code.pop("tc.removed", None)
        return [self._summed_up(code, rulings) for code, rulings in by_code.items()]

    def _summed_up(self, code: str, rulings: Sequence[tuple[JudgedDevice, Direction, Ruling]]) -> Found:
        links = {(r.link.who, r.link.what, r.link.entry.pref): r.link for _, _, r in rulings if r.link}
        who = _all_named(links.values())
        where = _places([(each, direction) for each, direction, _ in rulings])
        why = next((ruling.detail for _, _, ruling in rulings if ruling.detail), "")
        detail = f"{who} on {where}" if who else where
        if code == "tc.unseen":
            detail = f"{why}, on {where}"
        return Found(code, detail, _lines(rulings, self._priority), tuple(links.values()))

    def _of_agent(self, devices: Sequence[JudgedDevice], links: Sequence[Link]) -> list[Found]:
        found = [*self._race(links), *self._settings_unseen()]
        if not self._own and devices:
            running = self._evidence.agent.running
            seen = ", ".join(f"{name} ({pid})" for name, pid in list(running.items())[:5]) or "none was seen"
            found.append(Found("tc.not_attached", evidence=(f"processes of the Agent: {seen}",)))
        found += self._not_applied()
        return found + self._odd(devices)

    def _odd(self, devices: Sequence[JudgedDevice]) -> list[Found]:
        unlike = odd_ones(devices)
        if not unlike:
            return []
        first, typical, number = unlike[0]
        lines = [f"{each.label}: {_outcome(each)}" for each, _, _ in unlike[: _MOST_LINES - 1]]
        lines.append(f"{number} siblings of {first.device.name}, such as {typical.label}: {_outcome(typical)}")
        return [Found("tc.odd_device", _places_of([each for each, _, _ in unlike]), tuple(lines))]

    def _race(self, links: Sequence[Link]) -> list[Found]:
        prone = [
            link
            for link in links
            if not link.own and link.entry.attachment is Attachment.FILTER and link.entry.kind == "bpf"
            and link.entry.pref == 1 and link.entry.handle in {1, None}
        ]  # fmt: skip
        if not prone:
            return []
        detail = _all_named(prone)
        evidence = tuple(dict.fromkeys(f"{_named(link)}: priority 1, handle {link.entry.handle}" for link in prone))
        if self._version is not None:
            return (
                [Found("tc.race", detail, evidence[:_MOST_LINES], tuple(prone[:5]))] if is_racy(self._version) else []
            )
        # An Agent whose filters have another priority than 1 is of a version without the race.
        if self._own and self._priority != 1:
            return []
        return [Found("tc.version_unseen", detail, evidence[:_MOST_LINES])]

    def _settings_unseen(self) -> list[Found]:
        ingress = self._watched if self._settings.ingress is None else self._settings.ingress
        unsure = {"whether it watches ingress": ingress}
        if "system-probe" not in self._evidence.agent.running:
            # Filters outlive the process that attached them.
            unsure["whether system-probe is running"] = None
        if not self._own:
            unsure = {
                "whether Workload Protection is enabled": self._settings.enabled,
                "whether network detections are": self._settings.network,
                "whether it works with eBPF": self._settings.ebpfless,
            }
        names = [name for name, value in unsure.items() if value is None]
        return (
            [Found("tc.settings_unseen", ", ".join(names), self._evidence.agent.unseen[:_MOST_LINES])] if names else []
        )

    def _not_applied(self) -> list[Found]:
        said, setting = self._settings.priority, self._settings.priority_setting
        if not self._own or said is None or setting is None or said == self._priority:
            return []
        return [
            Found(
                "tc.not_applied",
                f"{self._priority} where {setting.key} says {said}",
                (f"{setting.key}: {setting.value} ({setting.source})",),
            )
        ]

    def _of_sight(self, devices: Sequence[JudgedDevice]) -> list[Found]:
        """Findings about what could not be seen."""
        found = []
        said = [*self._evidence.unseen]
        hosts = [namespace for namespace in self._evidence.namespaces if namespace.host]
        if not any(namespace.devices for namespace in hosts):
            why = said[0] if said else "the host's network namespace is not in the evidence"
            found.append(Found("tc.nothing_seen", why.rstrip("."), tuple(said[:_MOST_LINES])))
        elif not any(hook.expected is not False or hook.attached for each in devices for hook in each.hooks):
            found.append(Found("tc.nothing_seen", "none of its devices is one that the Agent watches"))
        said += [f"{n.name or n.inode}: {why}" for n in self._evidence.namespaces for why in n.unseen]
        said += [f"{each.label}: {why}" for each in devices for why in each.device.unseen]
        if said and not any(each.code == "tc.nothing_seen" for each in found):
            already = any("tc.unseen" in each.codes for each in devices)
            found += [] if already else [Found("tc.unseen", said[0].rstrip("."), tuple(said[:_MOST_LINES]))]
        return found


def _plugins(cluster: Cluster | None) -> tuple[str, ...]:
    if cluster is None:
        return ()
    named = [each for each in cluster.daemon_sets or () if each.name != "kube-proxy"]
    lines = [f"DaemonSet {each.name}: {', '.join(each.images)}"[:300] for each in named[:6]]
    settings = ", ".join(f"{name}: {value}" for name, value in (cluster.cilium or {}).items())
    return (*lines, *([f"cilium-config: {settings}"[:500]] if settings else []))


def _named(link: Link) -> str:
    """Name an entry for people: `Cilium's cil_from_container`."""
    what = link.what[:60]
    if link.vendor is None:
        return f"{what} of an unknown vendor" if link.entry.kind == "bpf" else f"a {what} filter"
    return f"{link.vendor.name}'s {what}"


def _all_named(links: Iterable[Link]) -> str:
    """Name several entries for people: `Cilium (cil_from_container, cil_to_container)`."""
    programs: dict[str, dict[str, None]] = {}
    for link in links:
        who = link.vendor.name if link.vendor else ("an unknown vendor" if link.entry.kind == "bpf" else "a filter")
        programs.setdefault(who, {})[link.what[:60]] = None
    return _some([f"{who} ({_some(what, 3)})" for who, what in programs.items()], 2)


def _places(places: Iterable[tuple[JudgedDevice, Direction]]) -> str:
    """Name directions and devices for people: `ingress of lxc1 and 211 more devices`."""
    devices = {id(each): each for each, _ in places}
    directions = " and ".join(dict.fromkeys(direction for _, direction in places))
    return f"{directions} of {_places_of(list(devices.values()))}"


def _places_of(devices: Sequence[JudgedDevice]) -> str:
    more = f" and {len(devices) - 1} more devices" if len(devices) > 2 else ""
    more = f" and {devices[1].label}" if len(devices) == 2 else more
    return f"{devices[0].label}{more}"


def _some(names: Iterable[str], most: int) -> str:
    found = list(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def _lines(rulings: Sequence[tuple[JudgedDevice, Direction, Ruling]], priority: int | None) -> tuple[str, ...]:
    """Evidence lines: one for all devices on which the same entry has the same effect, at most `_MOST_LINES`."""
    found: dict[str, list[str]] = {}
    for each, direction, ruling in rulings:
        found.setdefault(f"{direction}: {_told(ruling, priority)}", []).append(each.label)
    lines = [f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}, {line}" for line, names in found.items()]  # fmt: skip
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], f"… and {more} more kinds") if more > 0 else tuple(lines)


def _told(ruling: Ruling, priority: int | None) -> str:
    link = ruling.link
    if link is None:
        return ruling.detail or "no filter of the Agent"
    entry = link.entry
    place = f"priority {entry.pref}" if entry.attachment is Attachment.FILTER else entry.attachment.value
    agent = f"; the Agent's is {priority}" if priority is not None and entry.attachment is Attachment.FILTER else ""
    why = f" ({ruling.detail})" if ruling.detail else ""
    return f"{_named(link)}, {place}, can return {link.codes}{why}{agent}"


def _outcome(each: JudgedDevice) -> str:
    has = ", ".join(link.what for hook in each.hooks for link in hook.links if link.own)
    codes = ", ".join(dict.fromkeys(each.codes))
    return f"{f'filters of the Agent: {has}' if has else 'no filter of the Agent'}{f'; {codes}' if codes else ''}"
