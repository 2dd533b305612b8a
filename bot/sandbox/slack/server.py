"""The workspace as one HTTP server: Slack's routes, and the sandbox's own."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.sandbox.slack.answers import Answers
from bot.sandbox.slack.clock import Clock
from bot.sandbox.slack.control import Control
from bot.sandbox.slack.delivery import Delivery
from bot.sandbox.slack.events import Events
from bot.sandbox.slack.manifest import declared
from bot.sandbox.slack.people import People
from bot.sandbox.slack.request_url import RequestUrl
from bot.sandbox.slack.socket_mode import ACK_S, SocketMode
from bot.sandbox.slack.web_api import WebApi
from bot.sandbox.slack.web_api.files import take_bytes
from bot.sandbox.slack.workspace import Workspace

MOST_BYTES = 64 * 1024 * 1024
"""Limit of one request: files are held in memory."""


class LocalSlack:
    """The server, with one app installed. An async context manager; it listens on loopback only."""

    def __init__(
        self,
        manifest: Path | Mapping[str, Any],
        *,
        port: int = 0,
        rate_limits: bool = True,
        optional_scopes: bool = True,
        clock: Clock | None = None,
        answer_s: float = ACK_S,
    ) -> None:
        app = declared(manifest, optional_scopes=optional_scopes)
        # Shaped like Slack's, and random at every start.
        self.bot_token = "-".join(("xoxb", secrets.token_hex(12)))
        self.app_token = "-".join(("xapp", secrets.token_hex(12)))
        self.signing_secret = secrets.token_hex(16)
        self.workspace = Workspace(clock)
        self.socket_mode = SocketMode(self.workspace.clock, ack_s=answer_s)
        requests = RequestUrl(self.signing_secret, answer_s=answer_s)
        self.delivery = Delivery(app, self.socket_mode, requests, self.workspace.clock)
        self.events = Events(self.workspace, self.delivery)
        self.answers = Answers(self.workspace, app.name)
        tokens = {"bot_token": self.bot_token, "app_token": self.app_token}
        self.api = WebApi(self.workspace, app, self.events, **tokens, rate_limits=rate_limits)
        self.people = People(self.workspace, app, self.delivery, self.events, self.answers)
        self.control = Control(self.workspace, self.people)
        self._port = port
        self.url = ""

    async def __aenter__(self) -> LocalSlack:  # noqa: PYI034 - not meant to be subclassed
        app = web.Application(middlewares=[self._loopback_only], client_max_size=MOST_BYTES)
        app.router.add_route("*", "/api/{method}", self.api.handle)
        app.router.add_get("/link/", self.socket_mode.connect)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_get("/files-pri/{place}/{name:.*}", self._download)
        for kind in ("commands", "actions"):
            app.router.add_post(f"/{kind}/{{team}}/{{number}}/{{key}}", self.answers.handle)
        self.control.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.api.base = self.socket_mode.base = self.answers.url = self.url
        self.api.ticket = self.socket_mode.ticket
        return self

    async def __aexit__(self, *_: object) -> None:
        self.control.close()
        await self.events.aclose()
        await self.socket_mode.drop()
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """The base URL of the Web API."""
        return f"{self.url}/api/"

    @web.middleware
    async def _loopback_only(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """
        Refuse requests for other hosts or from other origins.

        Another site could resolve its name to this address, or post a form here.
        """
        host = request.host.rsplit(":", 1)[0]
        origin = request.headers.get("Origin")
        if host not in {"127.0.0.1", "localhost"} or (
            origin and origin not in {self.url, self.url.replace("127.0.0.1", "localhost")}
        ):
            return web.json_response({"ok": False, "error": "this address is for this machine only"}, status=403)
        return await handler(request)

    async def _upload(self, request: web.Request) -> web.Response:
        return await take_bytes(self.workspace, request)

    async def _download(self, request: web.Request) -> web.Response:
        """`url_private`: only with the bot's token."""
        if request.headers.get("Authorization") != f"Bearer {self.bot_token}":
            return web.Response(status=401, text="not authorised")
        content = self.workspace.contents.get(request.match_info["place"].partition("-")[2])
        if content is None:
            return web.Response(status=404, text="no such file")
        return web.Response(body=content, content_type="application/octet-stream")
