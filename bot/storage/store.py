"""
The store: database access for runs, results and posts. SQLite by default, PostgreSQL where there are several replicas.

Every method is a coroutine that runs one transaction in a thread. Frequent writes (accepting commands, recording
results) are batched: all that arrive while one transaction is being committed go into the next one. So a hundred
commands at once cost two or three commits, and a single one does not wait. Commands go before results, because Slack
waits for them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from bot.storage import audit
from bot.storage.accept import AcceptRequest, accept_all
from bot.storage.audit import Entry, note
from bot.storage.migrate import migrate
from bot.storage.records import ON, WITHOUT_JSON, Accepted, RunRecord, RunRequest, Sent, entry_of, record
from bot.storage.schema import posts, results, runs
from handlers.errors import ConfigurationError
from handlers.model import Agent, AgentResult, Report
from handlers.shielded import run_shielded

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5000
"""How long a SQLite write waits for another process's write before the database counts as locked."""

CONNECT_ARGS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""
Timeouts for libpq: in seconds, but `tcp_user_timeout` in milliseconds. A server that vanished without closing its
connections is noticed within 15 seconds instead of the operating system's 15 minutes. `database_url` may override them.
"""

__all__ = ["Accepted", "RunRecord", "RunRequest", "Sent", "Store", "make_engine"]


class Store:
    """The store; see the module. Create it with `open`, and close it with `aclose`."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        # SQLite has one writer at a time; more threads would only wait for each other's lock.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="store-read")
        self._gathered: list[tuple[Callable[[sa.Connection], Any], asyncio.Future[Any]]] = []
        self._asked: list[tuple[AcceptRequest, asyncio.Future[Accepted]]] = []
        self._committer: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, database_url: str) -> Store:
        """
        Connect, and migrate the tables to the current schema.

        Raises `ConfigurationError` when the database cannot be used: unreachable, locked, or with a newer schema.
        """
        store = cls(make_engine(database_url))
        try:
            await asyncio.to_thread(migrate, store.engine)
        except (sa.exc.OperationalError, sa.exc.DatabaseError) as error:
            await store.aclose()
            raise ConfigurationError([_why_unusable(error, store.engine.url)], source="database_url") from error
        except ConfigurationError:
            await store.aclose()
            raise
        return store

    async def aclose(self) -> None:
        """Finish the transactions that were started, and disconnect. Idempotent."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()

    def fault(self) -> str:
        """What is wrong with the database, or an empty string. Blocks: do not call it on the event loop."""
        try:
            with self.engine.connect() as connection:
                connection.execute(sa.select(1))
        except sa.exc.SQLAlchemyError as error:
            return f"The database cannot be used: {type(error).__name__}."
        return ""

    # -- runs ---------------------------------------------------------------------------------------------

    async def accept(self, request: RunRequest, *, join: bool = False) -> Accepted:
        """
        Store a new run, once: the same command delivered twice is the same run.

        With `join`, a run in progress of the same command that covers these Agents is joined instead. A run over a
        whole target covers each of its Agents.
        """
        accepted: Accepted = await self._waiting_in(self._asked, AcceptRequest(request, join))
        return accepted

    async def run(self, run: str) -> RunRecord | None:
        """A run with its report, or `None` for an unknown id."""
        return next(iter(await self._runs(runs.c.id == run, with_report=True)), None)

    async def unfinished(self) -> Sequence[RunRequest]:
        """Runs from Slack that have not ended, oldest first; at most the newest 1,000."""
        found = await self._runs(sa.and_(runs.c.state != "done", runs.c.source == "slack"))
        return [record.request for record in reversed(found)]

    async def recent_runs(self, *, target: str | None = None, limit: int = 20) -> Sequence[RunRecord]:
        """The latest runs, newest first."""
        return await self._runs(runs.c.target == target if target else sa.true(), limit=limit)

    async def update_run(self, run: str, **values: Any) -> None:
        """Set columns of a run."""
        await self.gather(
            lambda connection: connection.execute(sa.update(runs).where(runs.c.id == run).values(**values))
        )

    async def cancel(self, run: str, by: str, where: str = "terminal") -> bool:
        """Request a run's cancellation. False when the run has ended or was cancelled before."""
        statement = sa.update(runs).where(runs.c.id == run, ON, runs.c.cancelled_by == "")

        def transaction(connection: sa.Connection) -> bool:
            asked = bool(connection.execute(statement.values(cancelled_by=by)).rowcount)
            if asked:
                note(connection, Entry("run.cancelled", by, where, run=run))
            return asked

        return await self.gather(transaction)

    async def cancelled_by(self, run: str) -> str:
        """Who cancelled the run, or an empty string."""
        query = sa.select(runs.c.cancelled_by).where(runs.c.id == run)
        return await self.read(lambda connection: connection.scalar(query)) or ""

    async def finish(self, run: str, report: Report, at: float) -> None:
        """Store the report and its verdict. Posts to the run's thread may still follow."""
        kept = report.to_json(indent=None, documents=True)
        statement = sa.update(runs).where(runs.c.id == run)
        counts = ", ".join(f"{number} {verdict}" for verdict, number in report.counts.items())
        entry = Entry(
            "run.ended", "csm", run=run, command=report.command, target=report.target, outcome=str(report.verdict),
            detail=report.reason or counts,
        )  # fmt: skip

        def transaction(connection: sa.Connection) -> None:
            connection.execute(statement.values(report=kept, verdict=str(report.verdict), finished_at=at))
            note(connection, entry)

        await self.gather(transaction)

    async def note(self, entry: Entry) -> None:
        """Append an audit entry that belongs to no other write: a refusal, a line that started no run."""
        await self.gather(lambda connection: note(connection, entry))

    # -- inventory and results ------------------------------------------------------------------------------

    async def keep_inventory(self, run: str, agents: Sequence[Agent]) -> None:
        """Store which Agents the run checks, so that a restart checks the same ones."""
        await self.update_run(
            run, inventory=json.dumps([agent.model_dump(mode="json") for agent in agents]), state="running"
        )

    async def inventory(self, run: str) -> Sequence[Agent] | None:
        """The run's Agents, or `None` when they have not been found yet."""
        query = sa.select(runs.c.inventory).where(runs.c.id == run)
        kept = await self.read(lambda connection: connection.scalar(query))
        return None if kept is None else [Agent.model_validate(agent) for agent in json.loads(kept)]

    async def asked(self, request: RunRequest, agent: str, at: float) -> None:
        """Record that the command is about to run on an Agent."""
        values = {
            "run": request.id,
            "agent": agent,
            "target": request.target,
            "command": request.command,
            "asked_at": at,
        }
        statement = self.insert(results).values(**values)
        statement = statement.on_conflict_do_update(index_elements=["run", "agent"], set_={"asked_at": at})

        def transaction(connection: sa.Connection) -> None:
            connection.execute(statement)
            note(connection, entry_of("agent.asked", request, agent=agent))

        await self.gather(transaction)

    async def keep_result(self, request: RunRequest, result: AgentResult, at: float) -> None:
        """Store an Agent's result. Once this returns, the Agent is not checked again for this run."""
        kept = result.model_dump_json()
        statement = self.insert(results).values(
            run=request.id, agent=result.agent, target=request.target, command=request.command, asked_at=at, result=kept
        )
        statement = statement.on_conflict_do_update(index_elements=["run", "agent"], set_={"result": kept})

        def transaction(connection: sa.Connection) -> None:
            connection.execute(statement)
            note(connection, _answered(request, result))

        await self.gather(transaction)

    async def results(self, run: str) -> Mapping[str, AgentResult]:
        """The run's results so far, by Agent."""
        query = sa.select(results.c.agent, results.c.result).where(results.c.run == run, results.c.result.is_not(None))
        rows = await self.read(lambda connection: connection.execute(query).all())
        return {agent: AgentResult.model_validate_json(result) for agent, result in rows}

    async def last_asked(
        self, command: str, target: str, since: float
    ) -> Mapping[str, tuple[float, str, AgentResult | None]]:
        """For each Agent of a target checked after `since`: when, by which run, and its result, if there is one yet."""
        query = (
            sa.select(results.c.agent, results.c.asked_at, results.c.run, results.c.result)
            .where(results.c.target == target, results.c.command == command, results.c.asked_at >= since)
            .order_by(results.c.asked_at)
        )
        rows = await self.read(lambda connection: connection.execute(query).all())
        return {
            agent: (asked_at, run, AgentResult.model_validate_json(result) if result else None)
            for agent, asked_at, run, result in rows
        }

    # -- posts ------------------------------------------------------------------------------------------------

    async def intend(self, run: str, key: str, channel: str, at: float) -> Sent | None:
        """
        Record that a post is about to be sent. `None` the first time; otherwise what is known of the post.

        The row is committed before the post is sent, so a crash in between leaves a row without `ts`.
        """

        def note(connection: sa.Connection) -> Sent | None:
            row = connection.execute(sa.select(posts).where(posts.c.run == run, posts.c.key == key)).first()
            if row is not None:
                return Sent(row.channel, row.ts, row.intended_at, row.extra)
            connection.execute(sa.insert(posts).values(run=run, key=key, channel=channel, intended_at=at))
            return None

        return await self.gather(note)

    async def sent(self, run: str, key: str, *, channel: str, ts: str = "", extra: str = "") -> None:
        """Record where a post is."""
        statement = sa.update(posts).where(posts.c.run == run, posts.c.key == key)
        await self.gather(lambda connection: connection.execute(statement.values(channel=channel, ts=ts, extra=extra)))

    async def post(self, run: str, key: str) -> Sent | None:
        """What is known of a post, or `None` when none is recorded."""
        query = sa.select(posts).where(posts.c.run == run, posts.c.key == key)
        row = await self.read(lambda connection: connection.execute(query).first())
        return None if row is None else Sent(row.channel, row.ts, row.intended_at, row.extra)

    # -- transactions -----------------------------------------------------------------------------------------

    async def _runs(
        self, where: sa.ColumnElement[bool], *, limit: int = 1000, with_report: bool = False
    ) -> Sequence[RunRecord]:
        query = sa.select(*WITHOUT_JSON, *([runs.c.report] if with_report else []))
        query = query.where(where).order_by(runs.c.accepted_at.desc(), runs.c.id).limit(limit)
        return [record(row) for row in await self.read(lambda connection: connection.execute(query).all())]

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Run a query in a reader thread."""

        def transaction() -> T:
            with self.engine.connect() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, transaction)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work with the engine in a thread, shielded: two threads must not use one connection at once."""
        return await run_shielded(asyncio.get_running_loop().run_in_executor(self._readers, work))

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in its own transaction, with the audit entries that it notes. Waits for the write in progress."""

        def transaction() -> T:
            with self.engine.begin() as connection:
                if connection.dialect.name == "sqlite":
                    # Python begins a transaction only at the first change; what was read before could be stale by then.
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                audit.begin(connection)
                done = work(connection)
                audit.flush(connection)
                return done

        return await asyncio.get_running_loop().run_in_executor(self._writer, transaction)

    async def gather(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in the next transaction, together with all other waiting work."""
        return await self._waiting_in(self._gathered, work)  # type: ignore[no-any-return]

    async def _waiting_in(self, line: list[tuple[Any, asyncio.Future[Any]]], work: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        line.append((work, future))
        # A separate task commits: a caller may be cancelled while the others in its batch still wait.
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_all(), name="store-commit")
        return await future

    async def _commit_all(self) -> None:
        while self._asked or self._gathered:
            if self._asked:  # Slack waits for these
                asked = _taken(self._asked)
                await self._commit(
                    lambda connection: accept_all(connection, self.insert, [each for each, _ in asked]),  # noqa: B023
                    [future for _, future in asked],
                )
            else:
                works = _taken(self._gathered)
                await self._commit(
                    lambda connection: [work(connection) for work, _ in works],  # noqa: B023
                    [future for _, future in works],
                )

    async def _commit(
        self, work: Callable[[sa.Connection], Sequence[Any]], waiting: Sequence[asyncio.Future[Any]]
    ) -> None:
        try:
            outcomes = await self.write(work)
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits for this batch
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future, outcome in zip(waiting, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _taken(line: list[T]) -> list[T]:
    """Remove all waiting items from the list, and return them."""
    taken = list(line)
    line.clear()
    return taken


def _answered(request: RunRequest, result: AgentResult) -> Entry:
    """Audit entry for an Agent's result, with the argument vectors that ran; none ran if a recent result was reused."""
    entry = replace(entry_of("agent.answered", request, agent=result.agent), outcome=str(result.verdict))
    if result.reused_from:
        return replace(entry, event="agent.reused", detail=f"the answer given to {result.reused_from}")
    return replace(
        entry, argv=[i.argv for i in result.invocations] or list(filter(None, [result.argv])), detail=result.reason
    )


def exists(database_url: str) -> bool:
    """Whether the database exists. False only for a missing SQLite file, which opening would create."""
    url = sa.make_url(database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def connect_args(database_url: str) -> Mapping[str, int]:
    """Connect arguments from `CONNECT_ARGS`, without those that the URL sets itself; empty for SQLite."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return {}
    return {key: value for key, value in CONNECT_ARGS.items() if key not in url.query}


def make_engine(database_url: str) -> sa.Engine:
    """An SQLAlchemy engine with the settings that both csm's tables and the durable engine's tables need."""
    url = sa.make_url(database_url)
    if url.get_backend_name() != "sqlite":
        # The audit's chain relies on seeing what was committed before its lock was taken (bot.storage.audit).
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args=connect_args(database_url),
        )
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # WAL lets readers and the writer work at once; FULL makes an accepted command survive a power cut.
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _why_unusable(error: sa.exc.DatabaseError, url: sa.URL) -> str:
    reason = str(error.orig) if error.orig else str(error)
    shown = url.render_as_string(hide_password=True)
    if "locked" in reason:
        return f"{shown} is locked by another process; stop that one, or wait until it has finished, and start again."
    return f"{shown} cannot be used: {reason.strip()}"
