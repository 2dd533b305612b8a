"""A run's message and its thread in Slack: updates, replies and files, and what happens when Slack refuses them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from bot.render.post import File, Post
from bot.slack.messenger import GONE, Messenger, Undeliverable
from bot.storage.store import Sent, Store

log = structlog.get_logger(__name__)


class RunThread:
    """Updates the run messages of all runs, and posts to their threads. Every method may be repeated."""

    def __init__(self, store: Store, messenger: Messenger) -> None:
        self._store = store
        self._messenger = messenger

    async def is_announced(self, run: str) -> bool:
        """Whether the run message is known to have been posted."""
        sent = await self._store.post(run, "opening")
        return sent is not None and bool(sent.ts)

    async def opening(self, run: str) -> Sent:
        """Where the run message is. The run must have been announced."""
        sent = await self._store.post(run, "opening")
        assert sent is not None, f"{run} was announced"
        return sent

    async def show(self, run: str, post: Post) -> None:
        """Update the run message. When it cannot be updated any more, send `post` as a new message in its channel."""
        opening = await self.opening(run)
        try:
            await self._messenger.update(opening, post)
        except Undeliverable as error:
            log.warning("run.message_not_updated", run=run, error=error.error)
            if error.error in GONE:
                again = replace(post, key="closing")
                await self._logged(run, self._messenger.post_once(run, again, channel=opening.channel))

    async def tell(self, run: str, post: Post) -> None:
        """Post a reply in the run's thread, once. A refusal is only logged."""
        opening = await self.opening(run)
        sending = self._messenger.post_once(run, post, channel=opening.channel, thread_ts=opening.ts)
        await self._logged(run, sending)

    async def attach(self, run: str, key: str, files: Sequence[File], comment: str) -> None:
        """Share files into the run's thread, once. A refusal is only logged."""
        opening = await self.opening(run)
        sending = self._messenger.attach_once(
            run, key, files, channel=opening.channel, thread_ts=opening.ts, comment=comment
        )
        await self._logged(run, sending)

    async def _logged(self, run: str, sending: Awaitable[Any]) -> None:
        try:
            await sending
        except Undeliverable as error:
            log.warning("run.post_undeliverable", run=run, error=error.error)
