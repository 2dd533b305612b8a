"""
Executor for a host over SSH (asyncssh). The host's key must be known; this check cannot be turned off.

sshd hands every command line to the user's login shell. This is the one place where a shell parses what csm runs.
`shlex.join` makes each argument a single word for the shell, so that it is treated as data.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import asyncssh

from handlers.errors import (
    BinaryMissing,
    ConnectionLost,
    Denied,
    ExecError,
    NoExitStatus,
    TargetDenied,
    TargetUnreachable,
    Throttled,
    Unreachable,
)
from handlers.executors.base import Limits, Session, Stream, run
from handlers.executors.kill import PYTHONS, VARIABLE, is_kill, kill_argv, new_mark
from handlers.executors.settings import SshSettings
from handlers.executors.sudo import SUDO, sudo_spoke
from handlers.model import Agent, Installation, Platform

CHUNK = 64 * 1024
SESSIONS = 8
"""
Concurrent commands. sshd's default MaxSessions is 10 per connection; when a server allows fewer, csm opens more
connections.
"""
OPEN_S = 5.0
"""A connection that does not open a session within this time counts as dead."""
KEEPALIVE_S = 15


class SshExecutor:
    """Executor for one host. Its one Agent has the name of the target."""

    platform = Platform.HOST

    def __init__(self, target: str, settings: SshSettings) -> None:
        self._target = target
        self._settings = settings
        self._connection: asyncssh.SSHClientConnection | None = None
        self._used: Counter[asyncssh.SSHClientConnection] = Counter()
        """The number of commands that run on each connection, including connections that were replaced."""
        self._connecting = asyncio.Lock()
        self._places = asyncio.Semaphore(SESSIONS)

    async def agents(self) -> Sequence[Agent]:
        """The Agent, if it is installed."""
        agent = Agent(
            target=self._target,
            name=self._target,
            platform=Platform.HOST,
            installation=Installation.HOST,
            node=self._settings.address,
        )
        try:
            found = await run(
                _WithoutSudo(self),  # so that sudo need not allow this command
                agent,
                ("test", "-d", "/opt/datadog-agent"),
                limits=Limits(deadline_s=self._settings.connect_timeout_s),
            )
        except Denied as error:
            raise TargetDenied(str(error)) from error
        except ExecError as error:
            raise TargetUnreachable(str(error)) from error
        return [agent] if found.exit_status == 0 else []

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        """See `Executor.open`. `container` has no meaning here."""
        del container
        async with self.opened(agent, argv, stdin=stdin, sudo=self._settings.sudo) as session:
            yield session

    @contextlib.asynccontextmanager
    async def opened(self, agent: Agent, argv: Sequence[str], *, stdin: bool, sudo: bool) -> AsyncIterator[Session]:
        """Start `argv`, with or without sudo."""
        mark = new_mark()
        line = shlex.join([*(SUDO if sudo else ()), "env", f"{VARIABLE}={mark}", *argv])
        async with self._places:
            connection, process = await self._start(line)
            session = SshSession(self, agent, argv, mark=mark, process=process)
            if not stdin:
                process.stdin.write_eof()
            try:
                yield session
            finally:
                await session.release()
                self._leave(connection)

    async def aclose(self) -> None:
        """Close the connections."""
        connections = set(self._used) | ({self._connection} if self._connection else set())
        self._connection = None
        for connection in connections:
            connection.close()
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(connection.wait_closed(), 2)

    async def _start(self, line: str) -> tuple[asyncssh.SSHClientConnection, asyncssh.SSHClientProcess[bytes]]:
        """
        Open a session. A connection that has no free session, was cut or does not respond is replaced; commands that
        run on it continue.
        """
        useless: asyncssh.SSHClientConnection | None = None
        while True:
            connection, new = await self._connected(instead_of=useless)
            self._used[connection] += 1
            try:
                async with asyncio.timeout(OPEN_S):
                    return connection, await connection.create_process(line, encoding=None)
            except BaseException as error:
                self._leave(connection)
                if not isinstance(error, asyncssh.ChannelOpenError | asyncssh.ConnectionLost | OSError | TimeoutError):
                    raise
                if new:
                    raise self._no_session(connection, error) from error
                useless = connection

    def _leave(self, connection: asyncssh.SSHClientConnection) -> None:
        """Count one command fewer on a connection. A replaced connection is closed after its last command."""
        self._used[connection] -= 1
        if not self._used[connection]:
            del self._used[connection]
            if connection is not self._connection:
                connection.close()

    def _no_session(self, connection: asyncssh.SSHClientConnection, error: BaseException) -> ExecError:
        words = str(error) or type(error).__name__
        if isinstance(error, asyncssh.ChannelOpenError) and not connection.is_closed():
            return Throttled(
                f"{self._settings.address} lets {self._settings.user} in and opens no session ({words}):"
                " see MaxSessions in its sshd_config."
            )
        return Unreachable(f"{self._target} does not open a session: {words}")

    async def _connected(
        self, *, instead_of: asyncssh.SSHClientConnection | None
    ) -> tuple[asyncssh.SSHClientConnection, bool]:
        """The connection for the next session, and whether it is new."""
        async with self._connecting:
            if self._connection is not None and self._connection is not instead_of:
                return self._connection, False
            self._connection = await self._connect()
            return self._connection, True

    async def _connect(self) -> asyncssh.SSHClientConnection:
        settings = self._settings
        try:
            return await asyncssh.connect(
                settings.address,
                settings.port,
                username=settings.user,
                known_hosts=str(settings.known_hosts),
                client_keys=[str(key) for key in settings.client_keys] or (),
                connect_timeout=settings.connect_timeout_s,
                keepalive_interval=KEEPALIVE_S,
                config=None,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise Denied(
                f"The key of {settings.address} is not the one in {settings.known_hosts}, or not there. If the host is new or was"
                " reinstalled, add its key after checking it; otherwise somebody may be in between."
            ) from error
        except asyncssh.PermissionDenied as error:
            raise Denied(f"{settings.address} does not let {settings.user} in: {error.reason}") from error
        except (OSError, asyncssh.Error, TimeoutError, ValueError) as error:
            raise Unreachable(
                f"{settings.address} cannot be reached over SSH: {str(error) or type(error).__name__}"
            ) from error


class _WithoutSudo:
    """The same host without sudo, for commands that need no special rights."""

    platform = Platform.HOST

    def __init__(self, executor: SshExecutor) -> None:
        self._executor = executor
        self.agents, self.aclose = executor.agents, executor.aclose

    def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> contextlib.AbstractAsyncContextManager[Session]:
        del container
        return self._executor.opened(agent, argv, stdin=stdin, sudo=False)


class SshSession:
    """One remote process. See `handlers.executors.base.Session`."""

    def __init__(
        self,
        executor: SshExecutor,
        agent: Agent,
        argv: Sequence[str],
        *,
        mark: str,
        process: asyncssh.SSHClientProcess[bytes],
    ) -> None:
        self._executor = executor
        self._agent = agent
        self._argv = argv
        self._mark = mark
        self._process = process
        self._stderr_tail = b""
        self._chunks: asyncio.Queue[tuple[Stream, bytes] | BaseException | None] = asyncio.Queue(8)
        self._open_streams = 2
        self._pumps = [
            asyncio.create_task(self._pump(process.stdout, Stream.STDOUT), name=f"stdout of {argv[0]}"),
            asyncio.create_task(self._pump(process.stderr, Stream.STDERR), name=f"stderr of {argv[0]}"),
        ]

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next output of either stream."""
        while self._open_streams:
            chunk = await self._chunks.get()
            if isinstance(chunk, BaseException):
                raise ConnectionLost(f"The connection to {self._agent} was lost while {self._argv[0]} ran.") from chunk
            if chunk is not None:
                return chunk
            self._open_streams -= 1
        return None

    async def write(self, data: bytes) -> None:
        """Write to stdin."""
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (OSError, asyncssh.Error) as error:
            raise ConnectionLost(f"{self._argv[0]} on {self._agent} no longer reads its input.") from error

    async def close_stdin(self) -> None:
        """Close stdin."""
        with contextlib.suppress(OSError):
            self._process.stdin.write_eof()

    async def exit_status(self) -> int:
        """The exit status; 128 + the signal for a process that a signal killed."""
        await self._process.wait_closed()
        if signal := self._process.exit_signal:
            import signal as signals

            return 128 + int(getattr(signals, f"SIG{signal[0]}", 0))
        status = self._process.exit_status
        if status is None:
            raise ConnectionLost(f"The connection to {self._agent} was cut while {self._argv[0]} ran.")
        if status == -1:
            raise NoExitStatus(f"{self._agent} did not say how {self._argv[0]} ended.")
        self._check_start(status)
        return status

    def _check_start(self, status: int) -> None:
        said = self._stderr_tail.decode("utf-8", "replace").strip()
        if status in (126, 127) and said.startswith(("env: ", "/usr/bin/env: ")) and "\n" not in said:
            raise BinaryMissing(f"{self._argv[0]} cannot be run on {self._agent}: {said}")
        if status == 1 and sudo_spoke(said):
            raise Denied(f"sudo does not let csm run {self._argv[0]} on {self._agent} without a password: {said}")

    async def end(self, grace_s: float) -> bool:
        """End all processes that carry the mark, through a second command (`handlers.executors.kill`)."""
        if self._process.exit_status is not None:
            return True
        if is_kill(self._argv):
            return False
        limits = Limits(deadline_s=grace_s + 5, max_bytes=4096, grace_s=0)
        for python in reversed(PYTHONS):
            try:
                done = await run(self._executor, self._agent, kill_argv(python, self._mark, grace_s), limits=limits)
            except BinaryMissing:
                continue
            except Denied:
                return await self._terminated(grace_s)
            except ExecError:
                return False
            return done.exit_status == 0
        return False

    async def _terminated(self, grace_s: float) -> bool:
        """
        End the process where sudo does not allow the kill command: sshd signals sudo, which passes that on. A process
        that ignores SIGTERM keeps running.
        """
        try:
            self._process.terminate()
            async with asyncio.timeout(grace_s):
                while await self.read():  # unread output would delay the end of the process
                    pass
                await self._process.wait_closed()
        except (OSError, ExecError):  # a time-out is an OSError
            pass
        return self._process.exit_status is not None

    async def release(self) -> None:
        """Close the channel and stop reading."""
        self._process.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.wait(self._pumps)

    async def _pump(self, stream: asyncssh.SSHReader[bytes], kind: Stream) -> None:
        try:
            while data := await stream.read(CHUNK):
                if kind is Stream.STDERR:
                    self._stderr_tail = (self._stderr_tail + data)[-500:]
                await self._chunks.put((kind, data))
        except (OSError, asyncssh.Error) as error:
            await self._chunks.put(error)
        await self._chunks.put(None)
