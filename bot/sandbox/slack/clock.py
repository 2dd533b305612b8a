"""The workspace's clock, used for triggers, response_urls, rate limits and retries. Tests can set it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time that can be waited on."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        ...


class RealClock:
    """The system's time. It is monotonic: adjustments of the system's clock do not change it."""

    def __init__(self) -> None:
        self._start = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._start + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await asyncio.sleep(seconds)


class HandClock:
    """A clock for tests, which advances only by `move`."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self.asked_to_wait = asyncio.Event()
        """Set when a `sleep` begins, and replaced with a new event."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by that many seconds."""
        if seconds <= 0:
            return
        woken = asyncio.Event()
        self._sleepers.append((self._now + seconds, woken))
        self.asked_to_wait.set()
        self.asked_to_wait = asyncio.Event()
        await woken.wait()

    def move(self, seconds: float) -> None:
        """Advance the clock."""
        self._now += seconds
        for at, woken in self._sleepers:
            if at <= self._now:
                woken.set()
        self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self._now]
