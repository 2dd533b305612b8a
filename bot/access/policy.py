"""
Who may do what, where. Everything is denied unless a rule allows it, and every refusal says who is allowed.

Pure: the input is a person with their Slack groups, the output is a decision.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from handlers.model import Frozen


class Rule(Frozen):
    """`{who, may, on, in}` of the configuration."""

    who: tuple[str, ...]
    """User ids, groups as `@handle` or by id, or `*`: every member of the workspace except guests."""
    may: tuple[str, ...]
    """Command names, or `*`."""
    on: tuple[str, ...]
    """Target names, with `*` and `?`."""
    in_: tuple[str, ...]
    """Channel ids, or `*`."""

    def covers(self, command: str, target: str) -> bool:
        """Whether the rule is about this command on this target."""
        return bool({command, "*"} & set(self.may)) and any(fnmatch.fnmatchcase(target, glob) for glob in self.on)

    def names(self, person: Person) -> bool:
        """Whether the rule's `who` includes the person."""
        return bool({person.id, "*", *person.groups} & set(self.who))

    def here(self, channel: str) -> bool:
        """Whether the rule applies in this channel."""
        return bool({channel, "*"} & set(self.in_))


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user, with the facts that the policy needs. Users are identified by id, never by name or address."""

    id: str
    groups: frozenset[str] = frozenset()
    """`@handle`s and ids of the groups that the policy names."""
    stranger: bool = False
    """Of another workspace (Slack Connect)."""
    guest: bool = False
    bot: bool = False
    deactivated: bool = False

    @property
    def barred(self) -> str:
        """Why this account may do nothing at all, as a plural noun (`guests`); empty when it is not barred."""
        kinds = (
            (self.deactivated, "deactivated accounts"),
            (self.bot, "bots"),
            (self.stranger, "people of other workspaces"),
            (self.guest, "guests"),
        )
        return next((words for is_so, words in kinds if is_so), "")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed; if not, why, as a sentence for people."""

    allowed: bool
    reason: str = ""
    who_could: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approvers:
    """Who may approve the upload of a flare."""

    by: tuple[str, ...] = ()
    """User ids, and groups as `@handle` or by id."""
    four_eyes: bool = True
    """Whether the requester of a flare is not allowed to approve it."""


class Policy:
    """The rules of the configuration."""

    def __init__(self, rules: Sequence[Rule], approvers: Approvers = Approvers()) -> None:
        self._rules = tuple(rules)
        self._approvers = approvers

    @property
    def groups_named(self) -> frozenset[str]:
        """Every group that the rules or the approvers name. No other group is looked up."""
        named = [*self._approvers.by, *(who for rule in self._rules for who in rule.who)]
        return frozenset(who for who in named if who.startswith(("@", "S")))

    def pointless(self, targets: Collection[str]) -> Sequence[str]:
        """Target names and globs of the rules that match no target: most likely typing errors."""
        globs = _unique(glob for rule in self._rules for glob in rule.on)
        return [glob for glob in globs if not fnmatch.filter(targets, glob)]

    def decide(self, person: Person, command: str, target: str, channel: str) -> Decision:
        """Whether the person may run the command on the target in this channel."""
        if person.barred:
            return Decision(False, f"csm does nothing for {person.barred}.")
        about = [rule for rule in self._rules if rule.covers(command, target)]
        mine = [rule for rule in about if rule.names(person)]
        if any(rule.here(channel) for rule in mine):
            return Decision(True)
        if mine:
            places = ", ".join(f"<#{place}>" for place in _unique(place for rule in mine for place in rule.in_))
            return Decision(False, f"You may run {command} on {target} only in {places}.")
        who = tuple(_unique(who for rule in about for who in rule.who))
        if not who:
            return Decision(False, f"No rule of the policy allows anyone to run {command} on {target}.")
        return Decision(
            False, f"You may not run {command} on {target}. Those who may: {', '.join(map(_named, who))}.", who
        )

    def visible_targets(self, person: Person, channel: str, targets: Iterable[str]) -> Sequence[str]:
        """The targets on which the person may do anything in this channel."""
        if person.barred:
            return []
        rules = [rule for rule in self._rules if rule.names(person) and rule.here(channel)]
        return [
            target for target in targets if any(fnmatch.fnmatchcase(target, glob) for rule in rules for glob in rule.on)
        ]

    def may_approve(self, person: Person, requester: str) -> Decision:
        """Whether the person may approve the upload of an archive that `requester` asked for."""
        if person.barred:
            return Decision(False, f"csm does nothing for {person.barred}.")
        by = self._approvers.by
        if not by:
            return Decision(False, "The configuration names nobody who may approve a flare (approvals.flare.by).")
        others = f"Those who may: {', '.join(map(_named, by))}."
        if not {person.id, "*", *person.groups} & set(by):
            return Decision(False, f"You may not approve a flare. {others}", by)
        if self._approvers.four_eyes and person.id == requester:
            return Decision(False, f"You asked for this flare, so somebody else must approve it. {others}", by)
        return Decision(True)

    def may_decline(self, person: Person, requester: str) -> Decision:
        """Whether the person may decline the upload: everyone who may approve it, and the requester."""
        if person.id == requester and not person.barred:
            return Decision(True)
        decision = self.may_approve(person, requester)
        words = decision.reason.replace("You may not approve", "You may not decline")
        return Decision(decision.allowed, words, decision.who_could)

    def may_cancel(self, person: Person, requester: str, command: str, target: str, channel: str) -> Decision:
        """Whether the person may cancel a run: the requester, and everyone who may run the command there."""
        if person.id == requester and not person.barred:
            return Decision(True)
        return self.decide(person, command, target, channel)


def _named(who: str) -> str:
    return f"<@{who}>" if who[0] in "UW" and not who.startswith("@") else who


def _unique(items: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(items)
