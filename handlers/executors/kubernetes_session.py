"""
One exec in a pod: the channels of the exec protocol, the exit status, and ending the process.

kubernetes/kubernetes: staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go (`v5.channel.k8s.io`, falling
back to v4). The official client's websocket helper supports neither the exit status nor closing stdin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from handlers.errors import BinaryMissing, ConnectionLost, ExecError, NoExitStatus, NotReady, TargetError, Vanished
from handlers.executors.base import Executor, Limits, Stream, run
from handlers.executors.kill import PYTHONS, is_kill, kill_argv
from handlers.executors.kubernetes_client import read_json, words
from handlers.model import Agent

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255


class KubernetesSession:
    """One exec. See `handlers.executors.base.Session`."""

    def __init__(
        self,
        executor: Executor,
        agent: Agent,
        argv: Sequence[str],
        *,
        container: str | None,
        mark: str,
        socket: aiohttp.ClientWebSocketResponse,
    ) -> None:
        self._executor = executor
        self._agent = agent
        self._argv = argv
        self._container = container
        self._mark = mark
        self._socket = socket
        self._status: Mapping[str, Any] | None = None
        self._stderr_tail = b""

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next chunk of output. A message on the status channel ends it, since it comes after all output."""
        while self._status is None:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                channel, data = message.data[0], message.data[1:]
            elif message.type is aiohttp.WSMsgType.TEXT and message.data:
                channel, data = ord(message.data[0]), message.data[1:].encode()
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
                self._check_close()
                return None
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise ConnectionLost(f"The connection to {self._agent} was lost: {words(self._socket.exception())}")
            else:
                continue
            if channel == STATUS:
                self._status = read_json(data.decode("utf-8", "replace"))
            elif data and channel in (STDOUT, STDERR):
                if channel == STDERR:
                    self._stderr_tail = (self._stderr_tail + data)[-500:]
                return (Stream.STDOUT if channel == STDOUT else Stream.STDERR), data
        return None

    def _check_close(self) -> None:
        """
        Handle a close without a status. After a normal close (1000) there is no status; any other close raises
        `ConnectionLost`.
        """
        if self._socket.close_code != aiohttp.WSCloseCode.OK:
            raise ConnectionLost(f"The connection to {self._agent} was cut while {self._argv[0]} ran.")

    async def write(self, data: bytes) -> None:
        """Write to stdin."""
        await self._send(bytes([STDIN]) + data)

    async def close_stdin(self) -> None:
        """
        Close stdin. Version 4 of the protocol cannot; a process that reads to the end of stdin then runs until its
        deadline.
        """
        if self._socket.protocol == "v5.channel.k8s.io":
            await self._send(bytes([CLOSE, STDIN]))

    async def exit_status(self) -> int:
        """The exit status from the status channel."""
        status = self._status
        if status is None:
            raise NoExitStatus(f"{self._agent} did not say how {self._argv[0]} ended.")
        if status.get("status") == "Success":
            return 0
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
                return self._exited(int(cause["message"]))
        raise _start_error(self._agent, self._argv[0], str(status.get("message", "")))

    def _exited(self, code: int) -> int:
        # `env` found no such program: stderr is one line, and it is the message of `env`.
        tail = self._stderr_tail.decode("utf-8", "replace").strip()
        if code in (126, 127) and tail.startswith(("env: ", "/usr/bin/env: ")) and "\n" not in tail:
            raise BinaryMissing(f"{self._argv[0]} cannot be run on {self._agent}: {tail}")
        return code

    async def end(self, grace_s: float) -> bool:
        """End all processes that carry the mark, through a second exec (`handlers.executors.kill`)."""
        if self._status is not None:
            return True
        if is_kill(self._argv):
            return False
        limits = Limits(deadline_s=grace_s + 5, max_bytes=4096, grace_s=0)
        for python in PYTHONS:
            try:
                # The kill command has a mark of its own, so it does not end itself.
                line = kill_argv(python, self._mark, grace_s)
                done = await run(self._executor, self._agent, line, container=self._container, limits=limits)
            except BinaryMissing:
                continue
            except (ExecError, TargetError):
                return False
            return done.exit_status == 0
        return False

    async def _send(self, data: bytes) -> None:
        try:
            await self._socket.send_bytes(data)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ConnectionLost(f"The connection to {self._agent} was lost: {words(error)}") from error


def _start_error(agent: Agent, binary: str, said: str) -> ExecError:
    """The error for the container runtime's message about a command that did not start."""
    if "executable file not found" in said or "no such file or directory" in said or "permission denied" in said:
        return BinaryMissing(f"{binary} cannot be run on {agent}: {said[:300]}")
    if "container not found" in said or "not found" in said:
        return Vanished(f"The container of {agent} is gone: {said[:300]}")
    if "not running" in said or "not created" in said:
        return NotReady(f"The container of {agent} cannot run commands: {said[:300]}")
    return ConnectionLost(f"{agent} broke off {binary}: {said[:300] or 'without saying why'}")
