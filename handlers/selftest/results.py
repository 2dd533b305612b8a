"""Read the self-test's results from the statuses of one Agent, and judge them by the node's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from handlers.agent.commands import AgentCommand, as_text, clock_command, status_commands
from handlers.agent.status import RuntimeStatus, SelfTests, read_status
from handlers.agent.timestamps import NodeClock, read_node_clock
from handlers.errors import ExecError
from handlers.executors.base import Completed
from handlers.redaction import clean_lines, decode
from handlers.selftest.eras import Era
from handlers.selftest.judge import Judgement, compare_judgements, judge_block
from handlers.selftest.runner import CommandRunner, is_missing
from handlers.version import AgentVersion

TRUSTED_SKEW = timedelta(minutes=5)
"""How far the clock in a status may differ from csm's before csm reads the node's clock with a command."""


@dataclass(slots=True)
class Results:
    """The results that were read from the statuses of one Agent."""

    judgement: Judgement | None = None
    """The judgement of the best evidence; `None` when no status has results."""
    statuses: list[RuntimeStatus] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """Which status commands ran, with what they printed instead of results."""
    denied: bool = False
    """Whether csm's user may not run one of the status commands."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """One status, with csm's clock before and after its command."""

    choice: AgentCommand
    completed: Completed
    status: RuntimeStatus
    began: datetime
    ended: datetime


async def read_results(
    runner: CommandRunner, version: AgentVersion | None, era: Era, *, triggered_at: datetime | None = None
) -> Results:
    """
    Run status commands until one shows a pass. Any other judgement is compared with that of the next status.

    `triggered_at` is by csm's clock; earlier results are of another run. Raises `Finished` when a status command does
    not end by itself.
    """
    results = Results()
    for choice in status_commands(runner.agent, version):
        answer = await _ask_status(runner, choice)
        if answer is None:
            continue
        results.statuses.append(answer.status)
        results.evidence += _evidence(answer)
        results.denied |= b"permission denied" in answer.completed.output.stderr.lower()
        if not era.triggers and results.judgement is None:
            runner.decisive = answer.choice
        if answer.status.tests is None:
            continue
        judgement = await _judge(runner, answer, answer.status.tests, era, triggered_at)
        best = compare_judgements(results.judgement, judgement) if results.judgement else judgement
        if best is judgement and not era.triggers:
            runner.decisive = answer.choice
        results.judgement = best
        if best.code is None:
            break
    return results


def describe_activity(statuses: Sequence[RuntimeStatus]) -> tuple[str, ...]:
    """
    What the statuses show of the module at work, besides its self-test. It does not affect the verdict (docs/adr/0015).
    """
    seen = []
    for status in statuses:
        if status.tests is not None:
            seen.append("The module itself answered this status.")
        if status.connected is not None:
            has = "has" if status.connected else "does not have"
            seen.append(f"security-agent {has} the module's stream of events open.")
        if status.events_received is not None:
            seen.append(f"security-agent has received {status.events_received} events since it started.")
    return tuple(dict.fromkeys(seen))


async def _ask_status(runner: CommandRunner, choice: AgentCommand) -> _Answer | None:
    """Run one status command, as JSON and else as text; `None` when there is no such program."""
    began = runner.clock.now()
    try:
        completed = await runner.ask(choice)
        status = read_status(decode(completed.output.stdout))
        if not status.is_json and status.tests is None and _may_be_asked_as_text(completed):
            choice = as_text(choice)
            completed = await runner.ask(choice)
            status = read_status(decode(completed.output.stdout))
    except ExecError as error:
        if is_missing(error):
            return None
        raise runner.cut_short(choice, error) from error
    if completed.exit_status != 0:  # output of a command that failed is no evidence
        status = RuntimeStatus(enabled=status.enabled, trouble=status.trouble)
    return _Answer(choice, completed, status, began, runner.clock.now())


def _may_be_asked_as_text(completed: Completed) -> bool:
    """Whether to try again as text: the command printed no JSON, or does not know the option."""
    return completed.exit_status == 0 or b"unknown flag" in completed.output.stderr


async def _judge(
    runner: CommandRunner, answer: _Answer, block: SelfTests, era: Era, triggered_at: datetime | None
) -> Judgement:
    """
    Judge a block by the node's clock: the one in the status where it is plausible, else the one that `date` prints.

    A JSON status has the time but not the zone, so `date` also runs when the stamp's abbreviation is ambiguous.
    """

    def by(clock: NodeClock) -> Judgement:
        return judge_block(block, era, clock, triggered_at=_shifted(triggered_at, answer, clock))

    told = answer.status.clock
    if told is not None and _skew(answer, told) <= TRUSTED_SKEW:
        judgement = by(told)
        if judgement.code != "selftest.zone_unknown":
            return judgement
    asked = runner.clock.now()
    completed = await runner.try_to_ask(clock_command(runner.agent))
    if node := read_node_clock(decode(completed.output.stdout)) if completed else None:
        return by(node.advanced((answer.ended - asked).total_seconds()))
    # The node's time is not certain: a pass must be one by csm's clock and by the clock in the status.
    judgements = [by(clock) for clock in (told, NodeClock(answer.ended)) if clock is not None]
    return next((judgement for judgement in judgements if judgement.code is not None), judgements[0])


def _skew(answer: _Answer, clock: NodeClock) -> timedelta:
    """By how much the node's clock differs from csm's, beyond what the duration of the command explains."""
    return max(clock.now - answer.ended, answer.began - clock.now, timedelta())


def _shifted(moment: datetime | None, answer: _Answer, clock: NodeClock) -> datetime | None:
    """Convert a time by csm's clock to the node's clock."""
    if moment is None:
        return None
    if clock.now > answer.ended:
        return moment + (clock.now - answer.ended)
    return moment - max(answer.began - clock.now, timedelta())


def _evidence(answer: _Answer) -> Sequence[str]:
    line = f"{' '.join(answer.choice.argv)} exited {answer.completed.exit_status}"
    trouble = clean_lines(answer.status.trouble, max_lines=3)
    return (line, *trouble, *clean_lines(answer.completed.output.stderr, max_lines=3))
