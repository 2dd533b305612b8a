"""
The executor protocol, and two ways to use it: `run` a command to its end, or `converse` for an interactive exec.

A platform implements `agents` and `open`. The rules that must hold everywhere (one total deadline, one byte limit, the
remote process ended and the partial output kept when it is cut short) are written once, here, on top of `Session`.
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
    """Limits of one command, in seconds and bytes."""

    deadline_s: float = 60.0
    """From the start of connecting to the exit status."""
    max_bytes: int = 4 * 1024 * 1024
    """Of stdout and stderr together."""
    grace_s: float = 2.0
    """How long a process may take to end after SIGTERM, before it is killed."""


class Stream(Enum):
    """Where a chunk of output came from."""

    STDOUT = 1
    STDERR = 2


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself."""

    argv: tuple[str, ...]
    exit_status: int
    """0 to 255; 128 + the signal for a process that a signal killed, as in shells."""
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
        The next chunk of output as it arrives, never empty; `None` when both streams have ended.

        Chunks keep their order within a stream. A chunk is at most 1 MiB.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Write to stdin. Returns when the data left this process."""
        ...

    async def close_stdin(self) -> None:
        """Close stdin, so that the process reads an end of file. Idempotent."""
        ...

    async def exit_status(self) -> int:
        """
        The exit status, once the output has ended.

        Raises `NoExitStatus` when the platform never reports it, `ConnectionLost` when the connection was cut.
        """
        ...

    async def end(self, grace_s: float) -> bool:
        """
        End the remote process: ask it to end (SIGTERM), and kill it when it has not ended after `grace_s`.

        True when the process is known to have ended, also before this call; False when it may still run. Never raises;
        idempotent; takes only a little longer than `grace_s`.
        """
        ...


class Executor(Protocol):
    """Runs commands on the Agents of one target."""

    @property
    def platform(self) -> Platform:
        """The platform of all Agents here."""
        ...

    async def agents(self) -> Sequence[Agent]:
        """
        The target's Agents, sorted by name, including those that cannot run commands (their phase and containers say
        why).

        Raises a `handlers.errors.TargetError`; an empty list is no error.
        """
        ...

    def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AbstractAsyncContextManager[Session]:
        """
        Start `argv` on an Agent, in one of its containers (`None`: its only or main one).

        `argv` is passed unchanged and is never parsed by a shell. Without `stdin` the process reads an empty stdin.
        Leaving the context releases the connection; it does not wait for the process. Raises an `ExecError` when the
        command could not be started.
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

    Raises an `ExecError` with the output so far when the command does not end by itself within `limits.deadline_s`;
    ending it may take the grace time on top. Cancellation ends the remote process too.
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
    Open an interactive exec: a running command to read from and write to, under one deadline and one byte limit.

    Leaving the block before the command has ended ends the remote process, whether the block is left normally or by an
    error, the deadline or cancellation. An `ExecError` that leaves the block carries all output so far.
    """
    # An ExecError from a nested scope (opening, reading) has no output, and the deadline may fire
    # anywhere. Both get the output that was read so far here, in one place.
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
    """A running command of `converse`: its output so far, and ways to wait for more."""

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
        """All output that was read so far."""
        return Output(bytes(self._received[Stream.STDOUT]), bytes(self._received[Stream.STDERR]))

    async def expect(self, *patterns: re.Pattern[bytes], stream: Stream = Stream.STDOUT) -> re.Match[bytes] | None:
        """
        Read until one of the patterns is found in the output of `stream` so far.

        `None` when the output ended without a match. The first pattern that matches, in the given order, wins.
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
        """Close the command's stdin."""
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
        Stream stdout to `into` as it arrives, to the end of the output; return the exit status.

        Streamed data is not kept, not even in `output`, but counts towards the byte limit.
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
