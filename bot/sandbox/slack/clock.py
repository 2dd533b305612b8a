"""The workspace's time, which tests may move by hand: triggers, response_urls, rate limits and retries go by it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, and waiting."""

    def now(self) -> float:
        """The time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class RealClock:
    """This machine's time, except that it never jumps."""

    def __init__(self) -> None:
        self._start = time.time() - time.monotonic()

    def now(self) -> float:
        """The time."""
        return self._start + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class HandClock:
    """Time that stands still until somebody moves it."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self.asked_to_wait = asyncio.Event()
        """Set, and replaced, whenever somebody begins to wait."""

    def now(self) -> float:
        """The time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the time was moved so far."""
        if seconds <= 0:
            return
        woken = asyncio.Event()
        self._sleepers.append((self._now + seconds, woken))
        self.asked_to_wait.set()
        self.asked_to_wait = asyncio.Event()
        await woken.wait()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        for at, woken in self._sleepers:
            if at <= self._now:
                woken.set()
        self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self._now]
