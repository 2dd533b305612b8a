"""
What the handlers need from the outside world. The composition root provides it; tests bring their own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


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
