"""
Commands in the stand-in cluster's pods.

They are real processes, which continue when their connection closes, as in a real cluster. For fleets of a thousand
Agents, the stand-in Agent answers in this process instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from bot.sandbox import flare_agent, nodes, orphans
from bot.sandbox.agent import NAMES, Reply, plays_tool, reply
from bot.sandbox.kubernetes_pods import Pod
from handlers.executors.host import close_pipes
from handlers.executors.kill import PYTHONS, VARIABLE

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
CHUNK = 32 * 1024


@dataclass
class Inline:
    """A command that is answered in this process. `ended` is set in place of a signal."""

    mark: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Kubelet:
    """The commands that run in the pods, and the pods' files."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, tuple[str, ...]]] = []
        """Pod and argument vector of each command that was run, without kill commands."""
        self.processes: set[asyncio.subprocess.Process] = set()
        self.outliving: set[asyncio.Task[int]] = set()
        self.inline: dict[str, Inline] = {}
        self._folder = Path()

    def start(self) -> None:
        """Create the folder of the pods' files."""
        self._folder = orphans.new_folder("pods", "/tmp")  # noqa: S108 - made anew, with an unguessable name

    async def end(self) -> None:
        """Kill all commands that still run."""
        for inline in self.inline.values():
            inline.ended.set()
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if self.outliving:
            await asyncio.wait(self.outliving)

    async def quiet(self, within_s: float) -> bool:
        """Wait until no command runs. Returns False when one still runs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.inline or self.processes:  # noqa: ASYNC110 - two collections, and neither has an event
                    await asyncio.sleep(0.02)
        return not self.inline and not self.processes

    async def remove(self) -> None:
        """Remove the pods' files."""
        await asyncio.to_thread(orphans.remove_folder, self._folder)

    @property
    def environment(self) -> dict[str, str]:
        """The base environment of every process in a pod."""
        return {"PATH": os.environ.get("PATH", ""), orphans.VARIABLE: orphans.name_of(self._folder)}

    def tmp(self, pod: str) -> Path:
        """The temporary directory that all containers of a pod share."""
        folder = self._folder / pod
        folder.mkdir(exist_ok=True)
        return folder


class Exec:
    """One command in a container."""

    def __init__(
        self, kubelet: Kubelet, pod: Pod, container: str, socket: web.WebSocketResponse, *, wants_stdin: bool
    ) -> None:
        self._kubelet = kubelet
        self._pod = pod
        self._container = container
        self._socket = socket
        self._wants_stdin = wants_stdin
        self._unread = 0
        """Bytes of stdin that a command answered in this process has yet to read."""
        self._has_read = asyncio.Event()
        self._seen = time.monotonic()

    @property
    def pod(self) -> Pod:
        """The pod that the command runs in."""
        return self._pod

    async def cut_when_idle(self, limit_s: float) -> None:
        """Close the connection when nothing, pings included, has passed for `limit_s` seconds."""
        while (idle := time.monotonic() - self._seen) < limit_s:  # noqa: ASYNC110 - until a time, not until an event
            await asyncio.sleep(limit_s - idle)
        self.abort()

    async def run(self, command: Sequence[str]) -> None:
        """Run the command and send its exit status."""
        argv, env = _without_env(command)
        if argv[0] in PYTHONS and argv[-2].startswith(f"{VARIABLE}="):
            await self._end(argv)
        elif any(nodes.MARK in word for word in argv) and argv[0] not in self._pod.binaries:
            self._kubelet.commands.append((self._pod.name, tuple(argv)))
            self._unread = nodes.length_of_input(argv)
            document = nodes.evidence(self._pod.network, self._pod.behaviour.version)
            await self._answer(env, Reply(json.dumps(document) + "\n", delay_s=self._pod.behaviour.delay_s))
        elif argv[0] in self._pod.binaries or argv[0] in PYTHONS:
            self._kubelet.commands.append((self._pod.name, tuple(argv)))
            await self._process([*self._pod.binaries.get(argv[0], [sys.executable]), *argv[1:]], env)
        elif plays_tool(argv):
            self._kubelet.commands.append((self._pod.name, tuple(argv)))
            await self._answer(env, reply(argv, env, self._pod.behaviour, module=self._pod.module))
        elif argv[0] in self._pod.tools:
            self._kubelet.commands.append((self._pod.name, tuple(argv)))
            await self._process(argv, env)
        elif argv[1:2] == ["flare"] and self._has_flare(argv[0]):
            self._kubelet.commands.append((self._pod.name, tuple(argv)))
            stand_in = {
                "STAND_IN_AGENT": self._pod.behaviour.to_json(),
                "TMPDIR": str(self._kubelet.tmp(self._pod.name)),
            }
            await self._process([sys.executable, "-S", flare_agent.__file__, *argv], {**env, **stand_in})
        elif argv[0].rsplit("/", 1)[-1] in NAMES:
            self._kubelet.commands.append((self._pod.name, tuple(argv)))
            await self._answer(env, reply(argv, env, self._pod.behaviour, module=self._pod.module))
        elif command[0] == "env":
            await self._send(STDERR, f"env: ‘{argv[0]}’: No such file or directory\n".encode())
            await self._finish(127)
        else:
            text = f'exec: "{argv[0]}": executable file not found in $PATH'
            await self._finish(0, failure=f"command terminated: failed to start exec: {text}: unknown")

    def _has_flare(self, binary: str) -> bool:
        return binary in flare_agent.NAMES and (binary != "security-agent" or self._pod.behaviour.security_agent)

    async def _end(self, argv: Sequence[str]) -> None:
        """
        Run a kill command.

        A command answered in this process is ended directly. Real processes are ended by the real program.
        """
        inline = self._kubelet.inline.get(argv[-2])
        if inline is not None:
            inline.ended.set()
            await self._finish(0)
        else:
            await self._process([sys.executable, *argv[1:]], {})

    async def _answer(self, env: Mapping[str, str], answer: Reply) -> None:
        mark = f"{VARIABLE}={env.get(VARIABLE, '')}"
        inline = self._kubelet.inline[mark] = Inline(mark)
        reading = asyncio.create_task(self._feed())
        try:
            if self._unread > 0:
                await self._has_read.wait()
            if self._pod.fault == "cut":
                await self._send(STDOUT, answer.stdout_bytes[: len(answer.stdout_bytes) // 2])
                self.abort()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(inline.ended.wait(), None if answer.hang else answer.delay_s)
                await self._finish(143)
                return
            await self._send(STDOUT, answer.stdout_bytes)
            await self._send(STDERR, answer.stderr.encode())
            if answer.exit_status == 127 and answer.stderr.startswith("exec:"):
                await self._finish(
                    0, failure=f"failed to start exec: {answer.stderr.strip()}: executable file not found"
                )
            else:
                await self._finish(answer.exit_status)
        finally:
            reading.cancel()
            del self._kubelet.inline[mark]

    async def _process(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if self._wants_stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self._kubelet.environment, **env},
            start_new_session=True,
        )
        self._kubelet.processes.add(process)
        waiting = asyncio.create_task(self._outlive(process))
        self._kubelet.outliving.add(waiting)
        waiting.add_done_callback(self._kubelet.outliving.discard)
        assert process.stdout is not None
        assert process.stderr is not None
        tasks = [
            asyncio.create_task(self._pump(process.stdout, STDOUT)),
            asyncio.create_task(self._pump(process.stderr, STDERR)),
        ]
        feeding = asyncio.create_task(self._feed(process))
        try:
            if self._pod.fault == "cut":
                await asyncio.sleep(0.05)
                self.abort()
                return
            printing: asyncio.Future[Any] = asyncio.ensure_future(asyncio.gather(*tasks))
            printing.add_done_callback(lambda done: done.cancelled() or done.exception())
            ends: set[asyncio.Future[Any]] = {printing, feeding}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not printing.done():  # the client has disconnected; a kubelet then closes stdin
                return
            printing.result()
            await self._finish(await asyncio.shield(waiting))
        finally:
            for task in (*tasks, feeding):
                task.cancel()
            await close_pipes(process)

    async def _outlive(self, process: asyncio.subprocess.Process) -> int:
        """Wait for a process, which continues when its connection closes. Returns its exit status."""
        code = await process.wait()
        self._kubelet.processes.discard(process)
        return 128 - code if code < 0 else code

    async def _pump(self, stream: asyncio.StreamReader, channel: int) -> None:
        while data := await stream.read(CHUNK):
            await self._send(channel, data)

    async def _feed(self, process: asyncio.subprocess.Process | None = None) -> None:
        """Read the client's messages: pings, and the command's stdin."""
        while True:
            message = await self._socket.receive()
            self._seen = time.monotonic()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                self._has_read.set()
                return
            if message.type is not WSMsgType.BINARY:
                continue
            if process is None or process.stdin is None:
                self._unread -= len(message.data) - 1
                if self._unread <= 0:
                    self._has_read.set()
                continue
            if message.data[0] == STDIN:
                # A process may end without reading its input, also during the write.
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(message.data[1:])
                    await process.stdin.drain()
            elif message.data[0] == CLOSE and self._socket.ws_protocol == "v5.channel.k8s.io":
                process.stdin.close()

    async def _send(self, channel: int, data: bytes) -> None:
        self._seen = time.monotonic()
        if data:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def _finish(self, code: int, *, failure: str = "") -> None:
        if self._pod.fault != "no_status":
            await self._send(STATUS, json.dumps(_exec_status(code, failure)).encode())
        await self._socket.close()

    def abort(self) -> None:
        """Abort the connection."""
        transport = self._socket._req.transport if self._socket._req else None  # noqa: SLF001 - aiohttp has no public way to abort
        if transport is not None:
            transport.abort()


def _exec_status(code: int, failure: str) -> dict[str, Any]:
    """The message on the status channel (kubernetes: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand)."""
    if failure:
        return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": failure, "code": 500}
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with non-zero exit code: exit status {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": message,
        "details": {"causes": causes},
    }


def _without_env(command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    argv, env = list(command), {}
    while argv and argv[0] == "env":
        argv.pop(0)
        while argv and "=" in argv[0]:
            name, _, value = argv.pop(0).partition("=")
            env[name] = value
    return argv, env
