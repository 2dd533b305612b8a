"""
A Slack message that shows a run's progress, updated within Slack's rate limit.

chat.update allows about 50 calls a minute for the whole workspace (docs.slack.dev: apis/web-api/rate-limits,
Tier 3), so updates are coalesced: only the latest state is sent, a message is updated at most every 1.2 s and less
often the longer its run lasts, and all messages share one rate limit (`Turns`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from bot.render.post import Post
from bot.runtime import metrics
from bot.slack.messenger import Messenger, Undeliverable
from bot.storage.store import Sent

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.2
LAST_PAUSE_S = 10.0
ARRIVAL_S = 2.0
"""How long leaving the block waits for an update that is being sent."""
GROWTH = 1.15
"""Factor by which pauses grow: a run of a minute makes about 15 updates, one of ten minutes about 70."""


class Turns:
    """Rate limit that all messages of the workspace share: one update every `gap_s`."""

    def __init__(self, gap_s: float = 60 / 45) -> None:
        self._gap_s = gap_s
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait until an update may be sent. The first may be sent at once, the next `gap_s` later."""
        await self._lock.acquire()
        asyncio.get_running_loop().call_later(self._gap_s, self._lock.release)


class LiveMessage:
    """
    Keeps one message up to date while its block runs: calls `render` whenever an update may be sent.

    Leaving the block stops the updates; the caller sends the final state. An update that Slack refuses is
    logged and not repeated, because the next update shows a newer state anyway.
    """

    def __init__(self, messenger: Messenger, sent: Sent, render: Callable[[], Post], turns: Turns) -> None:
        self._messenger = messenger
        self._sent = sent
        self._render = render
        self._turns = turns
        self._changed = asyncio.Event()
        self._shown: Post | None = None
        self._task: asyncio.Task[None] | None = None
        self._on_its_way: asyncio.Future[None] | None = None

    def changed(self) -> None:
        """Signal that `render` has something new to show."""
        metrics.PROGRESS_CHANGES.inc()
        self._changed.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="live message")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        # An update that was cancelled while being sent could still arrive, and replace the final one.
        if self._on_its_way is not None:
            await asyncio.wait({self._on_its_way}, timeout=ARRIVAL_S)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _follow(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            await self._changed.wait()
            await self._turns.take()
            self._changed.clear()
            post = self._render()
            if post != self._shown:
                await self._show(post)
            await asyncio.sleep(pause)
            pause = min(pause * GROWTH, LAST_PAUSE_S)

    async def _show(self, post: Post) -> None:
        self._shown = post
        self._on_its_way = asyncio.get_running_loop().create_future()
        metrics.PROGRESS_UPDATES.inc()
        try:
            await self._messenger.update(self._sent, post, patience_s=60)
        except Undeliverable as error:
            log.warning("slack.progress_not_shown", error=error.error)
        finally:
            self._on_its_way.set_result(None)
