"""
Delivers commands, interactions and events to the app, over a socket or to its request URL, as its manifest declares.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.clock import Clock
from bot.sandbox.slack.manifest import App
from bot.sandbox.slack.request_url import NotDelivered, RequestUrl
from bot.sandbox.slack.socket_mode import NobodyThere, SocketMode

RETRY_AFTER_S = (0.0, 60.0, 300.0)
"""Waits before an event is sent again: none, one minute, five minutes. Commands and clicks are never sent again."""


class NoAnswer(Exception):
    """The app did not answer. `error` is what the person sees: `operation_timeout`."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Delivery:
    """Delivers to the app, and returns its answers."""

    def __init__(self, app: App, socket_mode: SocketMode, request_url: RequestUrl, clock: Clock) -> None:
        self.app = app
        self.socket_mode = socket_mode
        self.request_url = request_url
        self.url = ""
        """The address to post everything to, instead of the manifest's addresses. If set, the app is an HTTP app."""
        self._clock = clock

    @property
    def over_http(self) -> bool:
        """Whether requests are posted to a URL instead of sent over a socket."""
        return bool(self.url) or not self.app.socket_mode

    async def command(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver a slash command. Raises `NoAnswer`."""
        if self.over_http:
            url = self.url or self.app.command_url(payload["command"])
            answer = await self._post(url, payload)
            return {"text": answer} if isinstance(answer, str) else answer or {}
        return _as_answer(await self._send("slash_commands", payload, answers=True))

    async def interaction(self, payload: Mapping[str, Any], *, answers: bool = False) -> Mapping[str, Any]:
        """Deliver a click, a submission or another interaction. Raises `NoAnswer`."""
        if self.over_http:
            own = self.app.options_url if payload["type"] == "block_suggestion" else ""
            url = self.url or own or self.app.interactivity_url
            answer = await self._post(url, {"payload": json.dumps(payload)})
            return answer if answers and isinstance(answer, dict) else {}
        return _as_answer(await self._send("interactive", payload, answers=answers))

    async def event(self, payload: Mapping[str, Any]) -> bool:
        """Deliver an event, with up to four attempts. Returns whether the app accepted it."""
        reason = ""
        for attempt, wait in enumerate((0.0, *RETRY_AFTER_S)):
            if attempt:
                await self._clock.sleep(wait)
            try:
                await self._event(payload, attempt, reason)
            except NotDelivered as failed:
                if failed.final:
                    return False
                reason = failed.reason
            else:
                return True
        return False

    async def verify(self) -> bool:
        """Whether the app's address for events answers Slack's challenge."""
        return await self.request_url.verify(self.url or self.app.events_url, secrets.token_urlsafe(32), "")

    async def _event(self, payload: Mapping[str, Any], attempt: int, reason: str) -> None:
        if self.over_http:
            headers = {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason} if attempt else {}
            await self.request_url.post_json(self.url or self.app.events_url, payload, headers)
            return
        try:
            retry = {"retry_attempt": attempt, "retry_reason": reason}
            await self.socket_mode.deliver("events_api", payload, answers=False, retry=retry)
        except (TimeoutError, NobodyThere) as error:
            raise NotDelivered("timeout") from error

    async def _send(self, kind: str, payload: Mapping[str, Any], *, answers: bool) -> Any:
        try:
            return await self.socket_mode.deliver(kind, payload, answers=answers)
        except NobodyThere as error:
            raise NoAnswer("dispatch_failed") from error
        except TimeoutError as error:
            raise NoAnswer("operation_timeout") from error

    async def _post(self, url: str, fields: Mapping[str, Any]) -> Any:
        try:
            return (await self.request_url.post_form(url, fields)).body
        except NotDelivered as failed:
            words = {"http_timeout": "operation_timeout", "http_error": "http_service_error"}
            raise NoAnswer(words.get(failed.reason, "dispatch_failed")) from failed


def _as_answer(answer: Any) -> Mapping[str, Any]:
    return {"text": answer} if isinstance(answer, str) else answer if isinstance(answer, dict) else {}
