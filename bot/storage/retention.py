"""
Pruning of old data: evidence first, whole runs later. The audit is never pruned.

Works in small transactions, oldest first, so that a database of millions of rows stays usable meanwhile: a command
that arrives waits for no more than one run's rows, or two hundred results. Safe to repeat, to interrupt, and to run
in several processes at once.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from bot.storage.schema import approvals, posts, results, runs
from bot.storage.store import Store

PER_RUN: Sequence[sa.Table] = (results, posts, approvals)
"""Tables with a column `run`, whose rows are deleted with their run."""

SHARED = "shared"
"""The `ts` of a post of files: what is stored instead of a time stamp once they were shared into a thread."""

BATCH = 200
"""Batch size: runs that are looked up at once, and results and reports that are changed at once."""

Forget = Callable[[list[str]], Awaitable[None]]
"""Deletes the durable engine's records of these runs."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Retention periods, from the end of the run. `None` means for ever."""

    runs: timedelta | None
    """Runs, with their results, their reports and the locations of their posts."""
    evidence: timedelta | None
    """The lines that Agents printed, within results and reports. Verdicts, reasons and codes stay."""
    files: timedelta | None = None
    """Files that csm put into Slack; counted from when they were posted."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Counts of what was pruned."""

    runs: int = 0
    evidence: int = 0
    """Results and reports that lost their evidence."""


async def prune(store: Store, keep: Keep, now: float, *, forget: Forget | None = None) -> Pruned:
    """Delete what is older than `keep` says. `now` is in seconds since the epoch."""
    dropped = 0 if keep.runs is None else await _drop_runs(store, now - keep.runs.total_seconds(), forget)
    bare = 0 if keep.evidence is None else await _drop_evidence(store, now - keep.evidence.total_seconds())
    return Pruned(dropped, bare)


async def prunable(store: Store, keep: Keep, now: float) -> Pruned:
    """Count what `prune` would delete, without deleting it."""

    def counted(connection: sa.Connection) -> Pruned:
        dropped = bare = 0
        if keep.runs is not None:
            old = _old_runs(now - keep.runs.total_seconds()).subquery()
            dropped = connection.scalar(sa.select(sa.func.count()).select_from(old)) or 0
        if keep.evidence is not None:
            before = now - keep.evidence.total_seconds()
            for query in (_results_with_evidence(before), _reports_with_evidence(before)):
                bare += connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
        return Pruned(dropped, bare)

    return await store.read(counted)


async def old_files(store: Store, keep: Keep, now: float) -> Sequence[tuple[str, str, Sequence[str]]]:
    """Run, post key and Slack file ids of posts older than `keep.files`, oldest first, at most `BATCH` posts."""
    if keep.files is None:
        return []
    old = sa.and_(posts.c.ts == SHARED, posts.c.extra != "", posts.c.intended_at < now - keep.files.total_seconds())
    query = sa.select(posts.c.run, posts.c.key, posts.c.extra).where(old).order_by(posts.c.intended_at).limit(BATCH)
    rows = await store.read(lambda connection: connection.execute(query).all())
    return [(row.run, row.key, [upload["id"] for upload in json.loads(row.extra)]) for row in rows]


async def _drop_runs(store: Store, before: float, forget: Forget | None) -> int:
    dropped = 0
    while True:
        ids = await store.read(lambda connection: list(connection.scalars(_old_runs(before).limit(BATCH))))
        if not ids:
            return dropped
        # The engine first: otherwise a crash in between would leave engine records that no later pruning finds.
        if forget is not None:
            await forget(ids)
        for each in ids:
            await store.write(partial(_delete, run=each))
        dropped += len(ids)


def _delete(connection: sa.Connection, run: str) -> None:
    for table in PER_RUN:
        connection.execute(sa.delete(table).where(table.c.run == run))
    connection.execute(sa.delete(runs).where(runs.c.id == run))


async def _drop_evidence(store: Store, before: float) -> int:
    bare = 0
    while changes := await store.read(lambda connection: _to_bare(connection, before)):
        await store.write(partial(_change, changes=changes))
        bare += len(changes)
    return bare


def _to_bare(connection: sa.Connection, before: float) -> Sequence[sa.Update]:
    """The next batch of changes. Finding them reads all old results, so it is a read that keeps no writer waiting."""
    found = connection.execute(_results_with_evidence(before).limit(BATCH)).all()
    reports = connection.execute(_reports_with_evidence(before).limit(BATCH)).all()
    return [
        *(
            sa.update(results)
            .where(results.c.run == row.run, results.c.agent == row.agent)
            .values(result=_bare(row.result))
            for row in found
        ),
        *(sa.update(runs).where(runs.c.id == row.id).values(report=_bare(row.report)) for row in reports),
    ]


def _change(connection: sa.Connection, changes: Sequence[sa.Update]) -> None:
    for change in changes:
        connection.execute(change)


def _bare(document: str) -> str:
    return json.dumps(_without_evidence(json.loads(document)), ensure_ascii=False, separators=(",", ":"))


def _without_evidence(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _FORGOTTEN[key] if key in _FORGOTTEN else _without_evidence(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_evidence(inner) for inner in value]
    return value


_FORGOTTEN: Mapping[str, Any] = {"evidence": [], "tables": [], "document": ""}
"""Empty values that replace the lines, tables and documents that came from Agents."""


def _old_runs(before: float) -> sa.Select[Any]:
    """Runs that ended before `before`, and terminal runs accepted before it: those that were killed never end."""
    ended = sa.and_(runs.c.state == "done", sa.func.coalesce(runs.c.finished_at, runs.c.accepted_at) < before)
    left = sa.and_(runs.c.source == "terminal", runs.c.accepted_at < before)
    return sa.select(runs.c.id).where(sa.or_(ended, left)).order_by(runs.c.accepted_at)


def _results_with_evidence(before: float) -> sa.Select[Any]:
    query = sa.select(results.c.run, results.c.agent, results.c.result).join(runs, runs.c.id == results.c.run)
    return query.where(_is_over(before), _has_evidence(results.c.result))


def _reports_with_evidence(before: float) -> sa.Select[Any]:
    return sa.select(runs.c.id, runs.c.report).where(_is_over(before), _has_evidence(runs.c.report))


def _has_evidence(document: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    # A packed document starts with the header of its compression, `eJ`.
    return sa.or_(document.like('%"evidence":["%'), document.like('%"document":"eJ%'))


def _is_over(before: float) -> sa.ColumnElement[bool]:
    return sa.and_(runs.c.state == "done", sa.func.coalesce(runs.c.finished_at, runs.c.accepted_at) < before)
