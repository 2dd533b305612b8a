"""The report as text without colours or escape sequences: for the `.txt` file of a thread, and for pipes."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator

from bot.render.formatting import agents, counted, duration, one_line, plain, title
from bot.render.grouping import FindingGroup, commands, findings, outcomes, tables
from bot.render.tables import heading, lines
from handlers.model import Report, worst_first

_WIDTH = 100


def to_text(report: Report) -> str:
    """The whole report: outcomes, findings with evidence and advice, every Agent, commands. Ends with a newline."""
    return "\n".join(line.rstrip() for line in _lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"{title(report.command, report.target)}: {report.verdict.value}"
    yield f"Run {one_line(report.run)}, started {report.started:%Y-%m-%d %H:%M:%S}, took {duration(report.duration_s)}"
    for label, who in (("Asked by", report.requested_by), ("Cancelled by", report.cancelled_by)):
        if who:
            yield f"{label} {one_line(who)}"
    if report.reason:
        yield from _wrapped(report.reason)
    yield counted(report.counts, glyphs=False) or "No Agent was examined."
    for group in outcomes(report):
        yield ""
        yield f"{agents(len(group.agents))}: {group.verdict.value}"
        yield from _wrapped(f"{group.reason} {group.limits}".strip(), "  ")
        yield from _wrapped(", ".join(one_line(name, 100) for name in group.agents), "  ", limit=200_000)
    for table in tables(report):
        yield from ("", heading(table), *(f"  {line}" for line in lines(table.table)))
    for found in findings(report):
        yield from _finding(found)
    yield from _agents(report)
    ran = commands(report)
    if ran:
        yield from ("", "What was run, and why", "---------------------")
    for command in ran:
        where = f"in container {one_line(command.container)}" if command.container else "on the host"
        yield f"$ {plain(shlex.join(one_line(part, 2000) for part in command.argv), 4000)}"
        yield from _wrapped(f"{where}, on {agents(len(command.agents))}. {command.why}", "  ")


def _finding(group: FindingGroup) -> Iterator[str]:
    heading = f"{one_line(group.code, 100)} ({group.finding.severity.value})"
    yield from ("", heading, "-" * len(heading))
    yield from _wrapped(group.finding.summary)
    yield from _wrapped(
        f"{agents(len(group.agents))}: " + ", ".join(one_line(n, 100) for n in group.agents), limit=200_000
    )
    if group.finding.evidence:
        yield f"Evidence, from {one_line(group.representative.agent)}:"
        for line in group.finding.evidence:
            yield from ("  | " + part for part in plain(line, 4000).split("\n"))
    for advice in group.advice:
        yield from _wrapped(f"What to do: {advice}", limit=4000)
    for step in group.steps:
        yield (
            f"{one_line(step.platform, 40)}: {one_line(step.title)}"
            if step.title
            else f"{one_line(step.platform, 40)}:"
        )
        yield from ("    " + line for line in plain(step.snippet, 20_000).split("\n"))
    for link in group.docs:
        yield f"See {one_line(link, 2000)}"


def _agents(report: Report) -> Iterator[str]:
    if report.agents:
        yield from ("", "Every Agent, worst first", "------------------------")
    for result in worst_first(report.agents):
        version = f", Agent {one_line(result.agent_version, 40)}" if result.agent_version else ""
        head = f"{result.verdict.value:8}{one_line(result.agent, 100)} ({result.platform.value}{version}, {duration(result.duration_s)})"
        yield head
        yield from _wrapped(result.reason, " " * 8)
        if result.findings:
            yield from _wrapped(", ".join(one_line(f.code, 100) for f in result.findings), " " * 8, limit=20_000)
        for seen in result.observations:
            yield from _wrapped(f"Seen: {seen}", " " * 8)
        if result.reused_from:
            yield f"        Result of run {one_line(result.reused_from)}, less than a minute old"


def _wrapped(text: str, indent: str = "", *, limit: int = 2000) -> list[str]:
    return textwrap.wrap(
        one_line(text, limit),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
