"""
The executor protocol, and the two ways to use one: `run` a command to its end, or `converse` with it.

A platform implements `agents` and `open`; the rules that must hold everywhere (one total deadline,
one byte limit, the remote process ended and the partial output kept when it is cut short) are
written once, here, on top of `Session`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from handlers.errors import DeadlineExceeded, ExecError, Output, OutputLimitExceeded
from handlers.model import Agent, Platform
from handlers.shielded import run_shielded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may cost. Seconds and bytes."""

    deadline_s: float = 60.0
    """From the moment the connection is asked for to the exit status."""
    max_bytes: int = 4 * 1024 * 1024
    """Of stdout and stderr together."""
    grace_s: float = 2.0
    """How long a process may take to end after it was asked to, before it is killed."""


class Stream(Enum):
    """Where a chunk of output came from."""

    STDOUT = 1
    STDERR = 2


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself."""

    argv: tuple[str, ...]
    exit_status: int
    """0 to 255; a process that died of a signal is 128 + the signal, as shells have it."""
    output: Output
    duration_s: float


class Session(Protocol):
    """
    One running command.

    Its methods raise `handlers.errors.ExecError` and nothing else; errors of reading and waiting are
    final. One task reads at a time.
    """

    async def read(self) -> tuple[Stream, bytes] | None:
        """
        The next output, as it comes and never empty, or `None` when both streams have ended.

        Chunks keep their order within a stream. A chunk is at most 1 MiB.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Write to stdin. Returns when the data left this process."""
        ...

    async def close_stdin(self) -> None:
        """Give the process an end of file. Idempotent."""
        ...

    async def exit_status(self) -> int:
        """
        The exit status, once the output has ended.

        Raises `NoExitStatus` when the platform never tells, `ConnectionLost` when it was cut.
        """
        ...

    async def end(self, grace_s: float) -> bool:
        """
        End the remote process: ask it to, and kill it when it has not ended after `grace_s`.

        True when it is known to be gone, False when it may still run. Never raises; idempotent; takes
        no longer than `grace_s` and a little more. A process that ended already is gone.
        """
        ...


class Executor(Protocol):
    """How commands reach the Agents of one target."""

    @property
    def platform(self) -> Platform:
        """The platform of all Agents here."""
        ...

    async def agents(self) -> Sequence[Agent]:
        """
        The target's Agents, sorted by name, those that cannot be asked included (their phase and
        containers say why).

        Raises a `handlers.errors.TargetError`; an empty answer is no error.
        """
        ...

    def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AbstractAsyncContextManager[Session]:
        """
        Start `argv` on an Agent, in one of its containers (`None`: its only or main one).

        `argv` is passed as it is and never read by a shell. Without `stdin` the process sees an empty
        one. Leaving the context releases the connection; it does not wait for the process. Raises an
        `ExecError` when the command could not be started.
        """
        ...

    async def aclose(self) -> None:
        """Release all connections. Idempotent."""
        ...


async def run(
    executor: Executor,
    agent: Agent,
    argv: Sequence[str],
    *,
    container: str | None = None,
    limits: Limits = Limits(),
) -> Completed:
    """
    Run a command to its end.

    Raises an `ExecError` with the output so far when it does not end by itself, within
    `limits.deadline_s` and the grace for ending it. Cancellation ends the remote process too.
    """
    started = time.monotonic()
    async with converse(executor, agent, argv, container=container, limits=limits, stdin=False) as conversation:
        status = await conversation.finish()
    return Completed(tuple(argv), status, conversation.output, time.monotonic() - started)


@contextlib.asynccontextmanager
async def converse(
    executor: Executor,
    agent: Agent,
    argv: Sequence[str],
    *,
    container: str | None = None,
    limits: Limits = Limits(),
    stdin: bool = True,
) -> AsyncIterator[InteractiveExec]:
    """
    Hold a command open to read from and write to, under one deadline and one byte limit.

    Whatever ends the block early (an error, the deadline, cancellation) ends the remote process, and
    an `ExecError` that leaves it carries all output so far. A block that leaves normally before the
    command has ended ends it too.
    """
    # An ExecError may come out of a nested scope (opening, reading) without output, or the deadline
    # may strike anywhere; one place gives both the output that was read by then.
    conversation: InteractiveExec | None = None
    try:
        async with asyncio.timeout(limits.deadline_s) as deadline:
            async with executor.open(agent, argv, container=container, stdin=stdin) as session:
                conversation = InteractiveExec(session, limits)
                try:
                    yield conversation
                finally:
                    if not conversation.finished:
                        if not deadline.expired():  # ending has its own limit
                            deadline.reschedule(None)
                        conversation.ended = await run_shielded(session.end(limits.grace_s))
    except TimeoutError:
        if not deadline.expired():
            raise
        raise DeadlineExceeded(
            f"`{argv[0]}` on {agent} was still running after {limits.deadline_s:g} s and was ended",
            output=conversation.output if conversation else Output(),
            ended=conversation.ended if conversation else True,
        ) from None
    except ExecError as error:
        if conversation is not None:
            error.output, error.ended = conversation.output, conversation.ended
        raise


class InteractiveExec:
    """An open command: what it has printed so far, and ways to wait for more. See `converse`."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._received: dict[Stream, bytearray] = {Stream.STDOUT: bytearray(), Stream.STDERR: bytearray()}
        self._eof = False
        self.finished = False
        """True once the exit status is known."""
        self.ended = True
        """False when the remote process may still be running."""

    @property
    def output(self) -> Output:
        """All that was read so far."""
        return Output(bytes(self._received[Stream.STDOUT]), bytes(self._received[Stream.STDERR]))

    async def expect(self, *patterns: re.Pattern[bytes], stream: Stream = Stream.STDOUT) -> re.Match[bytes] | None:
        """
        Read until one of the patterns is found in all that `stream` has printed so far.

        `None` when the output ended without it. The first pattern that matches, in the given order, wins.
        """
        while True:
            for pattern in patterns:
                if match := pattern.search(self._received[stream]):
                    return match
            if not await self._receive():
                return None

    async def write(self, data: bytes) -> None:
        """Write to the command's stdin."""
        await self._session.write(data)

    async def close_stdin(self) -> None:
        """Give the command an end of file."""
        await self._session.close_stdin()

    async def finish(self) -> int:
        """Read to the end of the output, and return the exit status."""
        while await self._receive():
            pass
        status = await self._session.exit_status()
        self.finished = True
        return status

    async def pour(self, into: Callable[[bytes], object]) -> int:
        """
        Read to the end of the output, and return the exit status; stdout goes to `into` as it comes.

        What was poured is not kept, in `output` neither, and counts towards the byte limit all the same.
        """
        poured = 0
        while await self._receive():
            received = self._received[Stream.STDOUT]
            poured += len(received)
            into(bytes(received))
            received.clear()
            if poured > self._limits.max_bytes:
                raise self._too_much()
        return await self.finish()

    async def _receive(self) -> bool:
        if self._eof:
            return False
        chunk = await self._session.read()
        if chunk is None:
            self._eof = True
            return False
        stream, data = chunk
        room = self._limits.max_bytes - sum(map(len, self._received.values()))
        self._received[stream] += data[:room]
        if len(data) > room:
            raise self._too_much()
        return True

    def _too_much(self) -> OutputLimitExceeded:
        return OutputLimitExceeded(f"it printed more than {self._limits.max_bytes} bytes and was ended")


__all__ = ["Completed", "Executor", "InteractiveExec", "Limits", "Session", "Stream", "converse", "run"]
