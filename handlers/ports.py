"""
What the handlers need from the outside world. The composition root provides it; tests bring their own.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import BinaryIO, Protocol


class Clock(Protocol):
    """Time. Handlers have no other."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from some fixed point; for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class TemporarySpace(Protocol):
    """Room for archives while they are looked at. Handlers have no disk."""

    def open(self) -> AbstractAsyncContextManager[BinaryIO]:
        """
        An empty file to write, seek and read; nothing of it is left when the context is left.

        Waits for its turn where only so many may be open at once.
        """
        ...
