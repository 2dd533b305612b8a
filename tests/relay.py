"""A way between a client and a server that a test can cut, silence or close."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Passes bytes both ways, until it is told otherwise."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._writers: dict[asyncio.StreamWriter, asyncio.Event] = {}
        self._passing: set[asyncio.Task[None]] = set()
        self._flowing = _open_gate()
        self.refusing = False
        """New connections are closed at once."""
        self.connections = 0
        self.port = 0

    def cut(self, *, hushed: bool = False) -> None:
        """Reset every connection that is open, or those that were hushed."""
        for writer, flowing in list(self._writers.items()):
            if not hushed or not flowing.is_set():
                writer.transport.abort()

    def hush(self) -> None:
        """Let nothing through any more, and say nothing of it: as behind a firewall that forgot the connection."""
        self._flowing.clear()

    def flow_anew(self) -> None:
        """Serve new connections. What was hushed stays so."""
        self._flowing = _open_gate()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        task = asyncio.create_task(self._pass(reader, writer, self._flowing))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def end(self) -> None:
        """Close everything."""
        for task in self._passing:
            task.cancel()
        if self._passing:
            await asyncio.wait(self._passing)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        writers = [writer]
        try:
            there, back = await self._connect()
            writers.append(back)
            self._writers |= dict.fromkeys(writers, flowing)
            await asyncio.gather(_pump(reader, back, flowing), _pump(there, writer, flowing))
        finally:
            for each in writers:
                self._writers.pop(each, None)
                each.transport.abort()
            for each in writers:
                with contextlib.suppress(OSError):
                    await each.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(64 * 1024):
            await flowing.wait()
            sink.write(data)
            await sink.drain()
        await flowing.wait()
        sink.write_eof()


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@contextlib.asynccontextmanager
async def tcp_relay(there: int | Callable[[], Awaitable[Streams]]) -> AsyncIterator[Relay]:
    """A relay to a port of this machine, or to what a function connects to; its own is `relay.port`."""
    relay = Relay((lambda: asyncio.open_connection("127.0.0.1", there)) if isinstance(there, int) else there)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with _ended(server, relay):
        yield relay


@contextlib.asynccontextmanager
async def unix_relay(address: str, path: Path) -> AsyncIterator[Relay]:
    """A relay to a socket of this machine, at another path."""
    relay = Relay(lambda: asyncio.open_unix_connection(address))
    server = await asyncio.start_unix_server(relay.serve, path)
    async with _ended(server, relay):
        yield relay


@contextlib.asynccontextmanager
async def _ended(server: asyncio.Server, relay: Relay) -> AsyncIterator[None]:
    try:
        yield
    finally:
        server.close()
        await relay.end()
