"""
Sends everything to Slack: posts, each once; updates; files; modals; with retries within Slack's limits.

The Web API has no key that makes a post idempotent. So the store records a post before it is sent, and again when
its location is known. When a crash falls in between, the post is searched for by its metadata before it is sent
again. That search needs a history scope, which is optional: without it the rule "every run ends visibly" wins over
"no message twice" (docs/adr/0003).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.render.post import File, Post
from bot.runtime import metrics
from bot.slack.client import refusal
from bot.storage.store import Sent, Store
from handlers.errors import CsmError

log = structlog.get_logger(__name__)

EVENT = "csm_post"
"""The metadata event type of csm's posts."""

GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})
"""Errors of chat.update after which only a new message helps."""

NOT_OURS_TO_DELETE = frozenset({"cant_delete_file", "access_denied", "team_access_not_granted"})
"""Permanent errors of files.delete: somebody has taken the file over, or apps are not allowed to delete."""

VIEW_S = 2.0
"""Timeout for opening a modal: the request that asked for it must still be acknowledged within three seconds."""

BROKEN = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Errors with HTTP 200 that mean the same as HTTP 500."""


class Undeliverable(CsmError):
    """Slack refused a call for good, or the timeout passed. `error`: Slack's error code, or the exception's name."""

    def __init__(self, error: str) -> None:
        super().__init__(f"Slack refuses the message: {error}")
        self.error = error


class Messenger:
    """Sends the messages of all runs, within Slack's limits."""

    def __init__(self, client: AsyncWebClient, store: Store, *, patience_s: float = 3600.0) -> None:
        self._client = client
        self._store = store
        self._patience_s = patience_s
        self._paused_until: dict[str, float] = {}
        self._sending: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        """Locks of posts being sent. Without them, a concurrent call would not find the post yet, and send it again."""
        self.calls = 0
        """Number of calls made so far, including retries."""

    async def post_once(self, run: str, post: Post, *, channel: str, thread_ts: str | None = None) -> Sent:
        """
        Send a post of a run, unless it was sent before. Returns where it is.

        Raises `Undeliverable`. Safe to repeat after a crash at any moment, and to call concurrently.
        """
        async with self._sending.setdefault((run, post.key), asyncio.Lock()):
            return await self._post_once(run, post, channel=channel, thread_ts=thread_ts)

    async def _post_once(self, run: str, post: Post, *, channel: str, thread_ts: str | None) -> Sent:
        known = await self._store.intend(run, post.key, channel, time.time())
        if known and known.ts:
            return known
        if known and (ts := await self._find(run, post.key, known, thread_ts)):
            await self._store.sent(run, post.key, channel=channel, ts=ts)
            return Sent(channel, ts, known.intended_at)

        async def sent_after_all() -> Mapping[str, Any] | None:
            ts = await self._find(run, post.key, Sent(channel, "", time.time() - 60), thread_ts)
            return None if ts is None else {"channel": channel, "ts": ts}

        answer = await self._call(
            self._client.chat_postMessage,
            instead_of_repeating=sent_after_all,
            channel=channel,
            thread_ts=thread_ts,
            text=post.text,
            blocks=list(post.blocks),
            metadata={"event_type": EVENT, "event_payload": {"run": run, "key": post.key}},
            unfurl_links=False,
            unfurl_media=False,
        )
        # A direct message is addressed by the user's id; the answer holds its actual channel.
        sent = Sent(str(answer["channel"]), str(answer["ts"]), time.time())
        await self._store.sent(run, post.key, channel=sent.channel, ts=sent.ts)
        return sent

    async def update(self, sent: Sent, post: Post, *, patience_s: float | None = None) -> None:
        """Replace the content of a sent message by `post`. Raises `Undeliverable`."""
        await self._call(
            self._client.chat_update,
            patience_s=patience_s,
            channel=sent.channel,
            ts=sent.ts,
            text=post.text,
            blocks=list(post.blocks),
        )

    async def attach_once(
        self, run: str, key: str, files: Sequence[File], *, channel: str, thread_ts: str, comment: str
    ) -> None:
        """
        Share files into a thread as one message, once.

        The upload ids are stored before the files are shared, so a repeated call shares the same uploads.
        """
        known = await self._store.intend(run, key, channel, time.time())
        if known and known.ts:
            return
        uploads = json.loads(known.extra) if known and known.extra else None
        if uploads is None:
            uploads = [{"id": await self._upload(file), "title": file.title} for file in files]
            await self._store.sent(run, key, channel=channel, extra=json.dumps(uploads))
        elif known and await self._shared(uploads, known, thread_ts):
            await self._store.sent(run, key, channel=channel, ts="shared", extra=json.dumps(uploads))
            return

        async def shared_after_all() -> Mapping[str, Any] | None:
            return {"ok": True} if await self._shared(uploads, Sent(channel, "", time.time()), thread_ts) else None

        await self._call(
            self._client.files_completeUploadExternal,
            instead_of_repeating=shared_after_all,
            files=uploads,
            channel_id=channel,
            thread_ts=thread_ts,
            initial_comment=comment,
        )
        await self._store.sent(run, key, channel=channel, ts="shared", extra=json.dumps(uploads))

    async def remove_file(self, file: str) -> bool:
        """
        Delete one of csm's files from Slack. True also when it is gone already; False when Slack refuses for good.

        Raises `Undeliverable` when a later attempt may succeed.
        """
        try:
            await self._call(self._client.files_delete, file=file)
        except Undeliverable as error:
            if error.error in NOT_OURS_TO_DELETE:
                return False
            if error.error not in {"file_not_found", "file_deleted"}:
                raise
        return True

    async def permalink(self, sent: Sent) -> str:
        """The permalink of a message, or an empty string when Slack does not return one."""
        try:
            answer = await self._call(
                self._client.chat_getPermalink, channel=sent.channel, message_ts=sent.ts, patience_s=10
            )
        except Undeliverable:
            return ""
        return str(answer["permalink"])

    async def open_view(self, trigger_id: str, view: Mapping[str, Any]) -> str:
        """Open a modal. Returns its id, or an empty string when Slack refused or took longer than `VIEW_S`."""
        try:
            async with asyncio.timeout(VIEW_S):
                answer = await self._call(self._client.views_open, trigger_id=trigger_id, view=view, patience_s=0)
        except Undeliverable as error:
            log.warning("slack.view_not_opened", error=error.error)
            return ""
        except TimeoutError:
            log.warning("slack.view_not_opened", error="timeout")
            return ""
        return str(answer["view"]["id"])

    async def update_view(self, view_id: str, view: Mapping[str, Any]) -> None:
        """Update an open modal. A failure is only logged: the modal may have been closed meanwhile."""
        try:
            await self._call(self._client.views_update, view_id=view_id, view=view, patience_s=30)
        except Undeliverable as error:
            log.info("slack.view_not_updated", error=error.error)

    async def tell(self, user: str, channel: str, post: Post, *, thread_ts: str | None = None) -> None:
        """Post an ephemeral message to one user. A failure is only logged."""
        try:
            await self._call(
                self._client.chat_postEphemeral,
                channel=channel,
                user=user,
                thread_ts=thread_ts,
                text=post.text,
                blocks=list(post.blocks),
                patience_s=30,
            )
        except Undeliverable as error:
            log.warning("slack.ephemeral_undeliverable", user=user, channel=channel, error=error.error)

    async def respond(self, response_url: str, post: Post) -> bool:
        """Answer on a response_url (five uses, thirty minutes). False when that fails, as when it is used up."""
        payload = {
            "response_type": "ephemeral",
            "text": post.text,
            "blocks": list(post.blocks),
            "replace_original": False,
        }
        try:
            async with self._session().post(response_url, json=payload, timeout=aiohttp.ClientTimeout(10)) as answer:
                return answer.ok
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("slack.response_url_failed", error=type(error).__name__)
            return False

    def _session(self) -> aiohttp.ClientSession:
        assert self._client.session is not None, "the composition root gives the client its session"
        return self._client.session

    async def _upload(self, file: File) -> str:
        content = file.data or file.content.encode()
        slot = await self._call(
            self._client.files_getUploadURLExternal,
            filename=file.name,
            length=len(content),
            snippet_type=file.snippet_type or None,
        )

        async def send() -> Mapping[str, Any]:
            async with self._session().post(
                slot["upload_url"], data=content, timeout=aiohttp.ClientTimeout(60)
            ) as answer:
                answer.raise_for_status()
            return {}

        await self._call(send)
        return str(slot["file_id"])

    async def _find(self, run: str, key: str, known: Sent, thread_ts: str | None) -> str | None:
        """Search for a post that may have been sent before a crash. Returns its `ts`, or `None`."""

        def ours(message: Mapping[str, Any]) -> bool:
            metadata = message.get("metadata") or {}
            return metadata.get("event_type") == EVENT and metadata.get("event_payload") == {"run": run, "key": key}

        found = await self._search(ours, known, thread_ts)
        return None if found is None else str(found["ts"])

    async def _shared(self, uploads: Sequence[Mapping[str, str]], known: Sent, thread_ts: str) -> bool:
        ids = {upload["id"] for upload in uploads}
        found = await self._search(lambda message: ids <= {f["id"] for f in message.get("files", [])}, known, thread_ts)
        return found is not None

    async def _search(
        self, wanted: Callable[[Mapping[str, Any]], bool], known: Sent, thread_ts: str | None
    ) -> Mapping[str, Any] | None:
        cursor = ""
        # Allows for a minute of clock difference between Slack and this machine.
        where: dict[str, Any] = {
            "channel": known.channel,
            "oldest": f"{known.intended_at - 60:.6f}",
            "limit": 200,
            "include_all_metadata": True,
        }
        while True:
            try:
                if thread_ts:
                    answer = await self._call(
                        self._client.conversations_replies, ts=thread_ts, cursor=cursor or None, **where
                    )
                else:
                    answer = await self._call(self._client.conversations_history, cursor=cursor or None, **where)
            except Undeliverable as error:
                log.warning("slack.cannot_look_for_earlier_post", error=error.error)
                return None
            for message in answer["messages"]:
                if wanted(message):
                    return message  # type: ignore[no-any-return]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return None

    async def _call(
        self,
        method: Callable[..., Awaitable[Any]],
        *,
        patience_s: float | None = None,
        instead_of_repeating: Callable[[], Awaitable[Mapping[str, Any] | None]] | None = None,
        **arguments: Any,
    ) -> AsyncSlackResponse | Mapping[str, Any]:
        """
        Call until Slack accepts. Waits as long as a 429 says, and with growing pauses (0.5 s to 30 s) in outages.

        After an answer that leaves open whether Slack has executed the call (a lost connection, a 500), what
        `instead_of_repeating` returns is used as the answer; if it returns nothing, the call is repeated. Raises
        `Undeliverable` for errors that waiting does not change, or when `patience_s` has passed.
        """
        name = getattr(method, "__name__", "call")
        now = asyncio.get_running_loop().time
        give_up = now() + (self._patience_s if patience_s is None else patience_s)
        pause = 0.5
        while True:
            await asyncio.sleep(max(0.0, self._paused_until.get(name, 0.0) - now()))
            self.calls += 1
            try:
                return await method(**{key: value for key, value in arguments.items() if value is not None})  # type: ignore[no-any-return]
            except SlackApiError as error:
                refused = refusal(error)
                status, reason = refused.status, refused.reason
                if status == 429:
                    wait = float(refused.headers.get("Retry-After", 1))
                    self._paused_until[name] = now() + wait
                elif status < 500 and reason not in BROKEN:
                    raise Undeliverable(reason) from error
                else:
                    wait, pause = pause, min(pause * 2, 30)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                wait, pause, reason = pause, min(pause * 2, 30), type(error).__name__
            if now() + wait > give_up:
                raise Undeliverable(reason)
            metrics.SLACK_WAITED.labels(name).inc(wait)
            log.info("slack.waiting", method=name, seconds=wait, reason=reason)
            await asyncio.sleep(wait)
            if instead_of_repeating and reason != "ratelimited" and (answer := await instead_of_repeating()):
                return answer
