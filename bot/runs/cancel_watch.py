"""Watches for a run's cancellation requested elsewhere: another process, another terminal, an earlier instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from bot.storage.store import Store
from handlers.ports import Clock

log = structlog.get_logger(__name__)

POLL_S = 1.0
"""Poll interval, in seconds."""


@contextlib.asynccontextmanager
async def cancellable(store: Store, clock: Clock, run: str, cancel: Callable[[], None]) -> AsyncIterator[None]:
    """While the block runs, poll whether the run was cancelled; then call `cancel`, once."""

    async def watch() -> None:
        while not await _is_cancelled(store, run):
            await clock.sleep(POLL_S)
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
        # A database that is unavailable for a moment must not end the run from here: its steps decide that.
        log.exception("run.watch_failed", run=run)
        return False
