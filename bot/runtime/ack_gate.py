"""
Delays the start of new runs while Slack requests are unacknowledged.

Slack allows three seconds for an acknowledgement, while a run may take longer. Without the delay, the runs of the
first commands would take the processor from the acknowledgements of later ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

PATIENCE_S = 1.0
"""Longest delay in seconds. After it, runs start even if commands keep arriving."""


class AckGate:
    """Counts unacknowledged requests, and lets callers wait until there are none."""

    def __init__(self) -> None:
        self._waiting = 0
        self._over = asyncio.Event()
        self._over.set()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count one request as unacknowledged while the block runs."""
        self._waiting += 1
        self._over.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._over.set()

    async def over(self, patience_s: float = PATIENCE_S) -> None:
        """Return when no request is unacknowledged, or after `patience_s` seconds."""
        if self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), patience_s)
