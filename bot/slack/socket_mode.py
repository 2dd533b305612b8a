"""
Socket Mode connection with a watchdog that reopens it when it goes silent.

The SDK's client has been seen connected but receiving nothing (slackapi/bolt-python#1529), and retries a used
ticket for ever when a handshake fails (measured, slack_sdk 3.47.0). So a separate task watches it: when no pong has
arrived for `QUIET_S`, also because it never connected, it is closed and a new connection is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp

from bot.runtime import metrics

log = structlog.get_logger(__name__)

PING_S = 5.0
QUIET_S = 25.0
"""No pong for this long means that the connection is dead: five pings went unanswered."""
DEAD_S = 180.0
"""After silence this long, reopening does not help; only a new process can."""


class SocketModeConnection:
    """One Socket Mode connection, reopened when it goes silent. Use as an async context manager."""

    def __init__(self, app: AsyncApp, app_token: str, *, quiet_s: float = QUIET_S, ping_s: float = PING_S) -> None:
        self._app = app
        self._app_token = app_token
        self._quiet_s = quiet_s
        self._ping_s = ping_s
        self._handler: AsyncSocketModeHandler | None = None
        self._opened_at = 0.0
        self._heard_at = time.time()
        self._watching: asyncio.Task[None] | None = None
        self.reopened = 0
        """How often the connection was closed and opened again."""

    async def __aenter__(self) -> SocketModeConnection:  # noqa: PYI034 - not meant to be subclassed
        await self._open()
        self._watching = asyncio.create_task(self._watch(), name="watch socket")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.wait({self._watching})
        await self._close()

    @property
    def quiet_for_s(self) -> float:
        """Seconds since the current connection was opened or last received a pong."""
        heard = self._handler.client.last_ping_pong_time if self._handler else None
        return time.time() - max(heard or 0.0, self._opened_at)

    @property
    def age_s(self) -> float:
        """Seconds since this connection was opened."""
        return time.time() - self._opened_at

    @property
    def silent_for_s(self) -> float:
        """Seconds since any of the connections received a pong. Opening a new one does not count."""
        heard = self._handler.client.last_ping_pong_time if self._handler else None
        self._heard_at = max(self._heard_at, heard or 0.0)
        return time.time() - self._heard_at

    def measure(self) -> None:
        """Set the metrics that only change with time."""
        metrics.SOCKET_AGE.set(self.age_s)
        metrics.SOCKET_QUIET.set(self.silent_for_s)

    def fault(self, longest_s: float) -> str:
        """What is wrong when no pong was received for longer than `longest_s`, or an empty string."""
        silent = self.silent_for_s
        return f"Nothing has been heard of Slack for {silent:.0f} s." if silent > longest_s else ""

    async def _open(self) -> None:
        self._handler = AsyncSocketModeHandler(self._app, self._app_token, ping_interval=self._ping_s)
        # The SDK uses a proxy from the environment for loopback addresses too, despite NO_PROXY.
        if self._app.client.proxy is None:
            self._handler.client.proxy = None
        self._opened_at = time.time()
        await self._handler.connect_async()  # type: ignore[no-untyped-call]

    async def _close(self) -> None:
        if self._handler is not None:
            handler, self._handler = self._handler, None
            with contextlib.suppress(Exception):  # the connection is faulty, so closing it may fail in any way
                await asyncio.wait_for(handler.close_async(), 5)  # type: ignore[no-untyped-call]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._ping_s)
            if self.quiet_for_s <= self._quiet_s:
                continue
            log.warning("slack.socket_quiet", seconds=round(self.silent_for_s))
            self.reopened += 1
            metrics.SOCKET_REOPENED.inc()
            await self._close()
            try:
                await asyncio.wait_for(self._open(), self._quiet_s)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
                log.warning("slack.socket_not_reopened", error=type(error).__name__)
