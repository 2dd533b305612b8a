"""The policy: denied unless allowed, and every refusal says why and who could."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.access.policy import Person, Policy, Rule

RULES = [
    Rule(who=("@sre", "U1"), may=("selftest", "tc"), on=("cluster-*",), in_=("*",)),
    Rule(who=("@security",), may=("*",), on=("*",), in_=("C0INCIDENTS",)),
]
SRE = Person("U2", groups=frozenset({"@sre"}))
SECURITY = Person("U3", groups=frozenset({"@security"}))
NOBODY = Person("U4")


@pytest.mark.parametrize(
    ("person", "command", "target", "channel", "allowed"),
    [
        (SRE, "selftest", "cluster-a", "C1", True),
        (Person("U1"), "selftest", "cluster-a", "C1", True),
        (SRE, "flare", "cluster-a", "C1", False),
        (SRE, "selftest", "edge", "C1", False),
        (SECURITY, "flare", "edge", "C0INCIDENTS", True),
        (SECURITY, "flare", "edge", "C1", False),
        (NOBODY, "selftest", "cluster-a", "C1", False),
    ],
)
def test_only_what_a_rule_allows_is_allowed(
    person: Person, command: str, target: str, channel: str, allowed: bool
) -> None:
    assert Policy(RULES).decide(person, command, target, channel).allowed is allowed


def test_a_refusal_says_who_could() -> None:
    decision = Policy(RULES).decide(NOBODY, "selftest", "cluster-a", "C1")

    assert decision.who_could == ("@sre", "U1", "@security")
    assert "@sre" in decision.reason
    assert "<@U1>" in decision.reason


def test_a_refusal_for_the_channel_says_where() -> None:
    assert "<#C0INCIDENTS>" in Policy(RULES).decide(SECURITY, "flare", "edge", "C1").reason


def test_without_rules_nobody_may_do_anything() -> None:
    decision = Policy([]).decide(SRE, "selftest", "cluster-a", "C1")

    assert not decision.allowed
    assert "No rule" in decision.reason


@pytest.mark.parametrize("flag", ["stranger", "guest", "bot", "deactivated"])
def test_guests_strangers_bots_and_the_gone_are_refused_whatever_the_rules_say(flag: str) -> None:
    policy = Policy([Rule(who=("*",), may=("*",), on=("*",), in_=("*",))])
    person = replace(SRE, **{flag: True})

    assert policy.decide(SRE, "selftest", "x", "C1").allowed
    assert not policy.decide(person, "selftest", "x", "C1").allowed
    assert policy.visible_targets(person, "C1", ["x"]) == []
    assert not policy.may_cancel(person, person.id, "selftest", "x", "C1").allowed


def test_a_person_sees_the_targets_that_a_rule_names_here() -> None:
    policy = Policy(RULES)

    assert policy.visible_targets(SRE, "C1", ["cluster-a", "edge"]) == ["cluster-a"]
    assert policy.visible_targets(SECURITY, "C0INCIDENTS", ["cluster-a", "edge"]) == ["cluster-a", "edge"]
    assert policy.visible_targets(NOBODY, "C1", ["cluster-a"]) == []


def test_a_run_is_cancelled_by_its_requester_or_by_who_may_run_it() -> None:
    policy = Policy(RULES)

    assert policy.may_cancel(NOBODY, "U4", "selftest", "cluster-a", "C1").allowed
    assert policy.may_cancel(SRE, "U4", "selftest", "cluster-a", "C1").allowed
    assert not policy.may_cancel(Person("U9"), "U4", "selftest", "cluster-a", "C1").allowed


def test_rules_that_name_no_target_are_found() -> None:
    rules = [*RULES, Rule(who=("@sre",), may=("*",), on=("clutser-*", "edge"), in_=("*",))]

    assert Policy(rules).pointless(["cluster-a", "edge"]) == ["clutser-*"]
    assert Policy(rules).pointless(["edge"]) == ["cluster-*", "clutser-*"]
