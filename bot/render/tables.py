"""A table in fixed-width columns: for preformatted blocks, terminals and text files."""

from __future__ import annotations

from collections.abc import Sequence

from bot.render.formatting import agents, one_line, some, verdict
from bot.render.grouping import TableGroup
from handlers.model import Table

MOST_CELL = 44
MOST_ROWS = 24
_GAP = "  "


def lines(table: Table) -> Sequence[str]:
    """The column headings and the rows, in columns."""
    rows = [[one_line(cell, MOST_CELL) for cell in row] for row in (table.columns, *table.rows[:MOST_ROWS])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def heading(group: TableGroup) -> str:
    """`❌ fail: lxc* (veth), host namespace: 212 devices on 4 Agents (lxc1, lxc2 and 210 more)`."""
    names = some(group.table.places, 3) if group.count <= len(group.table.places) else _first(group)
    what = "device" if group.count == 1 else "devices"
    return f"{verdict(group.table.verdict)}: {one_line(group.table.title, 80)}, {group.count} {what} on {agents(len(group.agents))} ({names})"


def _first(group: TableGroup) -> str:
    shown = [one_line(place, 60) for place in group.table.places[:2]]
    return f"{', '.join(shown)} and {group.count - len(shown)} more"
