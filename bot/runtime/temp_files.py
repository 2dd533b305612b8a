"""Temporary files for archives while they are inspected."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO, cast

MIB = 1024 * 1024


class TemporaryFiles:
    """
    `handlers.ports.TemporarySpace`: archives of up to `in_memory` bytes stay in memory, larger ones go into an
    unnamed file.

    No other process can open an unnamed file, and it is deleted when this process ends, however it ends.
    """

    def __init__(self, *, at_once: int = 4, in_memory: int = 8 * MIB, folder: str | None = None) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._in_memory = in_memory
        self._folder = folder

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[BinaryIO]:
        """See `TemporarySpace.open`. At most `at_once` files are open; further callers wait for a slot."""
        async with self._places:
            with tempfile.SpooledTemporaryFile(max_size=self._in_memory, dir=self._folder) as file:
                yield cast("BinaryIO", file)
