"""
Heartbeats of the processes that share a database.

Times are those of the database's clock, so that machines whose clocks differ do not take each other for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import sqlalchemy as sa

from bot.storage.schema import replicas
from bot.storage.store import Store

LOCK = 0x63736D72
"""Key of the PostgreSQL advisory lock for finding and starting runs that no process executes."""

LOCK_RETRY_S = 0.05
"""Lock retry interval, while another process has the lock."""


class Replicas:
    """Reads and writes the heartbeats of a store's processes."""

    def __init__(self, store: Store, *, dead_after_s: float) -> None:
        self._store = store
        self._dead_after_s = dead_after_s

    async def alive(self, replica: str) -> None:
        """Record a heartbeat."""

        def transaction(connection: sa.Connection) -> None:
            insert = self._store.insert(replicas).values(id=replica, seen_at=_now(connection))
            seen = insert.excluded.seen_at
            connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_={"seen_at": seen}))

        await self._store.gather(transaction)

    async def is_alive(self, replica: str) -> bool:
        """Whether the process has sent a heartbeat within `dead_after_s`."""

        def query(connection: sa.Connection) -> bool:
            seen = connection.scalar(sa.select(replicas.c.seen_at).where(replicas.c.id == replica))
            return seen is not None and seen > _now(connection) - self._dead_after_s

        return await self._store.read(query)

    async def any_alive(self, prefix: str) -> bool:
        """Whether a process whose id starts with `prefix` has sent a heartbeat within `dead_after_s`."""

        def query(connection: sa.Connection) -> bool:
            seen = replicas.c.seen_at > _now(connection) - self._dead_after_s
            names = connection.scalars(sa.select(replicas.c.id).where(seen))
            return any(name.startswith(prefix) for name in names)

        return await self._store.read(query)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the advisory lock while the block runs. A no-op on SQLite, which has one process only."""
        if self._store.engine.dialect.name != "postgresql":
            yield
            return
        lock = _Lock(self._store.engine)
        try:
            while not await self._store.in_thread(lock.take):  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(LOCK_RETRY_S)
            yield
        finally:
            await self._store.in_thread(lock.give)

    async def dead(self) -> list[str]:
        """Ids of the processes without a heartbeat for `dead_after_s`, including those that have shut down (`left`)."""

        def query(connection: sa.Connection) -> list[str]:
            seen = replicas.c.seen_at <= _now(connection) - self._dead_after_s
            return list(connection.scalars(sa.select(replicas.c.id).where(seen)))

        return await self._store.read(query)

    async def left(self, replica: str) -> None:
        """Record that a process shuts down: `dead` lists it at once, so the others can take over its runs."""
        gone = self._store.insert(replicas).values(id=replica, seen_at=0.0)
        # An insert, because another process may have taken it for dead and deleted its row.
        gone = gone.on_conflict_do_update(index_elements=["id"], set_={"seen_at": 0.0})
        await self._store.gather(lambda connection: connection.execute(gone))

    async def forget(self, replica: str) -> None:
        """Delete the row of a dead process, whose runs were taken over."""
        await self._store.gather(lambda c: c.execute(sa.delete(replicas).where(replicas.c.id == replica)))


class _Lock:
    """
    The advisory lock, held by a transaction of its own: it ends with the transaction, even if the process dies.

    `take` tries and does not wait, so that no thread is left waiting in the database when a process is stopped.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._held = contextlib.ExitStack()

    def take(self) -> bool:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(self._engine.connect())
            taken = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(LOCK))))
            if taken:
                self._held = stack.pop_all()
        return taken

    def give(self) -> None:
        self._held.close()


def _now(connection: sa.Connection) -> float:
    if connection.dialect.name == "sqlite":  # one machine, one clock
        return time.time()
    return float(connection.scalar(sa.select(sa.func.extract("epoch", sa.func.clock_timestamp()))) or 0.0)
