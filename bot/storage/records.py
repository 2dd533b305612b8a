"""Records that the store takes and returns: a run's request, a stored run, an accepted command, a post."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.storage.audit import Entry
from bot.storage.schema import runs
from handlers.model import Report

WITHOUT_JSON = tuple(column for column in runs.c if column.name not in {"inventory", "report"})
"""The columns of a run, without the large JSON ones."""

ON = sa.and_(runs.c.state != "done", runs.c.verdict.is_(None))
"""`RunRecord.on` as an SQL condition."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """An accepted command, with all that is needed to execute it, also later and in another process."""

    id: str
    command: str
    target: str
    agent: str
    """Empty: all Agents of the target."""
    requested_by: str
    source: str
    """`slack` or `terminal`."""
    accepted_at: float
    channel: str = ""
    response_url: str = ""
    case_id: str = ""
    """Flares only: digits; empty for a new case."""
    email: str = ""
    """Flares only: the email address of the case's owner."""

    @property
    def where(self) -> str:
        """Target and Agent as users type them: `cluster-a` or `cluster-a/node-7`."""
        return f"{self.target}/{self.agent}" if self.agent else self.target


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A stored run."""

    request: RunRequest
    state: str
    verdict: str | None
    finished_at: float | None
    cancelled_by: str
    permalink: str
    report: Report | None = None

    @property
    def on(self) -> bool:
        """Whether its Agents are still being checked, or will be. Posts to its thread may follow after that."""
        return self.state != "done" and self.verdict is None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Outcome of accepting a command: a new run (`fresh`), a joined run, or neither for a repeated delivery."""

    fresh: bool
    joined: RunRecord | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a post is. With an empty `ts` it is not known whether the post was sent."""

    channel: str
    ts: str
    intended_at: float
    extra: str = ""


def record(row: Any) -> RunRecord:
    """Convert a row of `csm_runs`, with or without its report."""
    request = RunRequest(
        id=row.id,
        command=row.command,
        target=row.target,
        agent=row.agent,
        requested_by=row.requested_by,
        source=row.source,
        accepted_at=row.accepted_at,
        channel=row.channel,
        response_url=row.response_url,
        case_id=row.case_id,
        email=row.email,
    )
    report = getattr(row, "report", None)
    return RunRecord(
        request=request,
        state=row.state,
        verdict=row.verdict,
        finished_at=row.finished_at,
        cancelled_by=row.cancelled_by,
        permalink=row.permalink,
        report=Report.model_validate_json(report) if report else None,
    )


def entry_of(event: str, request: RunRequest, *, run: str = "", agent: str = "") -> Entry:
    """The audit entry for an event of a command."""
    return Entry(
        event,
        request.requested_by,
        request.channel or request.source,
        run=run or request.id,
        command=request.command,
        target=request.target,
        agent=agent or request.agent,
    )
