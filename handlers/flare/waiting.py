"""The flare's process after its question, and the answer to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from handlers.errors import ExecError
from handlers.executors.base import InteractiveExec
from handlers.shielded import run_shielded

NO_WRITE_S = 2.0
NO_END_S = 3.0
"""How long writing `n` may take, and then how long the process may take to end, before csm ends the process instead."""


class Waiting:
    """
    A process after its question. One task reads from it all the time, so that its connection stays alive.

    It is answered at most once. `answer` is what was written, or what csm tried to write.
    """

    def __init__(self, talk: InteractiveExec) -> None:
        self._talk = talk
        self._asked = len(talk.output.stdout)
        self._reading = asyncio.create_task(talk.finish(), name="flare waits for its answer")
        self.answer = b""

    @property
    def stdout(self) -> bytes:
        """All of stdout, the question included."""
        return self._talk.output.stdout

    @property
    def stderr(self) -> bytes:
        """All of stderr."""
        return self._talk.output.stderr

    @property
    def spoke_on(self) -> bytes:
        """The output on stdout after the question."""
        return self.stdout[self._asked :].strip()

    def over(self) -> bool:
        """Whether the process has ended or its connection was lost."""
        return self._reading.done()

    @property
    def exit_status(self) -> int | None:
        """The exit status; `None` when it was not seen."""
        return None if not self.over() or self.lost else self._reading.result()

    @property
    def lost(self) -> ExecError | None:
        """The error because of which the end of the process was not seen; `None` otherwise."""
        error = self._reading.exception() if self.over() else None
        if error is not None and not isinstance(error, ExecError):
            raise error
        return error

    async def ended(self, within_s: float | None = None) -> bool:
        """Wait until the process has ended or its connection was lost; False when that took longer."""
        done, _ = await asyncio.wait({self._reading}, timeout=within_s)
        return bool(done)

    async def yes(self) -> None:
        """Write `y`. Raises an `ExecError` when it may not have arrived."""
        assert not self.answer, "it was answered already"
        self.answer = b"y"
        await self._talk.write(b"y\n")

    async def no(self) -> None:
        """Write `n` and close stdin, if that is still possible."""
        assert self.answer != b"y", "a yes cannot be taken back"
        if self.answer or self.over():
            return
        self.answer = b"n"
        with contextlib.suppress(ExecError, TimeoutError):
            async with asyncio.timeout(NO_WRITE_S):
                await self._talk.write(b"n\n")
                await self._talk.close_stdin()

    async def leave(self) -> None:
        """Unless `y` was written, write `n` and wait for the end, at most `NO_END_S`; then stop reading."""
        if self.answer != b"y":
            await self.no()
            await self.ended(NO_END_S)
        self._reading.cancel()
        await asyncio.wait({self._reading})
        if not self._reading.cancelled():
            self._reading.exception()


@contextlib.asynccontextmanager
async def waiting(talk: InteractiveExec) -> AsyncIterator[Waiting]:
    """Hold the process. Leaving the block without an answer writes `n`, also on cancellation."""
    process = Waiting(talk)
    try:
        yield process
    finally:
        await run_shielded(process.leave())


__all__ = ["Waiting", "waiting"]
