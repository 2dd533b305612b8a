"""A run's end that was asked for elsewhere: through another process, in another terminal, or in an earlier life of this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from bot.storage.store import Store
from handlers.ports import Clock

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""How soon it is noticed."""


@contextlib.asynccontextmanager
async def cancellable(store: Store, clock: Clock, run: str, cancel: Callable[[], None]) -> AsyncIterator[None]:
    """While the block runs, look whether somebody has asked for the run's end; then call `cancel`, once."""

    async def watch() -> None:
        while not await _is_cancelled(store, run):
            await clock.sleep(LOOK_S)
        cancel()

    watching = asyncio.create_task(watch(), name=f"watch {run}")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _is_cancelled(store: Store, run: str) -> bool:
    try:
        return bool(await store.cancelled_by(run))
    except Exception:
        # Whether a database that is away for a moment is the run's end is for the steps to say, not for a look.
        log.exception("run.watch_failed", run=run)
        return False
