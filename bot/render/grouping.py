"""
Groups equal outcomes, findings, tables and commands of a report, worst first.

A thousand Agents with the same fault become one line, so that a report can be read in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.render.formatting import agents, minutes, unique
from handlers.agent.findings import KINDS
from handlers.model import AgentResult, Finding, Report, Step, Table, Verdict, worst_first


@dataclass(frozen=True)
class Outcome:
    """Agents with the same verdict for the same reason. All Agents that pass are one group."""

    verdict: Verdict
    reason: str
    """Empty when the Agents of the group have different reasons."""
    agents: tuple[str, ...]
    limits: str = ""
    """What the evidence of these Agents cannot show, in one or two sentences."""


@dataclass(frozen=True)
class FindingGroup:
    """One finding code, and the Agents that have this finding, worst first."""

    code: str
    finding: Finding
    """The representative finding: that of the worst Agent that has evidence."""
    representative: AgentResult
    agents: tuple[str, ...]
    advice: tuple[str, ...]
    steps: tuple[Step, ...]
    """The steps for every installation concerned, without duplicates."""
    docs: tuple[str, ...]


@dataclass(frozen=True)
class ExecutedCommand:
    """One command line, where it ran, and why."""

    argv: tuple[str, ...]
    container: str | None
    why: str
    agents: tuple[str, ...]


def outcomes(report: Report) -> Sequence[Outcome]:
    """Return the outcomes, worst first, then the largest."""
    found: dict[tuple[Verdict, str], list[AgentResult]] = {}
    for result in worst_first(report.agents):
        key = (result.verdict, "" if result.verdict is Verdict.PASS else result.reason)
        found.setdefault(key, []).append(result)
    groups = [
        Outcome(
            verdict,
            _common_reason(results),
            tuple(result.agent for result in results),
            _common_limits(results),
        )
        for (verdict, _), results in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.verdict.badness, -len(group.agents), group.reason))


def findings(report: Report) -> Sequence[FindingGroup]:
    """
    Return one group per finding code.

    The groups are sorted by severity, then by the worst verdict of their Agents, then by the verdict that the code
    implies, then by how many Agents have the finding.
    """
    found: dict[str, list[tuple[AgentResult, Finding]]] = {}
    for result in worst_first(report.agents):
        for finding in result.findings:
            found.setdefault(finding.code, []).append((result, finding))
    return [_group(code, found[code]) for code in sorted(found, key=lambda code: _rank(code, found[code]))]


@dataclass(frozen=True)
class TableGroup:
    """One table that is equal on several Agents, and these Agents."""

    table: Table
    count: int
    """How many places (see `Table.places`), over all Agents."""
    agents: tuple[str, ...]


def tables(report: Report) -> Sequence[TableGroup]:
    """Group equal tables: the worst first, then the most widespread."""
    found: dict[tuple[object, ...], list[tuple[AgentResult, Table]]] = {}
    for result in worst_first(report.agents):
        for table in result.tables:
            key = (table.title, table.verdict, table.columns, table.rows)
            found.setdefault(key, []).append((result, table))
    groups = [
        TableGroup(
            members[0][1], sum(table.count for _, table in members), unique(result.agent for result, _ in members)
        )
        for members in found.values()
    ]
    return sorted(groups, key=lambda group: (-group.table.verdict.badness, -group.count, group.table.title))


def commands(report: Report) -> Sequence[ExecutedCommand]:
    """Return the commands. Those that verdicts rest on come first, then those that ran on the most Agents."""
    found: dict[tuple[tuple[str, ...], str | None, str], list[str]] = {}
    primary = {(result.argv, result.container) for result in report.agents}
    for result in report.agents:
        keys = [(result.argv, result.container, result.why)]
        keys += [(each.argv, each.container, each.why) for each in result.invocations]
        seen: set[tuple[tuple[str, ...], str | None]] = set()
        for key in keys:
            if key[0] and key[:2] not in seen:
                seen.add(key[:2])
                found.setdefault(key, []).append(result.agent)
    ranked = sorted(found.items(), key=lambda item: (item[0][:2] not in primary, -len(item[1]), item[0][0]))
    return [ExecutedCommand(*key, tuple(names)) for key, names in ranked]


def _group(code: str, members: Sequence[tuple[AgentResult, Finding]]) -> FindingGroup:
    result, finding = next((each for each in members if each[1].evidence), members[0])
    remedies = [each.remediation for _, each in members if each.remediation]
    steps = {(step.platform, step.title, step.snippet): step for remedy in remedies for step in remedy.steps}
    return FindingGroup(
        code=code,
        finding=finding,
        representative=result,
        agents=unique(result.agent for result, _ in members),
        advice=unique(remedy.summary for remedy in remedies),
        steps=tuple(steps.values()),
        docs=unique(link for remedy in remedies for link in remedy.docs),
    )


def _rank(code: str, members: Sequence[tuple[AgentResult, Finding]]) -> tuple[int, int, int, int, str]:
    severity = max(finding.severity.badness for _, finding in members)
    badness = max(result.verdict.badness for result, _ in members)
    means = KINDS[code].verdict.badness if code in KINDS else 0
    return -severity, -badness, -means, -len(members), code


def _common_limits(results: Sequence[AgentResult]) -> str:
    """The limits of these results; if they differ by Agent version, the range of the time that is hidden."""
    limits = unique(result.limits for result in results if result.limits)
    hidden = [result.hidden_s for result in results if result.hidden_s is not None]
    if len(limits) <= 1 or not hidden:
        return " ".join(limits[:2])
    span = f"{minutes(min(hidden))} to {minutes(max(hidden))}"
    return f"A break within the last {span} may not show, depending on the Agent's version."


def _common_reason(results: Sequence[AgentResult]) -> str:
    """The common reason, or for checks that the Agents ran themselves, the range of their ages; else empty."""
    reasons = unique(result.reason for result in results)
    if len(reasons) == 1:
        return reasons[0]
    ages = [result.age_s for result in results if result.hidden_s is not None and result.age_s is not None]
    others = unique(result.reason for result in results if result.hidden_s is None)
    if not ages or len(others) > 1:
        return ""
    span = f"{minutes(min(ages))} to {minutes(max(ages))}"
    own = f"{agents(len(ages))} passed {'its own check' if len(ages) == 1 else 'their own checks'}, {span} ago."
    return " ".join((own, *(f"{agents(len(results) - len(ages))}: {reason}" for reason in others)))
