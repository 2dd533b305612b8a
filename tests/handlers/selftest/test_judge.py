"""What a block is worth, and which of two counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handlers.agent.status import SelfTests
from handlers.agent.timestamps import NodeClock, read_stamp
from handlers.selftest.eras import era_of
from handlers.selftest.judge import RULES, Judgement, compare_judgements, judge_block
from handlers.version import AgentVersion, from_tag

NOW = datetime(2026, 11, 28, 12, 0, 20, tzinfo=UTC)


def block(stamp: str, failed: tuple[str, ...] = ()) -> SelfTests:
    return SelfTests(read_stamp(stamp), tuple(rule for rule in RULES if rule not in failed), failed, (stamp,))


def judged(stamp: str, version: str = "7.78.0", failed: tuple[str, ...] = ()) -> Judgement:
    return judge_block(block(stamp, failed), era_of(from_tag(version)), NodeClock(NOW))


def test_the_later_of_two_results_counts() -> None:
    earlier, later = judged("28 Nov 26 11:20 UTC", failed=RULES[:1]), judged("28 Nov 26 11:50 UTC")

    assert compare_judgements(earlier, later) is later
    assert compare_judgements(later, earlier) is later


def test_two_results_of_one_minute_that_differ_are_a_contradiction() -> None:
    failed, passed = judged("28 Nov 26 11:50 UTC", failed=RULES[:1]), judged("28 Nov 26 11:50 UTC")

    assert compare_judgements(failed, passed).code == "selftest.contradiction"
    assert compare_judgements(passed, failed).code == "selftest.contradiction"
    assert compare_judgements(passed, judged("28 Nov 26 11:50 UTC")).code is None


def test_a_result_counts_more_than_none() -> None:
    never, passed = judged("01 Jan 01 00:00 UTC"), judged("28 Nov 26 11:50 UTC")

    assert compare_judgements(never, passed) is passed
    assert compare_judgements(passed, never) is passed


def test_an_unreadable_block_is_not_outdone_by_one_that_has_never_finished() -> None:
    unreadable = judge_block(SelfTests(None, None, None, ("?",), ("damaged",)), era_of(None), NodeClock(NOW))

    assert compare_judgements(judged("01 Jan 01 00:00 UTC"), unreadable).code == "selftest.never_finished"


@pytest.mark.parametrize(
    ("version", "fresh", "hidden"),
    [
        ("7.65.0", timedelta(minutes=10), timedelta(minutes=10)),
        ("7.66.9", timedelta(minutes=10), timedelta(minutes=10)),
        ("7.67.0", timedelta(minutes=65), timedelta(hours=2)),
        ("7.72.9", timedelta(minutes=65), timedelta(hours=2)),
        ("7.73.0", timedelta(minutes=65), timedelta(hours=1)),
        ("6.73.0", timedelta(minutes=65), timedelta(hours=1)),
    ],
)
def test_how_old_an_own_result_may_be_and_what_it_can_hide(version: str, fresh: timedelta, hidden: timedelta) -> None:
    era = era_of(from_tag(version))

    assert not era.triggers
    assert (era.fresh_for, era.hidden_for) == (fresh, hidden)


def test_an_unknown_version_counts_as_new_and_claims_no_more_than_any_of_them() -> None:
    unknown = era_of(None)
    new = [era_of(AgentVersion(7, minor, 0)) for minor in range(67, 90)]

    assert not unknown.triggers
    assert unknown.hidden_for == max(era.hidden_for for era in new)
    assert unknown.drops_late_events


def test_the_same_stamp_is_read_to_the_second_of_the_clock_that_reads_it() -> None:
    assert judged("28 Nov 26 10:55 UTC").code == "selftest.stale"
    assert judged("28 Nov 26 10:56 UTC").code is None
