"""A clock that runs, and can be put forward."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class ForwardClock:
    """`handlers.ports.Clock`: the real time, and what was added to it."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._moved = asyncio.Event()

    def forward(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._ahead, UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._moved.wait(), left)
            except TimeoutError:
                return
