"""What the terminal shows: a run's progress, and its report."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from bot.progress import Progress
from bot.render.grouping import FindingGroup, commands, findings, outcomes
from bot.render.slack import opening
from handlers.model import Report

_STYLES = {"pass": "green", "warn": "yellow", "fail": "red", "unknown": "magenta", "skipped": "dim"}
PLAIN_EVERY_S = 5.0


class LiveProgress:
    """Progress on stderr: one line that changes on a terminal, a line now and then otherwise. A context."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, transient=True, refresh_per_second=8) if sys.stderr.isatty() else None
        self._said_at = time.monotonic()

    def __enter__(self) -> LiveProgress:  # noqa: PYI034 - not meant to be subclassed
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Show a moment."""
        text = Text(opening(progress).text)
        if self._live:
            self._live.update(text)
        elif time.monotonic() - self._said_at >= PLAIN_EVERY_S:
            self._said_at = time.monotonic()
            self._console.print(text)


def report(console: Console, found: Report) -> None:
    """Print a report: the verdict, the Agents by outcome, each finding with its advice, the commands."""
    style = _STYLES[found.verdict]
    console.print(
        Text(f"{found.verdict.value.upper()}  {found.command} of {found.target}  ({found.run})", style=f"bold {style}")
    )
    if found.reason:
        console.print(Text(found.reason))
    if found.remedy:
        console.print(Text(found.remedy))
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("Verdict", "Agents", "Why"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes(found):
        names = ", ".join(outcome.agents[:5]) + (
            f" and {len(outcome.agents) - 5} more" if len(outcome.agents) > 5 else ""
        )
        table.add_row(
            Text(outcome.verdict.value, style=_STYLES[outcome.verdict]),
            Text(f"{len(outcome.agents)}: {names}"),
            Text(outcome.reason),
        )
    if found.agents:
        console.print(table)
    for group in findings(found):
        _finding(console, group)
    for command in commands(found):
        console.print(Text(f"\n{len(command.agents)} Agents ran: {' '.join(command.argv)}"))
        console.print(Text(f"  {command.why}", style="dim"))


def _finding(console: Console, group: FindingGroup) -> None:
    console.print(Text.assemble(("\n" + group.finding.summary, "bold"), (f"  {group.code}", "dim")))
    console.print(Text(f"  on {', '.join(group.agents[:8])}{'…' if len(group.agents) > 8 else ''}"))
    for line in group.finding.evidence:
        console.print(Text(f"  | {line}", style="dim"))
    for advice in group.advice:
        console.print(Text(f"  {advice}"))
    for step in group.steps:
        console.print(Text(f"  {step.title} ({step.platform}):"))
        console.print(Syntax(step.snippet.rstrip(), step.language, background_color="default", padding=(0, 4)))
    for link in group.docs:
        console.print(Text(f"  {link}", style="dim"))
