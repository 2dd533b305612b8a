"""The handling of every call: token, scopes, rate limits, the method, and the headers of the answer."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.slack.events import Events
from bot.sandbox.slack.limits import SPECIAL, Limited, RateLimits
from bot.sandbox.slack.manifest import App
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.arguments import arguments_of, token_of
from bot.sandbox.slack.web_api.method import METHODS, Answer, Call, Method
from bot.sandbox.slack.workspace import Workspace

Watcher = Callable[[str, Mapping[str, Any]], Awaitable[None]]


class WebApi:
    """Handles calls for one app in one workspace."""

    def __init__(
        self, workspace: Workspace, app: App, events: Events, *, bot_token: str, app_token: str, rate_limits: bool
    ) -> None:
        self.workspace = workspace
        self.app = app
        self.scopes = app.scopes
        self.events = events
        self.rate_limits = rate_limits
        self.base = ""
        self.ticket: Callable[[bool], str] = lambda _short: ""
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        """Every successful call, with its arguments."""
        self.on_call: Watcher | None = None
        """Called before each call is carried out. Tests block here."""
        self.after_call: Watcher | None = None
        """Called after a call was carried out, before its answer is sent."""
        self.faults: dict[str, list[int]] = defaultdict(list)
        """HTTP statuses with which to answer the next calls of a method, which are not carried out."""
        self.revoked: dict[str, str] = {}
        """Tokens that are no longer valid, and Slack's error for each: `token_revoked`, `account_inactive`."""
        self._tokens = {bot_token: "bot", app_token: "app"}
        self._limits = RateLimits(workspace.clock)

    def open_ticket(self, *, short: bool = False) -> str:
        """Return a Socket Mode address, valid for one connection. A short one's connection lasts six minutes."""
        return self.ticket(short)

    async def handle(self, request: web.Request) -> web.Response:
        """Handle one call."""
        name = request.match_info["method"]
        warnings: list[str] = []
        try:
            arguments, warnings = await arguments_of(request)
            answer = await self._answer(name, Call(self, arguments, warnings), token_of(request, arguments))
        except SlackFault as fault:
            answer = dict(fault.answer)
        except Limited as limited:
            answer = {"ok": False, "error": "ratelimited"}
            return self._response(answer, status=429, headers={"Retry-After": str(limited.wait_s)})
        except _Broken as broken:
            return self._broken(broken.status)
        if warnings:
            answer["warning"] = ",".join(warnings)
            answer.setdefault("response_metadata", {})["warnings"] = warnings
        return self._response(answer, accepted=METHODS[name].scopes if name in METHODS else ())

    async def _answer(self, name: str, call: Call, token: str) -> Answer:
        if self.faults[name]:
            raise _Broken(self.faults[name].pop(0))
        if name not in METHODS:
            raise SlackFault("unknown_method", req_method=name)
        method = METHODS[name]
        self._authorise(method, token)
        if method.scopes:
            call.require(*method.scopes)
        self._limit(method, call.arguments)
        if self.on_call:
            await self.on_call(name, call.arguments)
        answer = {"ok": True, **await method.function(call)}
        self.calls.append((name, call.arguments))
        if self.after_call:
            await self.after_call(name, call.arguments)
        return answer

    def _authorise(self, method: Method, token: str) -> None:
        if method.token == "none":  # noqa: S105 - a kind of token
            return
        if not token:
            raise SlackFault("not_authed")
        if token in self.revoked:
            raise SlackFault(self.revoked[token])
        if token not in self._tokens:
            raise SlackFault("invalid_auth")
        if self._tokens[token] != method.token:
            raise SlackFault("not_allowed_token_type")

    def _limit(self, method: Method, arguments: Mapping[str, Any]) -> None:
        if not self.rate_limits:
            return
        if method.name == "chat.postMessage":
            self._limits.spend(f"{method.name} {arguments.get('channel')}", method.per_minute)
            self._limits.spend(method.name, SPECIAL)
        else:
            self._limits.spend(method.name, method.per_minute)

    def _broken(self, status: int) -> web.Response:
        if status == 429:
            return self._response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "1"})
        return web.Response(status=status, text="upstream error")

    def _response(
        self,
        answer: Answer,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        accepted: tuple[str, ...] = (),
    ) -> web.Response:
        """The HTTP response, with the headers that were recorded from slack.com on 2026-10-08."""
        always = {
            "x-slack-req-id": secrets.token_hex(16),
            "x-slack-unique-id": secrets.token_urlsafe(20),
            "x-oauth-scopes": ",".join(sorted(self.scopes)),
            "x-accepted-oauth-scopes": ",".join(accepted),
            "cache-control": "private, no-cache, no-store, must-revalidate",
        }
        if not answer["ok"]:
            always["x-slack-failure"] = re.sub(
                r"[^\w.-]", "", str(answer["error"])
            )  # api.test returns the caller's own text as the error
        return web.json_response(answer, status=status, headers={**always, **(headers or {})})


class _Broken(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
