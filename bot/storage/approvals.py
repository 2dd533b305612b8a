"""
Flare approvals: one row per flare, from the start of the archive's build until the flare has ended.

Every change of state is a compare-and-set, so of any two that race exactly one succeeds: two clicks, a click and the
expiry, a click and the flare being marked as lost because the process that held the archive is gone.

    building -> waiting -> approved -> uploading -> ended
                        `> declined -> ended
    and from each state but `ended` directly to `ended`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from bot.storage.audit import Entry, note
from bot.storage.schema import approvals, runs
from bot.storage.store import RunRequest, Store
from handlers.model import FlareReview


class State(StrEnum):
    """State of a flare and its archive."""

    BUILDING = "building"
    WAITING = "waiting"
    APPROVED = "approved"
    UPLOADING = "uploading"
    """From here on the archive may have been uploaded, whatever happens."""
    DECLINED = "declined"
    ENDED = "ended"


UNDECIDED = (State.BUILDING, State.WAITING)
OPEN = (State.BUILDING, State.WAITING, State.APPROVED, State.UPLOADING, State.DECLINED)


@dataclass(frozen=True, slots=True)
class Approval:
    """The approval row of one flare."""

    run: str
    state: State
    holder: str
    """Instance id of the process that holds the Agent's upload prompt open; each start of csm has a new one."""
    requested_by: str
    requested_at: float
    expires_at: float
    review: FlareReview | None
    decided_by: str
    """Who approved or declined; empty while undecided."""
    decided_at: float | None
    decision: str
    """`approve`, `decline` or empty."""
    ending: str
    """How the flare ended, a value of `bot.runs.flare_outcome.Ending`; empty before that."""
    again: str
    """The run that prepares the flare again, or empty."""


class Approvals:
    """Reads and changes the approval rows of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def waiting(self) -> int:
        """Number of archives that wait for a decision, over all processes. Blocks: do not call it on the event loop."""
        with self._store.engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(approvals).where(approvals.c.state == State.WAITING)
            return connection.scalar(query) or 0

    async def claim(self, request: RunRequest, holder: str, expires_at: float) -> bool:
        """
        Claim the flare for `holder`, which is about to build its archive.

        False when another process, or an earlier instance of this one, claimed it before: the archive which that one
        held is gone, and is never built again for the same run.
        """
        values = {
            "run": request.id,
            "state": State.BUILDING,
            "holder": holder,
            "requested_by": request.requested_by,
            "requested_at": request.accepted_at,
            "expires_at": expires_at,
        }
        # RETURNING shows whether a row was inserted: PostgreSQL's driver does not count the rows of an INSERT.
        insert = self._store.insert(approvals).values(**values).on_conflict_do_nothing().returning(approvals.c.run)
        return await self._store.gather(lambda connection: connection.execute(insert).first()) is not None

    async def present(self, request: RunRequest, holder: str, review: FlareReview) -> bool:
        """Store the review. From here on the flare can be approved and declined. False when it has ended before."""
        entry = _entry("approval.requested", request.id, request.requested_by, f"sha256 {review.sha256}")
        return await self._change(
            request.id,
            (State.BUILDING,),
            entry=entry,
            holder=holder,
            state=State.WAITING,
            review=review.model_dump_json(),
            sha256=review.sha256,
        )

    async def decide(
        self, run: str, decision: str, *, sha256: str, by: str, at: float, where: str = "", confirmed_host: str = ""
    ) -> bool:
        """
        Record a person's decision on the archive with this hash. True when it takes effect.

        Where the archive goes to a host that is not Datadog's, an approval takes effect only if `confirmed_host` is
        that host. A review never changes once it is stored, so the one that is read here is the one decided on.
        """
        state = State.APPROVED if decision == "approve" else State.DECLINED
        row = await self.get(run)
        if row is None or row.review is None:
            return False
        foreign = row.review.foreign_host if state is State.APPROVED else ""
        if foreign and confirmed_host != foreign:
            return False
        open_ = (approvals.c.sha256 == sha256, approvals.c.expires_at > at)
        detail = f"sha256 {sha256}" + (f", to {foreign}, which is not Datadog's" if foreign else "")
        granted = _entry("approval.granted", run, by, detail, where=where)
        declined = _entry("approval.declined", run, by, detail, where=where)
        return await self._change(
            run,
            (State.WAITING,),
            *open_,
            entry=granted if state is State.APPROVED else declined,
            state=state,
            decision=decision,
            decided_by=by,
            decided_at=at,
        )

    async def begin_upload(self, run: str, holder: str, sha256: str) -> bool:
        """Record that the answer `y` is about to be written. It is never written without this record."""
        return await self._change(
            run, (State.APPROVED,), approvals.c.sha256 == sha256, holder=holder, state=State.UPLOADING
        )

    async def end(self, run: str, ending: str, at: float, *, from_states: tuple[State, ...] = OPEN) -> bool:
        """Record how the flare ended. False when it was not in one of `from_states` any more."""
        return await self._change(
            run, from_states, entry=_ended(run, ending), state=State.ENDED, ending=ending, ended_at=at
        )

    async def prepared_again(self, run: str, by_run: str) -> str:
        """Record which run prepares the flare again. Returns the recorded run: another one, if that was first."""
        update = sa.update(approvals).where(approvals.c.run == run, approvals.c.again == "").values(again=by_run)

        def transaction(connection: sa.Connection) -> str:
            connection.execute(update)
            return str(connection.scalar(sa.select(approvals.c.again).where(approvals.c.run == run)) or by_run)

        return await self._store.gather(transaction)

    async def get(self, run: str) -> Approval | None:
        """The approval row of a run, or `None` when no process has claimed its flare."""
        query = sa.select(approvals).where(approvals.c.run == run)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return None if row is None else _approval(row)

    async def news(self, holder: str) -> list[tuple[str, bool]]:
        """Unfinished runs held by `holder` that were decided on or have ended (False), or were cancelled (True)."""
        decided = approvals.c.state.in_((State.APPROVED, State.DECLINED, State.ENDED))
        query = (
            sa.select(approvals.c.run, runs.c.cancelled_by, approvals.c.state)
            .join(runs, runs.c.id == approvals.c.run)
            .where(approvals.c.holder == holder, runs.c.state != "done", sa.or_(decided, runs.c.cancelled_by != ""))
        )
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return [(row.run, bool(row.cancelled_by) and row.state != State.ENDED) for row in rows]

    async def _change(
        self,
        run: str,
        from_states: tuple[State, ...],
        *conditions: sa.ColumnElement[bool],
        holder: str = "",
        entry: Entry | None = None,
        **values: Any,
    ) -> bool:
        where = [approvals.c.run == run, approvals.c.state.in_(from_states), *conditions]
        where += [approvals.c.holder == holder] if holder else []
        statement = sa.update(approvals).where(*where).values(**values)

        def transaction(connection: sa.Connection) -> bool:
            changed = bool(connection.execute(statement).rowcount)
            if changed and entry is not None:
                note(connection, entry)
            return changed

        return await self._store.gather(transaction)


def _entry(event: str, run: str, who: str, detail: str = "", *, where: str = "", outcome: str = "") -> Entry:
    return Entry(event, who, where, run=run, command="flare", outcome=outcome, detail=detail)


def _ended(run: str, ending: str) -> Entry:
    match ending:
        case "uploaded":
            return _entry("flare.uploaded", run, "csm", outcome=ending)
        case "in_doubt":
            return _entry("flare.in_doubt", run, "csm", outcome=ending)
        case "expired":
            return _entry("approval.expired", run, "csm", outcome=ending)
        case _:
            return _entry("flare.not_uploaded", run, "csm", outcome=ending)


def _approval(row: Any) -> Approval:
    return Approval(
        run=row.run,
        state=State(row.state),
        holder=row.holder,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        review=FlareReview.model_validate_json(row.review) if row.review else None,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision=row.decision,
        ending=row.ending,
        again=row.again,
    )
