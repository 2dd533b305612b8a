"""Executor for the host that csm runs on: each command is a process in its own process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence

from handlers.errors import BinaryMissing, ConnectionLost, Denied, NoExitStatus, Unreachable
from handlers.executors.base import Session, Stream
from handlers.executors.settings import HostSettings
from handlers.executors.sudo import SUDO, sudo_spoke
from handlers.model import Agent, Installation, Platform

CHUNK = 64 * 1024
INSTALLED = "opt/datadog-agent"


class HostExecutor:
    """Executor for this host. Its one Agent has the name of the target."""

    platform = Platform.HOST

    def __init__(self, target: str, settings: HostSettings) -> None:
        self._target = target
        self._settings = settings

    async def agents(self) -> Sequence[Agent]:
        """The Agent, if it is installed."""
        installed = await asyncio.to_thread((self._settings.root / INSTALLED).is_dir)
        if not installed:
            return []
        agent = Agent(
            target=self._target,
            name=self._target,
            platform=Platform.HOST,
            installation=Installation.HOST,
            node=os.uname().nodename,
        )
        return [agent]

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        """See `Executor.open`. `container` has no meaning here."""
        del container
        line = (*(SUDO if self._settings.sudo else ()), self._placed(argv[0]), *argv[1:])
        try:
            process = await asyncio.create_subprocess_exec(
                *line,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise BinaryMissing(f"{line[0]} does not exist on {agent}.") from error
        except PermissionError as error:
            raise BinaryMissing(f"{line[0]} may not be executed on {agent}.") from error
        except OSError as error:
            raise Unreachable(f"{line[0]} could not be started on {agent}: {error.strerror}.") from error
        session = HostSession(agent, argv, process, sudo=self._settings.sudo)
        try:
            yield session
        finally:
            await session.release()

    async def aclose(self) -> None:
        """Does nothing: this executor holds no connections."""

    def _placed(self, program: str) -> str:
        """The path of a program; the Agent's programs are below the configured root."""
        if program.startswith(f"/{INSTALLED}/"):
            return str(self._settings.root / program.lstrip("/"))
        return program


async def close_pipes(process: asyncio.subprocess.Process) -> None:
    """
    Close this side of a process's pipes, whether or not the process has ended.

    `Process.wait` returns only when all pipes are closed (CPython: asyncio/base_subprocess.py), so it would wait
    forever for a pipe that nobody reads.
    """
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to it
    for descriptor in range(3):
        if pipe := transport.get_pipe_transport(descriptor):
            pipe.close()
    await asyncio.sleep(0)  # the pipes close in the next iteration of the loop


class HostSession:
    """One process. See `handlers.executors.base.Session`."""

    def __init__(self, agent: Agent, argv: Sequence[str], process: asyncio.subprocess.Process, *, sudo: bool) -> None:
        self._agent = agent
        self._argv = argv
        self._process = process
        self._sudo = sudo
        self._chunks: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue(8)
        self._stderr_tail = b""
        self._open_streams = 2
        assert process.stdout is not None
        assert process.stderr is not None
        self._pumps = [
            asyncio.create_task(self._pump(process.stdout, Stream.STDOUT), name=f"stdout of {argv[0]}"),
            asyncio.create_task(self._pump(process.stderr, Stream.STDERR), name=f"stderr of {argv[0]}"),
        ]

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next output of either stream."""
        while self._open_streams:
            chunk = await self._chunks.get()
            if chunk is not None:
                return chunk
            self._open_streams -= 1
        return None

    async def write(self, data: bytes) -> None:
        """Write to stdin."""
        assert self._process.stdin is not None, "opened with stdin"
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionLost(f"{self._argv[0]} on {self._agent} no longer reads its input.") from error

    async def close_stdin(self) -> None:
        """Close stdin."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def exit_status(self) -> int:
        """The exit status; 128 + the signal for a process that a signal killed."""
        code = await self._process.wait()
        said = self._stderr_tail.decode("utf-8", "replace").strip()
        if self._sudo and code == 1 and sudo_spoke(said):
            if "command not found" in said:
                raise BinaryMissing(f"{self._argv[0]} does not exist on {self._agent}: {said}")
            raise Denied(f"sudo does not let csm run {self._argv[0]} on {self._agent} without a password: {said}")
        if code is None:
            raise NoExitStatus(f"{self._argv[0]} on {self._agent} ended without a status.")
        return 128 - code if code < 0 else code

    async def end(self, grace_s: float) -> bool:
        """End the whole process group. sudo passes SIGTERM on, but a killed sudo leaves its child running."""
        self._signal(signal.SIGTERM)
        await self._stop_reading()
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            try:
                await asyncio.wait_for(self._process.wait(), 1)
            except TimeoutError:
                return False
            if self._sudo and os.geteuid() != 0:
                return False
        # Other processes of the group that ignored SIGTERM.
        self._signal(signal.SIGKILL)
        return True

    async def release(self) -> None:
        """Stop reading. A process that still runs gets a broken pipe when it prints."""
        await self._stop_reading()

    async def _stop_reading(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.wait(self._pumps)
        await close_pipes(self._process)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _pump(self, stream: asyncio.StreamReader, kind: Stream) -> None:
        while data := await stream.read(CHUNK):
            if kind is Stream.STDERR:
                self._stderr_tail = (self._stderr_tail + data)[-500:]
            await self._chunks.put((kind, data))
        await self._chunks.put(None)
