"""
Socket Mode's server side: tickets, hello, envelopes, acks and disconnects. Each envelope goes to one connection.

Protocol: docs.slack.dev: apis/events-api/using-socket-mode, and what the official SDKs expect. An ack is matched by
its envelope id and accepted from any connection, because the SDKs send it on the current one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import WSMsgType, web

from bot.sandbox.slack.clock import Clock, RealClock
from bot.sandbox.slack.workspace import APP

ACK_S = 3.0
MOST_CONNECTIONS = 10
TICKET_S = 30.0
"""How long a ticket is valid. That this is short is documented, how short is not."""
PING_S = 5.0
"""SDKs expect a ping at least every 30 s; Slack's come more often than every 10 s."""
LIFE_S, SHORT_LIFE_S = 18_060.0, 360.0
"""Lifetime of a connection, and of one opened with `debug_reconnects`."""
WARNING_S = 10.0
_DEBUG = {"host": "applink-sandbox"}


class NobodyThere(Exception):
    """No connection is open."""


class SocketMode:
    """All connections of the app."""

    def __init__(self, clock: Clock | None = None, *, ack_s: float = ACK_S, ping_s: float = PING_S) -> None:
        self.base = ""
        self.connections: list[web.WebSocketResponse] = []
        self.connected = asyncio.Event()
        self.hello = asyncio.Event()
        """Set for each new connection, and replaced with a new event."""
        self.copies = 1
        """How many times each envelope is delivered."""
        self.unacknowledged = 0
        """The number of envelopes that got no ack in time."""
        self._clock = clock or RealClock()
        self._ack_s = ack_s
        self._ping_s = ping_s
        self._tickets: dict[str, tuple[float, float]] = {}
        """By ticket: until when it is valid, and the lifetime of its connection."""
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def ticket(self, short: bool = False) -> str:
        """Return the address of a new connection, valid for one use."""
        ticket = str(uuid.uuid4())
        self._tickets[ticket] = (self._clock.now() + TICKET_S, SHORT_LIFE_S if short else LIFE_S)
        suffix = "&debug_reconnects=true" if short else ""
        return f"{self.base.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={secrets.token_hex(16)}{suffix}"

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve a connection until it ends."""
        good_until, life = self._tickets.pop(request.query.get("ticket", ""), (0.0, 0.0))
        if self._clock.now() > good_until:
            return web.Response(status=403, text="invalid ticket")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(self.connections) >= MOST_CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": _DEBUG})
            await socket.close()
            return socket
        await self._serve(socket, life)
        return socket

    async def _serve(self, socket: web.WebSocketResponse, life: float) -> None:
        self.connections.append(socket)
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": len(self.connections),
                "connection_info": {"app_id": APP},
                "debug_info": {**_DEBUG, "build_number": 1, "approximate_connection_time": int(life)},
            }
        )
        self.connected.set()
        self.hello.set()
        self.hello = asyncio.Event()
        beside = [asyncio.create_task(self._ping(socket)), asyncio.create_task(self._expire(socket, life))]
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(message.data)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._forget(socket)

    def _forget(self, socket: web.WebSocketResponse) -> None:
        if socket in self.connections:
            self.connections.remove(socket)
        if not self.connections:
            self.connected.clear()

    async def _ping(self, socket: web.WebSocketResponse) -> None:
        # The first ping is immediate: it resets the timers of SDKs that have just connected.
        while True:
            with contextlib.suppress(ConnectionError):
                await socket.ping(b"Ping from applink-sandbox")
            await asyncio.sleep(self._ping_s)

    async def _expire(self, socket: web.WebSocketResponse, life: float) -> None:
        await self._clock.sleep(life - WARNING_S)
        await _say_goodbye(socket, "warning")
        await self._clock.sleep(WARNING_S)
        await _say_goodbye(socket, "refresh_requested")
        self._forget(socket)
        await socket.close()

    async def deliver(
        self, kind: str, payload: Mapping[str, Any], *, answers: bool, retry: Mapping[str, Any] | None = None
    ) -> Any:
        """
        Send an envelope to one connection, and return the payload of its ack (`{}` if it has none).

        Raises `NobodyThere`, or `TimeoutError` when no ack comes within three seconds.
        """
        if not self.connections:
            raise NobodyThere
        key = str(uuid.uuid4())
        envelope: dict[str, Any] = {"envelope_id": key, "type": kind, "accepts_response_payload": answers}
        envelope |= {**(retry or {}), "payload": payload}
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            for _ in range(self.copies):
                await self._send(envelope)
            answer = await asyncio.wait_for(future, self._ack_s)
        except TimeoutError:
            self.unacknowledged += 1
            raise
        finally:
            del self._waiting[key]
        return answer if answers else {}

    async def _send(self, envelope: Mapping[str, Any]) -> None:
        """Send to a random connection. One that is closing loses the envelope, as in Slack."""
        if self.connections:
            with contextlib.suppress(ConnectionError):
                await random.choice(self.connections).send_json(envelope)  # noqa: S311 - any will do

    async def disconnect(self, reason: str) -> None:
        """
        Send a disconnect: `warning`, `refresh_requested`, `link_disabled` or `too_many_websockets`.

        The connections are closed at once, or ten seconds after a warning.
        """
        for socket in list(self.connections):
            await _say_goodbye(socket, reason)
        closing = asyncio.create_task(self._close(list(self.connections), WARNING_S if reason == "warning" else 0.0))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, sockets: list[web.WebSocketResponse], after_s: float) -> None:
        await self._clock.sleep(after_s)
        for socket in sockets:
            self._forget(socket)
            await socket.close()

    async def drop(self) -> None:
        """Close every connection without a disconnect message."""
        for closing in self._closing:
            closing.cancel()
        for socket in list(self.connections):
            self._forget(socket)
            await socket.close()

    def _acknowledged(self, text: str) -> None:
        try:
            message = json.loads(text)
            future = self._waiting.get(message.get("envelope_id"))
        except (ValueError, AttributeError, TypeError):
            return
        if future is not None and not future.done():
            future.set_result(message.get("payload") or {})


async def _say_goodbye(socket: web.WebSocketResponse, reason: str) -> None:
    with contextlib.suppress(ConnectionError):
        await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": _DEBUG})
