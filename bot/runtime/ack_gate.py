"""
Requests of Slack's that wait for their acknowledgement, which goes before everything else.

Slack gives an acknowledgement three seconds, and a run takes as long as it takes: so what was accepted is started
when nobody waits any more, or the runs of the first commands would take the processor from the later ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

PATIENCE_S = 1.0
"""When commands never cease to come, runs are started all the same."""


class AckGate:
    """How many wait, and when that is over."""

    def __init__(self) -> None:
        self._waiting = 0
        self._over = asyncio.Event()
        self._over.set()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """For as long as one request waits."""
        self._waiting += 1
        self._over.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._over.set()

    async def over(self, patience_s: float = PATIENCE_S) -> None:
        """Return when nobody waits, or after `patience_s`."""
        if self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), patience_s)
