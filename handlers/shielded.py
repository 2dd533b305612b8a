"""Work that is carried to its end although whoever waits for it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def run_shielded(work: Awaitable[T]) -> T:
    """
    Await `work` to its end, however often this task is cancelled meanwhile; then go on being cancelled.

    What it returns or raises is lost in that case, so it must leave nothing behind that somebody has to put away.
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
        task.exception()  # seen, so that asyncio does not complain of it
    raise cancelled
