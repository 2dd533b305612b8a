"""
Terminal output of a run: live progress, the report, and a Slack thread as text.

Foreign text is passed to Rich only as `Text`, never as markup, and without control characters.
"""

from __future__ import annotations

import shlex
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bot.render.formatting import agents, counted, duration, one_line, plain, some, title, unique, verdict
from bot.render.grouping import FindingGroup, TableGroup, commands, findings, outcomes, tables
from bot.render.progress import Progress
from bot.render.tables import heading
from bot.render.text_report import to_text
from bot.render.thread_as_text import thread_as_text
from handlers.model import Report, Verdict, worst_first

__all__ = ["LiveProgress", "report", "thread_as_text", "to_text"]

_MOST_ROWS = 30
_PLAIN_EVERY_S = 5.0
_STYLES = {
    Verdict.PASS: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.UNKNOWN: "magenta",
    Verdict.SKIPPED: "dim",
}


def report(console: Console, report: Report) -> None:
    """Print the verdict, the Agents worst first (grouped if there are many), findings with what to do, commands."""
    head = Text(f"{verdict(report.verdict)}: {title(report.command, report.target)}", _STYLES[report.verdict])
    console.print(head)
    if report.reason:
        console.print(Text(one_line(report.reason, 1000)))
    asked = f", asked by {one_line(report.requested_by)}" if report.requested_by else ""
    cancelled = f", cancelled by {one_line(report.cancelled_by)}" if report.cancelled_by else ""
    counts = counted(report.counts) or "No Agent was examined"
    console.print(Text(f"{counts}. Run {one_line(report.run)}{asked}{cancelled}, took {duration(report.duration_s)}"))
    if report.agents:
        console.print(_each(report) if len(report.agents) <= _MOST_ROWS else _grouped(report))
    for limits in unique(group.limits for group in outcomes(report) if group.limits):
        console.print(Text(one_line(limits, 1000), "dim"))
    for shown in tables(report)[:_MOST_ROWS]:
        console.print()
        console.print(Text(heading(shown), _STYLES[shown.table.verdict]))
        console.print(_device_table(shown))
    for group in findings(report):
        _finding(console, group)
    for command in commands(report):
        where = f"in container {one_line(command.container)}" if command.container else "on the host"
        console.print(Text(f"$ {plain(shlex.join(one_line(part, 500) for part in command.argv))}", "bold"))
        console.print(Text(f"  {where}, on {agents(len(command.agents))}. {one_line(command.why)}"))


class LiveProgress:
    """
    Shows the progress of a run. A context manager.

    On a terminal it redraws one bar. Elsewhere it prints a line at the start, at the end, and when at least five
    seconds have passed since the last line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._said_at: float | None = None
        self._said = ""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Show the current progress."""
        if self._live:
            self._live.update(_moment(progress), refresh=True)
            return
        line = _line(progress)
        due = self._said_at is None or progress.elapsed_s - self._said_at >= _PLAIN_EVERY_S
        finished = progress.total is not None and progress.done >= progress.total
        if (due or finished) and line != self._said:
            self._console.print(Text(line), soft_wrap=True)
            self._said, self._said_at = line, progress.elapsed_s


def _moment(progress: Progress) -> Group:
    bar = ProgressBar(total=float(progress.total or 1), completed=float(progress.done), width=40)
    parts: list[Text | ProgressBar] = [Text(_line(progress))]
    if progress.total:
        parts.append(bar)
    if progress.running:
        parts.append(Text(f"Still running: {some(progress.running)}", "dim"))
    parts += [Text(one_line(note), "dim") for note in progress.notes]
    return Group(*parts)


def _line(progress: Progress) -> str:
    head = title(progress.command, progress.target)
    if progress.cancelling:
        head += ", cancelling"
    if progress.total is None:
        return f"{head}: finding the Agents"
    counts = counted(progress.counts)
    tail = f" ({counts})" if counts else ""
    return f"{head}: {progress.done}/{progress.total}{tail}, {duration(progress.elapsed_s)}"


def _table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _each(report: Report) -> Table:
    table = _table("Verdict", "Agent", "Version", "Took", "Reason")
    for result in worst_first(report.agents):
        table.add_row(
            Text(verdict(result.verdict), _STYLES[result.verdict]),
            Text(one_line(result.agent)),
            Text(one_line(result.agent_version or "?")),
            Text(duration(result.duration_s)),
            Text(one_line(result.reason)),
        )
    return table


def _device_table(shown: TableGroup) -> Table:
    table = _table(*shown.table.columns)
    for row in shown.table.rows:
        table.add_row(*(Text(one_line(cell, 200)) for cell in row))
    return table


def _grouped(report: Report) -> Table:
    table = _table("Verdict", "Agents", "Which", "Reason")
    groups = outcomes(report)
    for group in groups[:_MOST_ROWS]:
        table.add_row(
            Text(verdict(group.verdict), _STYLES[group.verdict]),
            Text(str(len(group.agents))),
            Text(some(group.agents)),
            Text(one_line(group.reason)),
        )
    rest = groups[_MOST_ROWS:]
    if rest:
        table.add_row("…", str(sum(len(group.agents) for group in rest)), f"{len(rest)} other outcomes", "")
    return table


def _finding(console: Console, group: FindingGroup) -> None:
    console.print()
    console.print(Text(f"{one_line(group.code, 100)} ({group.finding.severity.value})", "bold"))
    console.print(Text(one_line(group.finding.summary)))
    console.print(Text(f"{agents(len(group.agents))}: {some(group.agents)}"))
    if group.finding.evidence:
        lines = plain("\n".join(plain(line) for line in group.finding.evidence[:20]), 4000)
        where = Text(f"Evidence, from {one_line(group.representative.agent, 60)}")
        console.print(Panel(Text(lines), title=where, title_align="left"))
    for advice in group.advice:
        console.print(Text(f"What to do: {one_line(advice, 2000)}"))
    for step in group.steps:
        label = f"{one_line(step.platform, 40)}: {one_line(step.title)}" if step.title else one_line(step.platform, 40)
        console.print(Text(label, "italic"))
        # No box around it and no wrapping, so that it can be copied.
        console.print(Text(plain(step.snippet, 8000)), soft_wrap=True)
    for link in group.docs:
        console.print(Text(f"See {one_line(link, 1000)}"), soft_wrap=True)
