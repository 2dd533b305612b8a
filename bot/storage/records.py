"""What the store speaks of: a run as it was asked for, as it is known, and where a post is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.storage.audit import Entry
from bot.storage.schema import runs
from handlers.model import Report

WITHOUT_JSON = tuple(column for column in runs.c if column.name not in {"inventory", "report"})
"""A run's columns that are small."""

ON = sa.and_(runs.c.state != "done", runs.c.verdict.is_(None))
"""`RunRecord.on`, for the database."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """An accepted command: all that is needed to carry it out, also by another process later."""

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
    """Of a flare: digits; empty for a new case."""
    email: str = ""
    """Of a flare: whose case it is."""

    @property
    def where(self) -> str:
        """As people type it: `cluster-a` or `cluster-a/node-7`."""
        return f"{self.target}/{self.agent}" if self.agent else self.target


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store knows it."""

    request: RunRequest
    state: str
    verdict: str | None
    finished_at: float | None
    cancelled_by: str
    permalink: str
    report: Report | None = None

    @property
    def on(self) -> bool:
        """Whether something may still be found: its Agents are being asked, or will be. Its thread may come later."""
        return self.state != "done" and self.verdict is None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a command: a run of its own, another's run, or (neither) it was known already."""

    fresh: bool
    joined: RunRecord | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a post is, or that it is not known whether it was sent (`ts` empty)."""

    channel: str
    ts: str
    intended_at: float
    extra: str = ""


def record(row: Any) -> RunRecord:
    """A row of the runs, with or without its report."""
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
    """What the audit says of a command."""
    return Entry(
        event,
        request.requested_by,
        request.channel or request.source,
        run=run or request.id,
        command=request.command,
        target=request.target,
        agent=agent or request.agent,
    )
