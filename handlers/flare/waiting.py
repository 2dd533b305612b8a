"""The process that asked, and waits for its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from handlers.errors import ExecError
from handlers.executors.base import InteractiveExec
from handlers.shielded import run_shielded

NO_WRITE_S = 2.0
NO_END_S = 3.0
"""How long a `n` may take to be written, and then to be obeyed, before the process is ended instead."""


class Waiting:
    """
    A process after its question, read from one task all the time, so that connections stay alive.

    It is answered at most once. `answer` is what was written, or was to be.
    """

    def __init__(self, talk: InteractiveExec) -> None:
        self._talk = talk
        self._asked = len(talk.output.stdout)
        self._reading = asyncio.create_task(talk.finish(), name="flare waits for its answer")
        self.answer = b""

    @property
    def stdout(self) -> bytes:
        """All of it, the question included."""
        return self._talk.output.stdout

    @property
    def stderr(self) -> bytes:
        """All of it."""
        return self._talk.output.stderr

    @property
    def spoke_on(self) -> bytes:
        """What came after the question."""
        return self.stdout[self._asked :].strip()

    def over(self) -> bool:
        """Whether nothing more comes: the process ended, or the connection did."""
        return self._reading.done()

    @property
    def exit_status(self) -> int | None:
        """`None` when it was not seen."""
        return None if not self.over() or self.lost else self._reading.result()

    @property
    def lost(self) -> ExecError | None:
        """Why its end was not seen, once it is over."""
        error = self._reading.exception() if self.over() else None
        if error is not None and not isinstance(error, ExecError):
            raise error
        return error

    async def ended(self, within_s: float | None = None) -> bool:
        """Wait until it is over; False when that took longer."""
        done, _ = await asyncio.wait({self._reading}, timeout=within_s)
        return bool(done)

    async def yes(self) -> None:
        """Write `y`. Raises an `ExecError` when it may not have arrived."""
        assert not self.answer, "it was answered already"
        self.answer = b"y"
        await self._talk.write(b"y\n")

    async def no(self) -> None:
        """Write `n` and an end of input, as far as that is still possible."""
        assert self.answer != b"y", "a yes cannot be taken back"
        if self.answer or self.over():
            return
        self.answer = b"n"
        with contextlib.suppress(ExecError, TimeoutError):
            async with asyncio.timeout(NO_WRITE_S):
                await self._talk.write(b"n\n")
                await self._talk.close_stdin()

    async def leave(self) -> None:
        """Say no, unless it was answered; then stop reading."""
        if self.answer != b"y":
            await self.no()
            await self.ended(NO_END_S)
        self._reading.cancel()
        await asyncio.wait({self._reading})
        if not self._reading.cancelled():
            self._reading.exception()


@contextlib.asynccontextmanager
async def waiting(talk: InteractiveExec) -> AsyncIterator[Waiting]:
    """Hold the process; leaving the block without an answer says no, also when it is left by cancellation."""
    process = Waiting(talk)
    try:
        yield process
    finally:
        await run_shielded(process.leave())


__all__ = ["Waiting", "waiting"]
