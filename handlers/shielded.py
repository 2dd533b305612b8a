"""Work that runs to its end even if the task that awaits it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def run_shielded(work: Awaitable[T]) -> T:
    """
    Await `work` to its end, even if this task is cancelled meanwhile, once or several times; then raise the
    cancellation.

    In that case the result or exception of `work` is lost, so `work` must not return anything that has to be released.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it as never retrieved
    raise cancelled
