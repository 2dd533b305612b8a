"""
Judge a Self Tests block: the verdict is never better than the evidence. Pure: a block, an era and a clock in, a
judgement out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from handlers.agent.status import SelfTests
from handlers.agent.timestamps import NodeClock, resolve_stamp
from handlers.redaction import clean_lines
from handlers.selftest.eras import Era

_PREFIX = "datadog_agent_cws_self_test_rule_"
RULES = tuple(f"{_PREFIX}{what}" for what in ("open", "chmod", "chown"))
"""The tests that must succeed on Linux (DataDog/datadog-agent:pkg/security/probe/selftests/)."""
_EBPFLESS_RULE = f"{_PREFIX}exec"
"""The only test of an Agent without eBPF (pkg/security/probe/selftests/ebpfless.go@2f40a470)."""
_FUTURE = timedelta(minutes=5)
"""How far a result may be ahead of the clock that its stamp is compared with."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence supports: a finding code, or a pass when `code` is `None`."""

    code: str | None
    detail: str = ""
    evidence: tuple[str, ...] = ()
    reason: str = ""
    """A text for people in place of the code's own summary; empty to use that summary."""
    limits: str = ""
    """What the block cannot show, in a sentence or two."""
    hidden: timedelta | None = None
    """For how long a failure may not show in the block."""
    tested_at: datetime | None = None
    """By the node's clock, in UTC."""
    age: timedelta | None = None

    @property
    def may_improve(self) -> bool:
        """Whether the same status may show more when it is read again a moment later."""
        return self.code in {"selftest.stale", "selftest.never_finished"}


def judge_block(block: SelfTests, era: Era, clock: NodeClock, *, triggered_at: datetime | None = None) -> Judgement:  # noqa: PLR0911 - one for each thing that may be wrong
    """
    Judge a block that was read at `clock`.

    `triggered_at`: when a self-test was triggered, by the same clock. Earlier results are of another run.
    """
    evidence = clean_lines("\n".join(block.lines))
    if block.faults or block.stamp is None or block.succeeded is None or block.failed is None:
        return Judgement("selftest.unreadable", "; ".join(block.faults), evidence)
    if both := set(block.succeeded) & set(block.failed):
        return Judgement("selftest.contradiction", f"{_short_names(both)} both succeeded and failed", evidence)
    if _EBPFLESS_RULE in (*block.succeeded, *block.failed) and not set(RULES) & {*block.succeeded, *block.failed}:
        return Judgement("selftest.ebpfless", evidence=evidence)
    if block.stamp.never:
        return Judgement("selftest.never_finished", evidence=evidence)
    tested_at = resolve_stamp(block.stamp, clock)
    if tested_at is None:
        return Judgement("selftest.zone_unknown", block.stamp.zone, evidence)
    age = clock.now - tested_at
    evidence = (*evidence, f"That was {_duration(max(age, timedelta()))} before it was read.")
    if age < -_FUTURE:
        return Judgement("selftest.future", evidence=evidence, tested_at=tested_at, age=age)
    if not _is_fresh(age, tested_at, era, triggered_at):
        # The age is not in the summary: it differs by Agent, and Agents are grouped by their summaries.
        return Judgement("selftest.stale", evidence=evidence, tested_at=tested_at, age=age)
    return _judge_fresh(block, era, evidence, tested_at, max(age, timedelta()))


def compare_judgements(first: Judgement, second: Judgement) -> Judgement:
    """
    The judgement of the better evidence of two blocks of one Agent: that of the later result.

    Both commands query the same module, so two results of one minute that differ are a contradiction, and no evidence.
    """
    if first.tested_at is None or second.tested_at is None:
        return second if first.tested_at is None and second.code != "selftest.unreadable" else first
    if first.tested_at != second.tested_at:
        return max(first, second, key=lambda judgement: judgement.tested_at or datetime.min)  # noqa: DTZ901 - never taken
    if (first.code, first.detail) == (second.code, second.detail):
        return first
    evidence = (*first.evidence, *second.evidence)
    return Judgement("selftest.contradiction", "two of the Agent's commands tell different results", evidence)


def _is_fresh(age: timedelta, tested_at: datetime, era: Era, triggered_at: datetime | None) -> bool:
    if triggered_at is None:
        return age <= era.fresh_for
    return tested_at >= triggered_at.replace(second=0, microsecond=0)  # stamps have no seconds


def _judge_fresh(
    block: SelfTests, era: Era, evidence: tuple[str, ...], tested_at: datetime, age: timedelta
) -> Judgement:
    assert block.succeeded is not None
    assert block.failed is not None
    if block.failed:
        detail, notes = f"{_short_names(block.failed)} failed", _notes_on_failure(era)
        return Judgement(
            "selftest.rule_failed",
            detail,
            (*evidence, *notes),
            limits=" ".join(notes),
            tested_at=tested_at,
            age=age,
        )
    if missing := [rule for rule in RULES if rule not in block.succeeded]:
        detail = f"{_short_names(missing)} has no result"
        return Judgement("selftest.incomplete", detail, evidence, tested_at=tested_at, age=age)
    return _passed(era, evidence, tested_at, age)


def _passed(era: Era, evidence: tuple[str, ...], tested_at: datetime, age: timedelta) -> Judgement:
    if era.triggers:
        reason, limits, hidden = f"All {len(RULES)} tests succeeded in the run that csm started.", "", None
    else:
        hidden = era.hidden_for
        reason = f"Passed its own check {_duration(age)} ago: all {len(RULES)} tests succeeded."
        limits = (
            f"The Agent checks itself every {_period(era.interval)},"
            f" so a break within the last {_period(hidden)} may not show."
        )
    return Judgement(None, evidence=evidence, reason=reason, limits=limits, hidden=hidden, tested_at=tested_at, age=age)


def _notes_on_failure(era: Era) -> Sequence[str]:
    """Notes on a failure in the Agent's own test: how long it stays shown, and when it may be wrong."""
    if era.triggers:
        return ()
    notes = [
        f"It is the result of the Agent's own check; a failure stays shown until the next one, for up to {_duration(era.interval)}."
    ]
    if era.drops_late_events:
        notes.append("From 7.73 events that came late look like a failure, also where the module works.")
    return notes


def _short_names(rules: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(rule.removeprefix(_PREFIX) for rule in rules)[:5])


def _period(span: timedelta) -> str:
    """A duration as it follows `every` and `the last`."""
    return _duration(span).removeprefix("an ")


def _duration(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 120:
        return "an hour" if minutes == 60 else f"{minutes} min"
    return f"{minutes // 60} hours" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60)} days"
