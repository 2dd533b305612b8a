"""The workspace as one HTTP server: Slack's own addresses, and the sandbox's beside them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml
from aiohttp import web

from bot.sandbox.slack.control import Control
from bot.sandbox.slack.people import People
from bot.sandbox.slack.socket_mode import SocketMode
from bot.sandbox.slack.web_api import WebApi
from bot.sandbox.slack.workspace import RESPONSE_S, RESPONSE_USES, Workspace


class LocalSlack:
    """The server. Use as a context; it listens on loopback only."""

    def __init__(
        self, manifest: Path, *, port: int = 0, rate_limits: bool = True, optional_scopes: bool = True
    ) -> None:
        declared = yaml.safe_load(manifest.read_text("utf-8"))
        scopes = declared["oauth_config"]["scopes"]
        granted = frozenset(scopes["bot"]) | (
            frozenset(scopes.get("bot_optional", [])) if optional_scopes else frozenset()
        )
        self.workspace = Workspace()
        # Shaped like Slack's, and made at every start.
        self.bot_token = "-".join(("xoxb", secrets.token_hex(12)))
        self.app_token = "-".join(("xapp", secrets.token_hex(12)))
        self.api = WebApi(
            self.workspace, bot_token=self.bot_token, app_token=self.app_token, scopes=granted, rate_limits=rate_limits
        )
        self.socket_mode = SocketMode()
        commands = {each["command"]: each for each in declared["features"].get("slash_commands", [])}
        self.people = People(self.workspace, self.socket_mode, commands)
        self.control = Control(self.workspace, self.people)
        self._port = port
        self.url = ""

    async def __aenter__(self) -> LocalSlack:  # noqa: PYI034 - not meant to be subclassed
        app = web.Application(middlewares=[self._loopback_only], client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self.api.handle)
        app.router.add_get("/link/", self.socket_mode.connect)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_post("/response/{key}", self._response_url)
        self.control.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = self.api.base = self.socket_mode.base = self.people.url = f"http://127.0.0.1:{self._port}"
        self.api.open_ticket = self.socket_mode.ticket
        return self

    async def __aexit__(self, *_: object) -> None:
        self.control.close()
        await self.socket_mode.drop()
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """Where Slack's Web API is."""
        return f"{self.url}/api/"

    @web.middleware
    async def _loopback_only(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Only this machine's own pages: another site could resolve its name to this address, or post a form here."""
        host = request.host.rsplit(":", 1)[0]
        origin = request.headers.get("Origin")
        if host not in {"127.0.0.1", "localhost"} or (
            origin and origin not in {self.url, self.url.replace("127.0.0.1", "localhost")}
        ):
            return web.json_response({"ok": False, "error": "this address is for this machine only"}, status=403)
        return await handler(request)

    async def _upload(self, request: web.Request) -> web.Response:
        file = request.match_info["file"]
        if file not in self.workspace.files:
            return web.Response(status=404, text="no such upload")
        self.workspace.contents[file] = data = await request.read()
        return web.Response(text=f"OK - {len(data)}")

    async def _response_url(self, request: web.Request) -> web.Response:
        known = self.workspace.response_urls.get(request.match_info["key"])
        if known is None or known.used >= RESPONSE_USES or time.monotonic() - known.made_at > RESPONSE_S:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        known.used += 1
        self.people.respond(
            self.workspace.users[known.user], self.workspace.channels[known.channel], await request.json()
        )
        return web.Response(text="ok")
