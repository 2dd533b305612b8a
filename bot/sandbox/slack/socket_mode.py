"""
Socket Mode's server side: tickets, hello, envelopes that go to one connection each, and their acks.

Protocol: docs.slack.dev: apis/events-api/using-socket-mode, and what the official SDKs expect. An ack is
taken by its envelope id from any connection, as the SDKs send it on whichever is current.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import WSMsgType, web

ACK_S = 3.0
MOST_CONNECTIONS = 10


class SocketMode:
    """All connections of the app."""

    def __init__(self) -> None:
        self.base = ""
        self.connections: list[web.WebSocketResponse] = []
        self.connected = asyncio.Event()
        self.hello = asyncio.Event()
        """Set, and replaced, with each new connection."""
        self._tickets: set[str] = set()
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    def ticket(self) -> str:
        """The address of a new connection, good for one use."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return f"{self.base.replace('http', 'ws', 1)}/link/?ticket={ticket}"

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """A connection, until it ends."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403, text="invalid ticket")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(self.connections) >= MOST_CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        self.connections.append(socket)
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": len(self.connections),
                "connection_info": {"app_id": "A0CSM"},
                "debug_info": {"host": "sandbox"},
            }
        )
        self.connected.set()
        self.hello.set()
        self.hello = asyncio.Event()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(message.data)
        finally:
            self.connections.remove(socket)
            if not self.connections:
                self.connected.clear()
        return socket

    async def deliver(self, kind: str, payload: Mapping[str, Any], *, answers: bool, copies: int = 1) -> Any:
        """
        Send an envelope to one connection, and return what its ack carries (`{}` for nothing).

        Raises `TimeoutError` when no ack comes within three seconds, or nobody is connected.
        """
        if not self.connections:
            raise TimeoutError
        envelope_id = str(uuid.uuid4())
        envelope = {
            "envelope_id": envelope_id,
            "type": kind,
            "accepts_response_payload": answers,
            "payload": payload,
        }
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[envelope_id] = future
        try:
            for _ in range(copies):
                await random.choice(self.connections).send_json(envelope)  # noqa: S311 - any will do
            return await asyncio.wait_for(future, ACK_S)
        finally:
            del self._waiting[envelope_id]

    async def disconnect(self, reason: str) -> None:
        """Ask every connection to go, as Slack does when it refreshes them."""
        for socket in list(self.connections):
            await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}})

    async def drop(self) -> None:
        """Close every connection without a word."""
        for socket in list(self.connections):
            await socket.close()

    def _acknowledged(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        future = self._waiting.get(message.get("envelope_id"))
        if future is not None and not future.done():
            future.set_result(message.get("payload") or {})
