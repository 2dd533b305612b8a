"""
Executor for Agents in containers of a Docker engine, by exec.

The official SDK lists, creates and inspects, in short calls in threads. The stream of an exec is its raw socket, read
by the event loop, so that five hundred open sessions do not need five hundred threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException

from handlers.errors import (
    BinaryMissing,
    ConnectionLost,
    Denied,
    ExecError,
    NoExitStatus,
    NotReady,
    TargetDenied,
    TargetError,
    TargetUnreachable,
    Throttled,
    Unreachable,
    Vanished,
)
from handlers.executors.base import Limits, Session, Stream, run
from handlers.executors.kill import PYTHONS, VARIABLE, is_kill, kill_argv, new_mark
from handlers.executors.settings import DockerSettings
from handlers.model import Agent, Container, Installation, Platform
from handlers.version import from_image

T = TypeVar("T")

CHUNK = 64 * 1024
ENDING = "unable to create new parent process"
"""The runtime's message when a container ends between the engine's check of it and the start of the exec."""
DENIED = "Permission denied"
"""The system's message for a socket that may not be opened; the SDK keeps only the text of the error."""
NOT_STARTED = ("executable file not found", "no such file or directory", "permission denied")
KILLED = 137
"""The exit status of a process that the engine kills along with its container."""
SETTLE_S = 1.0
"""How much later than the end of an exec the engine may notice the end of its container."""
KEEPALIVE_S = 20
STATUS_WAIT_S = 5.0
"""
How long to wait for the exit status. The engine may report an exec as running for a moment after its stream has ended.
"""


class DockerExecutor:
    """Executor for one Docker engine. Connects on first use."""

    platform = Platform.DOCKER

    def __init__(self, target: str, settings: DockerSettings) -> None:
        self._target = target
        self._settings = settings
        self._api: docker.APIClient | None = None
        self._image = re.compile(settings.image)

    async def agents(self) -> Sequence[Agent]:
        """The containers whose image is an Agent's, including stopped ones."""
        filters = {"label": self._settings.label} if self._settings.label else {}
        try:
            found = await self._call(lambda api: api.containers(all=True, filters=filters))
        except APIError as error:
            status = error.response.status_code if error.response is not None else 0
            kind = TargetDenied if status in (401, 403) else TargetUnreachable
            raise kind(f"{self._target} answered {status}: {_said(error)}") from error
        except (DockerException, requests.RequestException, OSError) as error:
            if DENIED in str(error):
                raise TargetDenied(self._not_let_in()) from error
            raise TargetUnreachable(
                f"{self._target} cannot be reached at {self._settings.base_url}: {_short(error)}"
            ) from error
        agents = [self._agent(each) for each in found if self._image.search(each["Image"])]
        return sorted(agents, key=lambda agent: agent.name)

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        """See `Executor.open`. `container` has no meaning here: the Agent is one."""
        del container
        mark = new_mark()

        def start(api: docker.APIClient) -> tuple[str, Any]:
            environment = {VARIABLE: mark}
            created = api.exec_create(agent.handle, list(argv), stdin=stdin, environment=environment)
            return created["Id"], api.exec_start(created["Id"], socket=True)

        try:
            exec_id, stream = await self._call(start)
        except APIError as error:
            raise _refused(agent, argv[0], error) from error
        except (DockerException, requests.RequestException, OSError) as error:
            if DENIED in str(error):
                raise Denied(self._not_let_in()) from error
            raise Unreachable(f"The engine of {agent} cannot be reached: {_short(error)}") from error
        session = DockerSession(self, agent, argv, exec_id=exec_id, mark=mark, stream=stream)
        try:
            yield session
        finally:
            session.release()

    def _not_let_in(self) -> str:
        return (
            f"csm may not open {self._settings.base_url} of {self._target}: its user must be in the group that owns the socket"
            " (docker), which is as much as being root there."
        )

    async def inspect(self, exec_id: str) -> Mapping[str, Any]:
        """The engine's data about an exec."""
        return await self._call(lambda api: api.exec_inspect(exec_id))

    async def life(self, agent: Agent) -> tuple[str, str]:
        """
        The state of the Agent's container, as in `docker ps`, and its start time. `gone` when there is no such
        container.
        """
        try:
            found = (await self._call(lambda api: api.inspect_container(agent.handle)))["State"]
        except (DockerException, requests.RequestException, OSError):
            return "gone", ""
        # During a forced removal the engine still reports it as running.
        return ("dead" if found["Dead"] else str(found["Status"])), str(found["StartedAt"])

    async def time(self) -> str:
        """The engine's clock, as RFC 3339. Raises a `TargetUnreachable`."""
        try:
            return str((await self._call(lambda api: api.info()))["SystemTime"])
        except (DockerException, requests.RequestException, OSError, KeyError) as error:
            raise TargetUnreachable(f"{self._target} does not tell its time: {_short(error)}") from error

    async def aclose(self) -> None:
        """Close the client."""
        api, self._api = self._api, None
        if api is not None:
            await asyncio.to_thread(api.close)

    async def _call(self, work: Callable[[docker.APIClient], T]) -> T:
        def call() -> T:
            if self._api is None:
                _check_socket(self._settings.base_url)
                self._api = docker.APIClient(base_url=self._settings.base_url, version="auto", timeout=20)
            return work(self._api)

        return await asyncio.to_thread(call)

    def _agent(self, found: Mapping[str, Any]) -> Agent:
        # A container that is being removed has no name.
        name = (found["Names"] or [found["Id"][:12]])[0].lstrip("/")
        running = found["State"] == "running"
        container = Container(
            name=name,
            image=found["Image"],
            ready=running,
            state=found["State"] if running else found["Status"],
            started_at=_started_at(found["Status"]),
        )
        version = from_image(found["Image"])
        return Agent(
            target=self._target,
            name=name,
            platform=Platform.DOCKER,
            installation=Installation.DOCKER,
            containers=(container,),
            phase="Running" if running else f"{found['State']} ({found['Status']})",
            version=str(version) if version else None,
            handle=found["Id"],
        )


def _started_at(status: str) -> datetime | None:
    """
    When a container was started, from a status such as `Up 12 seconds`; the latest time that this text allows.

    Source: docker/go-units:duration.go, `HumanDuration`, which the engine's list of containers uses.
    """
    match = _UP.match(status)
    if match is None:
        return None
    number = int(match["number"] or (0 if match["less"] else 1))
    return datetime.now(UTC) - timedelta(**{f"{match['unit']}s": number})


_UP = re.compile(
    r"Up (?:(?P<less>Less than a )|About an? |(?P<number>\d{1,4}) )(?P<unit>second|minute|hour|day|week)s?\b"
)


class DockerSession:
    """One exec. See `handlers.executors.base.Session`."""

    def __init__(
        self, executor: DockerExecutor, agent: Agent, argv: Sequence[str], *, exec_id: str, mark: str, stream: Any
    ) -> None:
        self._executor = executor
        self._agent = agent
        self._argv = argv
        self._exec_id = exec_id
        self._mark = mark
        self._stream = stream
        # The SDK returns a reader over the socket (unix, TCP), or the TLS socket itself.
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._socket.setblocking(False)
        _keep_alive(self._socket)
        self._buffer = bytearray()
        self._head = b""
        self._ended = False

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next frame: a header of eight bytes with the stream and the length, then the data."""
        header = await self._exactly(8)
        if header is None:
            return None
        kind, length = struct.unpack(">BxxxL", header)
        data = await self._exactly(length)
        if data is None:
            raise ConnectionLost(f"The engine cut the output of {self._argv[0]} on {self._agent}.")
        self._head = self._head or data[:500]
        return (Stream.STDERR if kind == 2 else Stream.STDOUT), data

    async def write(self, data: bytes) -> None:
        """Write to stdin."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError as error:
            raise ConnectionLost(f"{self._argv[0]} on {self._agent} no longer reads its input.") from error

    async def close_stdin(self) -> None:
        """Close the writing half of the connection; the engine then closes the process's stdin."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def exit_status(self) -> int:
        """The exit status that the engine recorded."""
        give_up = asyncio.get_running_loop().time() + STATUS_WAIT_S
        pause = 0.005
        while True:
            found = await self._inspected()
            if not found["Running"] and found["ExitCode"] is not None:
                self._ended = True
                if int(found["ExitCode"]) == KILLED and await self._container_ended():
                    raise Vanished(f"{self._agent} was stopped while {self._argv[0]} ran.")
                return self._exited(int(found["ExitCode"]))
            if asyncio.get_running_loop().time() > give_up:
                raise (
                    self._lost()
                    if found["Running"]
                    else NoExitStatus(f"The engine does not say how {self._argv[0]} on {self._agent} ended.")
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _container_ended(self) -> bool:
        """
        Whether the container ended too. The engine notices the end of an exec first, so this polls for up to
        `SETTLE_S`.
        """
        before = life = await self._executor.life(self._agent)
        give_up = asyncio.get_running_loop().time() + SETTLE_S
        while life == before and life[0] == "running":
            if asyncio.get_running_loop().time() > give_up:
                return False
            await asyncio.sleep(0.05)
            life = await self._executor.life(self._agent)
        return True

    async def _inspected(self) -> Mapping[str, Any]:
        try:
            return await self._executor.inspect(self._exec_id)
        except APIError as error:
            # The engine removes an exec together with its container.
            raise Vanished(f"{self._agent} vanished while {self._argv[0]} ran.") from error
        except (DockerException, requests.RequestException, OSError) as error:
            raise ConnectionLost(f"The engine of {self._agent} was lost while {self._argv[0]} ran.") from error

    def _lost(self) -> ExecError:
        return ConnectionLost(f"The connection to {self._agent} was cut while {self._argv[0]} ran.")

    def _exited(self, code: int) -> int:
        head = self._head.decode("utf-8", "replace")
        if code in (126, 127) and ("OCI runtime exec failed" in head or "exec failed:" in head):
            if ENDING in head:
                raise Vanished(f"{self._agent} ended as {self._argv[0]} was started.")
            raise BinaryMissing(f"{self._argv[0]} cannot be run on {self._agent}: {head.strip()[:300]}")
        return code

    async def end(self, grace_s: float) -> bool:
        """End all processes that carry the mark, through a second exec (`handlers.executors.kill`)."""
        if self._ended:
            return True
        if is_kill(self._argv):
            return False
        # While output is unread, the engine does not notice the end of any exec of this container.
        self.release()
        limits = Limits(deadline_s=grace_s + 5, max_bytes=4096, grace_s=0)
        for python in PYTHONS:
            try:
                done = await run(self._executor, self._agent, kill_argv(python, self._mark, grace_s), limits=limits)
            except BinaryMissing:
                continue
            except (NotReady, Vanished):
                # The processes of a container end with it; in a paused container they are only frozen.
                return (await self._executor.life(self._agent))[0] != "paused"
            except (ExecError, TargetError):
                return False
            return done.exit_status == 0
        return False

    def release(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    async def _exactly(self, length: int) -> bytes | None:
        """Exactly `length` bytes, or `None` when the stream ends before."""
        while len(self._buffer) < length:
            try:
                data = await asyncio.get_running_loop().sock_recv(self._socket, CHUNK)
            except OSError as error:
                raise ConnectionLost(f"The connection to {self._agent} was lost while {self._argv[0]} ran.") from error
            if not data:
                return None
            self._buffer += data
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken


def _keep_alive(connection: socket.socket) -> None:
    """
    Turn on TCP keepalive, since devices in between drop idle connections.

    The engine's protocol has no ping of its own. Where the system does not have these options, its default times apply.
    """
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", KEEPALIVE_S), ("TCP_KEEPINTVL", KEEPALIVE_S), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _check_socket(base_url: str) -> None:
    """Check that something listens on a unix socket; the SDK leaks a socket when nothing does. Raises an `OSError`."""
    if base_url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(base_url.removeprefix("unix://"))


def _refused(agent: Agent, binary: str, error: APIError) -> ExecError:
    status = error.response.status_code if error.response is not None else 0
    said = _said(error)
    if ENDING not in said and any(words in said for words in NOT_STARTED):
        return BinaryMissing(f"{binary} cannot be run on {agent}: {said}")
    if status in (401, 403):
        return Denied(f"The engine of {agent} answered {status}: {said}")
    if status == 409:
        return NotReady(f"{agent} cannot run commands: {said}")
    if status in (404, 410) or ENDING in said:
        return Vanished(f"{agent} is no longer there: {said}")
    if status == 429:
        return Throttled(f"The engine of {agent} had too many requests.")
    return Unreachable(f"The engine of {agent} answered {status}: {said}")


def _said(error: APIError) -> str:
    return str(error.explanation or error)[:300]


def _short(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
