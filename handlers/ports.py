"""
Ports: what the handlers need from the outside. The composition root provides implementations; tests pass their own.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import BinaryIO, Protocol


class Clock(Protocol):
    """The clock of the checks and of the flare. They read no other, so that tests can control it."""

    def now(self) -> datetime:
        """The current time, timezone-aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary fixed point, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        ...


class TemporarySpace(Protocol):
    """Temporary files for archives under review. Handlers do not use the disk themselves."""

    def open(self) -> AbstractAsyncContextManager[BinaryIO]:
        """
        An empty file to write, seek and read; it is deleted when the context is left.

        Waits for a free slot where the number of open files is limited.
        """
        ...
