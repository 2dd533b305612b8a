"""Equal things together: what a group of Agents that pass has in common."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.render.grouping import outcomes
from handlers.model import AgentResult, Installation, Platform, Report, Verdict, count, worst

HOURLY = "The Agent checks itself every hour, so a break within the last hour may not show."
LATE = "The Agent checks itself every hour, so a break within the last 2 hours may not show."


def passed(agent: str, age_min: float | None, limits: str = "", hidden_min: float | None = None) -> AgentResult:
    reason = "All 3 tests succeeded in the run that csm started."
    if hidden_min is not None:
        reason = f"Passed its own check {age_min} min ago: all 3 tests succeeded."
    return AgentResult(
        agent=agent,
        platform=Platform.KUBERNETES,
        installation=Installation.HELM,
        verdict=Verdict.PASS,
        reason=reason,
        age_s=None if age_min is None else age_min * 60,
        limits=limits,
        hidden_s=None if hidden_min is None else hidden_min * 60,
    )


def report(*results: AgentResult) -> Report:
    return Report(
        run="r-1",
        command="selftest",
        target="cluster-a",
        verdict=worst(result.verdict for result in results),
        started=datetime(2026, 11, 28, tzinfo=UTC),
        duration_s=1.0,
        counts=count(results),
        agents=results,
    )


def test_one_agents_words_stay_as_they_are() -> None:
    (group,) = outcomes(report(passed("node-1", 12, HOURLY, 60)))

    assert group.reason == "Passed its own check 12 min ago: all 3 tests succeeded."
    assert group.limits == HOURLY


def test_agents_of_one_era_say_between_when_and_when_they_passed() -> None:
    (group,) = outcomes(report(*(passed(f"node-{age}", age, HOURLY, 60) for age in (3, 12, 58))))

    assert group.reason == "3 Agents passed their own checks, 3 min to 58 min ago."
    assert group.limits == HOURLY


def test_agents_of_several_eras_say_what_may_be_hidden_at_most() -> None:
    triggered = passed("node-3", 0.0)
    (group,) = outcomes(report(passed("node-1", 3, HOURLY, 60), passed("node-2", 12, LATE, 120), triggered))

    assert group.reason == (
        "2 Agents passed their own checks, 3 min to 12 min ago."
        " 1 Agent: All 3 tests succeeded in the run that csm started."
    )
    assert group.limits == "A break within the last 60 min to 2 h may not show, depending on the Agent's version."


def test_agents_on_which_a_test_was_triggered_hide_nothing() -> None:
    (group,) = outcomes(report(passed("node-1", 0.0), passed("node-2", 0.0)))

    assert group.reason == "All 3 tests succeeded in the run that csm started."
    assert not group.limits
