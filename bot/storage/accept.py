"""Stores accepted commands in batches. A batch of a hundred commands costs three statements, as a single one does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from bot.storage.audit import note
from bot.storage.records import ON, WITHOUT_JSON, Accepted, RunRecord, RunRequest, entry_of, record
from bot.storage.schema import runs

_KNOWN = sa.select(runs.c.id).where(runs.c.id.in_(sa.bindparam("ids", expanding=True)))
_OPEN = (
    sa.select(*WITHOUT_JSON)
    .where(
        runs.c.command.in_(sa.bindparam("commands", expanding=True)),
        runs.c.target.in_(sa.bindparam("targets", expanding=True)),
        runs.c.agent.in_(sa.bindparam("agents", expanding=True)),
        runs.c.cancelled_by == "",
        ON,
    )
    .order_by(runs.c.accepted_at)
)


@dataclass(frozen=True, slots=True)
class AcceptRequest:
    """A command to accept."""

    request: RunRequest
    joins: bool
    """Whether it may join a run of the same command that is in progress, instead of starting its own."""


def accept_all(connection: sa.Connection, insert: Any, asked: Sequence[AcceptRequest]) -> Sequence[Accepted]:
    """Accept each command. One outcome each: a new run, a joined run, or neither for a repeated delivery."""
    known = set(connection.scalars(_KNOWN, {"ids": [each.request.id for each in asked]}))
    open_runs = _Open(_found(connection, asked))
    joined: dict[str, RunRecord] = {}
    fresh: dict[str, RunRequest] = {}
    for each in asked:
        request = each.request
        if request.id in known:
            continue
        known.add(request.id)
        if (other := open_runs.covering(each)) is not None:
            joined[request.id] = other
        else:
            fresh[request.id] = request
            open_runs.add(RunRecord(request, "accepted", None, None, "", ""))
    made = _made(connection, insert, fresh.values())
    outcomes = []
    for each in asked:  # a command that is in the batch twice is fresh or joined only once
        request, other = each.request, joined.pop(each.request.id, None)
        if other is not None:
            note(connection, entry_of("command.joined", request, run=other.request.id))
        elif request.id in made:
            note(connection, entry_of("command.accepted", request))
        outcomes.append(Accepted(fresh=request.id in made, joined=other))
        made.discard(request.id)
    return outcomes


class _Open:
    """Runs that may be joined, by command, target and Agent."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        self._records: dict[tuple[str, str, str], list[RunRecord]] = defaultdict(list)
        for each in records:
            self.add(each)

    def add(self, record_: RunRecord) -> None:
        """Add a run that is newer than all others."""
        request = record_.request
        self._records[request.command, request.target, request.agent].append(record_)

    def covering(self, asked: AcceptRequest) -> RunRecord | None:
        """The newest run that covers a command's Agents. A run over a whole target covers each of its Agents."""
        if not asked.joins:
            return None
        request = asked.request
        found = [
            each for agent in {"", request.agent} for each in self._records[request.command, request.target, agent]
        ]
        return max(found, key=lambda each: each.request.accepted_at, default=None)


def _found(connection: sa.Connection, asked: Sequence[AcceptRequest]) -> Iterable[RunRecord]:
    joining = [each for each in asked if each.joins]
    if not joining:
        return []
    wanted = {
        "commands": sorted({each.request.command for each in joining}),
        "targets": sorted({each.request.target for each in joining}),
        "agents": sorted({"", *(each.request.agent for each in joining)}),
    }
    return map(record, connection.execute(_OPEN, wanted))


def _made(connection: sa.Connection, insert: Any, fresh: Iterable[RunRequest]) -> set[str]:
    """Insert the runs. Returns the ids that were inserted here: another replica may have accepted the same command."""
    rows = [{**asdict(request), "state": "accepted"} for request in fresh]
    if not rows:
        return set()
    statement = insert(runs).on_conflict_do_nothing().returning(runs.c.id)
    return set(connection.scalars(statement, rows))
