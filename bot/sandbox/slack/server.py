"""The workspace as one HTTP server: Slack's own addresses, the sandbox's API for people and programs, the page."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from bot.sandbox.slack.socket_mode import SocketMode
from bot.sandbox.slack.web_api import SlackFault, WebApi, check_message
from bot.sandbox.slack.workspace import (
    APP,
    BOT_USER,
    RESPONSE_S,
    RESPONSE_USES,
    TEAM,
    Channel,
    ResponseUrl,
    User,
    Workspace,
    shown,
)

PAGE = Path(__file__).resolve().parent.parent / "page"
Fault = Callable[[Mapping[str, Any]], Awaitable[None]]


class BadRequest(Exception):
    """What a program asked the sandbox makes no sense. The message says why."""


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
        self.commands = {each["command"]: each for each in declared["features"].get("slash_commands", [])}
        self.workspace = Workspace()
        # Shaped like Slack's, and made at every start.
        self.bot_token = "-".join(("xoxb", secrets.token_hex(12)))
        self.app_token = "-".join(("xapp", secrets.token_hex(12)))
        self.api = WebApi(
            self.workspace, bot_token=self.bot_token, app_token=self.app_token, scopes=granted, rate_limits=rate_limits
        )
        self.socket_mode = SocketMode()
        self.faults: dict[str, Fault] = {
            "drop_sockets": self._drop,
            "disconnect": self._disconnect,
            "api_error": self._api_error,
        }
        """What can be broken, by name; other parts of the sandbox add theirs."""
        self.copies = 1
        """How often each envelope is delivered."""
        self._port = port
        self._closing = False
        self.url = ""

    async def __aenter__(self) -> LocalSlack:  # noqa: PYI034 - not meant to be subclassed
        app = web.Application(middlewares=[self._loopback_only], client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self.api.handle)
        app.router.add_get("/link/", self.socket_mode.connect)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_post("/response/{key}", self._response_url)
        app.router.add_get("/sandbox/state", self._state)
        app.router.add_get("/sandbox/messages", self._messages)
        app.router.add_get("/sandbox/files/{file}", self._file)
        app.router.add_get("/sandbox/events", self._events)
        for name in ("commands", "clicks", "submissions", "closes", "messages", "faults"):
            app.router.add_post(f"/sandbox/{name}", self._post(getattr(self, f"_do_{name}")))
        app.router.add_get("/", self._page)
        if PAGE.is_dir():
            app.router.add_static("/", PAGE)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = self.api.base = self.socket_mode.base = f"http://127.0.0.1:{self._port}"
        self.api.open_ticket = self.socket_mode.ticket
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self.workspace.changed.set()  # lets go of the pages
        await self.socket_mode.drop()
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """Where Slack's Web API is."""
        return f"{self.url}/api/"

    # -- what people do ---------------------------------------------------------------------------------------

    async def command(self, user: str, channel: str, text: str) -> None:
        """Type a line that begins with a slash, as a user."""
        who, where = self._who(user), self._where(channel)
        word, _, rest = text.strip().partition(" ")
        if word not in self.commands:
            self._notice(who, where, f"{word} is not a valid command. In Slack it would not be sent.")
            return
        payload = {
            "token": "", "team_id": TEAM, "team_domain": "sandbox", "channel_id": where.id, "channel_name": where.name, "user_id": who.id,
            "user_name": who.name, "command": word, "text": self._escaped(rest, word), "api_app_id": APP, "is_enterprise_install": "false",
            "response_url": self._new_response_url(who, where), "trigger_id": self.workspace.trigger(who.id),
        }  # fmt: skip
        try:
            answer = await self.socket_mode.deliver("slash_commands", payload, answers=True, copies=self.copies)
        except TimeoutError:
            self._notice(who, where, f"{word} failed with the error operation_timeout")
            return
        self._respond(who, where, answer)

    async def click(
        self, user: str, channel: str, message_ts: str, action_id: str, value: Mapping[str, Any] | None = None
    ) -> None:
        """Click a button (or choose in a select) of a message, as a user."""
        who, where = self._who(user), self._where(channel)
        message = where.messages.get(message_ts)
        if message is None or message.get("_only", who.id) != who.id:
            raise BadRequest(f"{who.name} sees no message {message_ts} in #{where.name}")
        block, element = _element(message.get("blocks") or [], action_id)
        action = {
            key: element[key] for key in ("type", "action_id", "value", "text", "style", "confirm") if key in element
        }
        payload: dict[str, Any] = {
            "type": "block_actions", "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": TEAM}, "api_app_id": APP, "token": "",
            "container": {"type": "message", "message_ts": message_ts, "channel_id": where.id, "is_ephemeral": bool(message.get("is_ephemeral"))}
            | ({"thread_ts": message["thread_ts"]} if "thread_ts" in message else {}),
            "trigger_id": self.workspace.trigger(who.id), "team": {"id": TEAM, "domain": "sandbox"}, "enterprise": None,
            "is_enterprise_install": False, "channel": {"id": where.id, "name": where.name}, "state": {"values": {}},
            "response_url": self._new_response_url(who, where),
            "actions": [{**action, "block_id": block.get("block_id", ""), "action_ts": self.workspace.ts(), **(value or {})}],
        }  # fmt: skip
        if not message.get("is_ephemeral"):
            payload["message"] = shown(message)
        try:
            await self.socket_mode.deliver("interactive", payload, answers=False, copies=self.copies)
        except TimeoutError:
            self._notice(who, where, "This app did not respond. Try again.")

    async def submit(self, user: str, view_id: str, values: Mapping[str, Any]) -> Mapping[str, str]:
        """Submit a modal, as a user. Returns the errors to show in it, by block id; without any, it is closed."""
        who, view = self._view_of(user, view_id)
        submitted = {**shown(view), "state": {"values": values}}
        payload = {
            "type": "view_submission", "team": {"id": TEAM, "domain": "sandbox"}, "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": TEAM},
            "api_app_id": APP, "token": "", "trigger_id": self.workspace.trigger(who.id), "view": submitted, "response_urls": [],
            "is_enterprise_install": False, "enterprise": None,
        }  # fmt: skip
        try:
            answer = await self.socket_mode.deliver("interactive", payload, answers=True)
        except TimeoutError:
            return {next(iter(values), ""): "We had some trouble connecting. Try again?"}
        if answer.get("response_action") == "errors":
            return dict(answer["errors"])
        self._close(who, view_id)
        return {}

    def _who(self, name: str) -> User:
        user = self.workspace.user(name)
        if user is None or user.is_bot:
            raise BadRequest(f"there is no person {name!r}; there are ana, sam and eve")
        return user

    def _where(self, name: str) -> Channel:
        channel = self.workspace.channel(name)
        if channel is None:
            raise BadRequest(f"there is no channel {name!r}")
        return channel

    def _view_of(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        who = self._who(user)
        view = self.workspace.views.get(view_id)
        if view is None or view["_user"] != who.id:
            raise BadRequest(f"{who.name} has no open view {view_id}")
        return who, view

    def _close(self, who: User, view_id: str) -> None:
        del self.workspace.views[view_id]
        self.workspace.tell("view_closed", view={"id": view_id}, only=who.id)

    def _notice(self, who: User, where: Channel, text: str) -> None:
        self.workspace.tell("notice", channel=where.id, text=text, only=who.id)

    def _escaped(self, text: str, command: str) -> str:
        """As Slack sends what a person typed: entities, and (should_escape) mentions as ids."""
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        if not self.commands[command].get("should_escape"):
            return escaped
        names = {f"@{user.name}": f"<@{user.id}>" for user in self.workspace.users.values()}
        names |= {f"#{c.name}": f"<#{c.id}|{c.name}>" for c in self.workspace.channels.values()}
        names |= {f"@{handle}": f"<!subteam^{id_}|@{handle}>" for id_, (handle, _) in self.workspace.groups.items()}
        return " ".join(names.get(word, word) for word in escaped.split(" "))

    def _new_response_url(self, who: User, where: Channel) -> str:
        key = secrets.token_urlsafe(16)
        self.workspace.response_urls[key] = ResponseUrl(who.id, where.id, time.monotonic())
        return f"{self.url}/response/{key}"

    def _respond(self, who: User, where: Channel, answer: Mapping[str, Any]) -> None:
        if not answer.get("text") and not answer.get("blocks"):
            return
        message = {"user": BOT_USER, **{key: answer[key] for key in ("text", "blocks", "thread_ts") if answer.get(key)}}
        try:
            check_message(message)
        except SlackFault as fault:
            self._notice(who, where, f"Slack refuses the app's answer: {json.dumps(fault.answer)}")
            return
        self.workspace.post(where, message, only="" if answer.get("response_type") == "in_channel" else who.id)

    # -- requests -----------------------------------------------------------------------------------------------

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

    def _post(
        self, do: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = await request.json()
                return web.json_response({"ok": True, **(await do(body) or {})})
            except BadRequest as error:
                return web.json_response({"ok": False, "error": str(error)}, status=400)
            except (ValueError, TypeError):
                return web.json_response({"ok": False, "error": "the body must be a JSON object"}, status=400)
            except KeyError as error:
                return web.json_response({"ok": False, "error": f"{error.args[0]} is missing"}, status=400)

        return handle

    async def _do_commands(self, body: Mapping[str, Any]) -> None:
        await self.command(body["user"], body["channel"], body["text"])

    async def _do_clicks(self, body: Mapping[str, Any]) -> None:
        known = {"user", "channel", "message_ts", "action_id", "block_id"}
        value = {key: each for key, each in body.items() if key not in known}
        await self.click(body["user"], body["channel"], body["message_ts"], body["action_id"], value)

    async def _do_submissions(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"errors": await self.submit(body["user"], body["view_id"], body["values"])}

    async def _do_closes(self, body: Mapping[str, Any]) -> None:
        who, _ = self._view_of(body["user"], body["view_id"])
        self._close(who, body["view_id"])

    async def _do_messages(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        who, where = self._who(body["user"]), self._where(body["channel"])
        message = {"user": who.id, "text": str(body["text"])} | (
            {"thread_ts": body["thread_ts"]} if body.get("thread_ts") else {}
        )
        return {"message": shown(self.workspace.post(where, message))}

    async def _do_faults(self, body: Mapping[str, Any]) -> None:
        fault = self.faults.get(str(body["fault"]))
        if fault is None:
            raise BadRequest(f"there is no fault {body['fault']!r}; there are {', '.join(sorted(self.faults))}")
        await fault(body)

    async def _drop(self, _body: Mapping[str, Any]) -> None:
        await self.socket_mode.drop()

    async def _disconnect(self, body: Mapping[str, Any]) -> None:
        await self.socket_mode.disconnect(str(body.get("reason", "refresh_requested")))

    async def _api_error(self, body: Mapping[str, Any]) -> None:
        self.api.faults[str(body["method"])] += [int(body.get("status", 500))] * int(body.get("times", 1))

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
        self._respond(self.workspace.users[known.user], self.workspace.channels[known.channel], await request.json())
        return web.Response(text="ok")

    async def _state(self, request: web.Request) -> web.Response:
        who = self.workspace.user(request.query.get("user", "ana"))
        if who is None:
            return web.json_response({"ok": False, "error": "there is no such person"}, status=404)
        return web.json_response(
            {
                "team": {"id": TEAM, "name": "sandbox"},
                "me": who.as_json(),
                "users": [user.as_json() for user in self.workspace.users.values()],
                "channels": [
                    {"id": c.id, "name": c.name, "is_private": c.private}
                    for c in self.workspace.channels.values()
                    if who.id in c.members
                ],
                "commands": list(self.commands.values()),
                "views": [shown(view) for view in self.workspace.views.values() if view["_user"] == who.id],
                "faults": [{"name": name} for name in sorted(self.faults)],
                "last_event": len(self.workspace.events),
            }
        )

    async def _messages(self, request: web.Request) -> web.Response:
        who, where = (
            self.workspace.user(request.query.get("user", "ana")),
            self.workspace.channel(request.query.get("channel", "")),
        )
        if who is None or where is None:
            return web.json_response({"ok": False, "error": "there is no such person or channel"}, status=404)
        return web.json_response(
            {"ok": True, "messages": self.workspace.visible(where, who.id, request.query.get("thread_ts", ""))}
        )

    async def _file(self, request: web.Request) -> web.Response:
        content = self.workspace.contents.get(request.match_info["file"])
        if content is None:
            return web.json_response({"ok": False, "error": "there is no such file"}, status=404)
        return web.Response(
            body=content, content_type="text/plain", charset="utf-8", headers={"X-Content-Type-Options": "nosniff"}
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events for one person, from where a page was when it lost the connection."""
        who = self.workspace.user(request.query.get("user", "ana"))
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        seen = int(request.headers.get("Last-Event-ID") or request.query.get("after") or len(self.workspace.events))
        while not self._closing:
            changed = self.workspace.changed
            for event in self.workspace.events[seen:]:
                seen += 1
                if who and event.get("only", "") in ("", who.id):
                    await stream.write(f"id: {seen}\ndata: {json.dumps(event)}\n\n".encode())
            try:
                await asyncio.wait_for(changed.wait(), 15)
            except TimeoutError:
                await stream.write(b": still here\n\n")
        return stream

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        index = PAGE / "index.html"
        if not index.is_file():
            return web.Response(text="The page is not part of this build; the sandbox's HTTP API is.")
        return web.FileResponse(
            index, headers={"Content-Security-Policy": "default-src 'self'; style-src 'self'; img-src 'self' data:"}
        )


def _element(blocks: list[dict[str, Any]], action_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for block in blocks:
        for element in [*block.get("elements", []), block.get("accessory"), block.get("element")]:
            if element and element.get("action_id") == action_id:
                return block, element
    raise BadRequest(f"the message has nothing to click with the action_id {action_id!r}")
