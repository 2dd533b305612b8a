"""
The Web API's methods, as far as a bot like csm meets them.

Arguments come as Slack takes them (query, form, multipart, JSON; the token as a header or an argument), errors
are Slack's words with HTTP 200, and only rate limits are 429. A method that is not here is `unknown_method`.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.slack.blocks import Fault, faults_of_message, faults_of_view
from bot.sandbox.slack.workspace import BOT_ID, BOT_USER, TEAM, TRIGGER_S, Channel, Workspace, shown

Method = Callable[["WebApi", Mapping[str, Any], web.Request], Awaitable[dict[str, Any]]]

_METHODS: dict[str, tuple[Method, str, int]] = {}
"""By name: the method, the scope it needs, and how often a minute it may be called."""


class SlackFault(Exception):
    """An answer with `ok: false`."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer = {"ok": False, "error": error, **more}


def method(name: str, *, scope: str = "", per_minute: int = 100) -> Callable[[Method], Method]:
    """Register a method with its scope and its tier (docs.slack.dev: apis/web-api/rate-limits, taken as hard limits)."""

    def register(function: Method) -> Method:
        _METHODS[name] = (function, scope, per_minute)
        return function

    return register


class WebApi:
    """Answers calls for one app in one workspace."""

    def __init__(
        self, workspace: Workspace, *, bot_token: str, app_token: str, scopes: frozenset[str], rate_limits: bool
    ) -> None:
        self.workspace = workspace
        self.scopes = scopes
        self.rate_limits = rate_limits
        self.base = ""
        self.open_ticket: Callable[[], str] = lambda: ""
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        """Every call that was answered, with its arguments."""
        self.on_call: Callable[[str, Mapping[str, Any]], Awaitable[None]] | None = None
        """Called before each call is answered; tests stop time here."""
        self.after_call: Callable[[str, Mapping[str, Any]], Awaitable[None]] | None = None
        """Called when a call was carried out, before its answer is sent."""
        self.faults: dict[str, list[int]] = defaultdict(list)
        """HTTP statuses to answer the next calls of a method with, instead of carrying them out."""
        self._tokens = {bot_token: "bot", app_token: "app"}
        self._recent: dict[str, list[float]] = defaultdict(list)

    async def handle(self, request: web.Request) -> web.Response:
        """One call."""
        name = request.match_info["method"]
        arguments = await _arguments(request)
        try:
            answer = await self._answer(name, arguments, request)
        except SlackFault as fault:
            answer = fault.answer
        except _Limited as limited:
            return web.json_response(
                {"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": str(limited.wait)}
            )
        except _Broken as broken:
            return web.Response(status=broken.status, text="upstream error")
        headers = {"x-oauth-scopes": ",".join(sorted(self.scopes)), "x-slack-req-id": self.workspace.id("R")}
        if not answer["ok"]:
            headers["x-slack-failure"] = str(answer["error"])
        return web.json_response(answer, headers=headers)

    async def _answer(self, name: str, arguments: Mapping[str, Any], request: web.Request) -> dict[str, Any]:
        if self.faults[name]:
            raise _Broken(self.faults[name].pop(0))
        if name not in _METHODS:
            raise SlackFault("unknown_method", req_method=name)
        function, scope, per_minute = _METHODS[name]
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(arguments.get("token", ""))
        if not token:
            raise SlackFault("not_authed")
        if token not in self._tokens:
            raise SlackFault("invalid_auth")
        if (self._tokens[token] == "app") != (name == "apps.connections.open"):
            raise SlackFault("not_allowed_token_type")
        if scope and not set(scope.split("|")) & self.scopes:
            raise SlackFault("missing_scope", needed=scope.split("|")[0], provided=",".join(sorted(self.scopes)))
        self._limit(name if name != "chat.postMessage" else f"{name} {arguments.get('channel')}", per_minute)
        if self.on_call:
            await self.on_call(name, arguments)
        answer = {"ok": True, **await function(self, arguments, request)}
        self.calls.append((name, arguments))
        if self.after_call:
            await self.after_call(name, arguments)
        return answer

    def _limit(self, key: str, per_minute: int) -> None:
        if not self.rate_limits:
            return
        now = time.monotonic()
        recent = self._recent[key] = [at for at in self._recent[key] if now - at < 60]
        if len(recent) >= per_minute:
            raise _Limited(max(1, int(60 - (now - recent[0])) + 1))
        recent.append(now)

    def channel(self, arguments: Mapping[str, Any], *, post: bool = False) -> Channel:
        """The channel of a call, as far as the bot may see it."""
        name = str(arguments.get("channel") or arguments.get("channel_id") or "")
        if post and name in self.workspace.users:
            return self.direct(name)
        channel = self.workspace.channels.get(name)
        if channel is None or (channel.private and BOT_USER not in channel.members):
            raise SlackFault("channel_not_found")
        if BOT_USER not in channel.members and not (post and "chat:write.public" in self.scopes):
            raise SlackFault("not_in_channel")
        return channel

    def direct(self, user: str) -> Channel:
        """The direct messages between the bot and a person."""
        channel = Channel(f"D0{user[2:]}", f"dm-{user}", {user, BOT_USER}, private=True)
        return self.workspace.channels.setdefault(channel.id, channel)


class _Limited(Exception):
    def __init__(self, wait: int) -> None:
        super().__init__(wait)
        self.wait = wait


class _Broken(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _arguments(request: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body = await request.text()
        found |= json.loads(body) if body else {}
    elif request.can_read_body:
        found |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    for key in ("blocks", "view", "files", "metadata", "attachments"):
        if isinstance(found.get(key), str):
            try:
                found[key] = json.loads(found[key])
            except ValueError:
                raise web.HTTPBadRequest(text=f"{key} is not JSON") from None
    return found


def _refuse(error: str, faults: list[Fault]) -> None:
    if faults:
        messages = [f"{text} [json-pointer:{at}]" for text, at in faults]
        raise SlackFault(
            error, errors=messages, response_metadata={"messages": [f"[ERROR] {message}" for message in messages]}
        )


def check_message(arguments: Mapping[str, Any]) -> None:
    """Raise what Slack would of a message's text and blocks."""
    blocks, text = arguments.get("blocks"), str(arguments.get("text") or "")
    if not blocks and not text:
        raise SlackFault("no_text")
    if blocks is not None:
        faults = faults_of_message(blocks, text)
        _refuse("msg_blocks_too_long" if any("in all" in text for text, _ in faults) else "invalid_blocks", faults)


@method("api.test")
async def _api_test(_api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    return {"args": dict(arguments)}


@method("auth.test", per_minute=300)
async def _auth_test(api: WebApi, _arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    return {"url": api.base, "team": "sandbox", "user": "csm", "team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT_ID}


@method("apps.connections.open", per_minute=30)
async def _connections_open(api: WebApi, _arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    return {"url": api.open_ticket()}


@method("chat.postMessage", scope="chat:write", per_minute=60)
async def _post(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    channel = api.channel(arguments, post=True)
    check_message(arguments)
    message: dict[str, Any] = {"user": BOT_USER, "bot_id": BOT_ID, "text": str(arguments.get("text") or "")[:40_000]}
    if thread := arguments.get("thread_ts"):
        if thread not in channel.messages:
            raise SlackFault("thread_not_found")
        message["thread_ts"] = thread
    for key in ("blocks", "metadata"):
        if arguments.get(key):
            message[key] = arguments[key]
    stored = api.workspace.post(channel, message)
    return {"channel": channel.id, "ts": stored["ts"], "message": shown(stored)}


@method("chat.update", scope="chat:write", per_minute=50)
async def _update(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    channel = api.channel(arguments, post=True)
    message = channel.messages.get(str(arguments.get("ts")))
    if message is None or message.get("is_ephemeral"):
        raise SlackFault("message_not_found")
    if message.get("user") != BOT_USER:
        raise SlackFault("cant_update_message")
    check_message(arguments)
    if len(str(arguments.get("text") or "")) > 4000:
        raise SlackFault("msg_too_long")
    if "text" in arguments:
        message["text"] = arguments["text"]
        message.pop("blocks", None)
    if arguments.get("blocks"):
        message["blocks"] = arguments["blocks"]
    api.workspace.changed_message(channel, message)
    return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": shown(message)}


@method("chat.postEphemeral", scope="chat:write")
async def _ephemeral(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    channel = api.channel(arguments, post=True)
    check_message(arguments)
    if arguments.get("user") not in channel.members:
        raise SlackFault("user_not_in_channel")
    message = {key: arguments[key] for key in ("text", "blocks", "thread_ts") if arguments.get(key)}
    stored = api.workspace.post(channel, {"user": BOT_USER, **message}, only=str(arguments["user"]))
    return {"message_ts": stored["ts"]}


@method("chat.getPermalink", per_minute=300)
async def _permalink(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    channel = api.channel(arguments, post=True)
    ts = str(arguments.get("message_ts"))
    if ts not in channel.messages:
        raise SlackFault("message_not_found")
    return {
        "channel": channel.id,
        "permalink": f"https://sandbox.slack.com/archives/{channel.id}/p{ts.replace('.', '')}",
    }


@method("conversations.history", scope="channels:history|groups:history", per_minute=50)
async def _history(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    channel = api.channel(arguments)
    found = api.workspace.visible(channel, BOT_USER)
    return _page([m for m in found if m["ts"] > str(arguments.get("oldest") or "")][::-1], arguments)


@method("conversations.replies", scope="channels:history|groups:history", per_minute=50)
async def _replies(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    channel = api.channel(arguments)
    if str(arguments.get("ts")) not in channel.messages:
        raise SlackFault("thread_not_found")
    return _page(api.workspace.visible(channel, BOT_USER, str(arguments["ts"])), arguments)


def _page(messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
    start, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
    more = start + limit < len(messages)
    kept = messages[start : start + limit]
    if str(arguments.get("include_all_metadata", "")).lower() not in {"1", "true"}:
        kept = [{key: value for key, value in message.items() if key != "metadata"} for message in kept]
    return {
        "messages": kept,
        "has_more": more,
        "response_metadata": {"next_cursor": str(start + limit) if more else ""},
    }


@method("users.info", scope="users:read")
async def _user(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    user = api.workspace.users.get(str(arguments.get("user")))
    if user is None:
        raise SlackFault("user_not_found")
    return {"user": user.as_json()}


@method("usergroups.list", scope="usergroups:read", per_minute=20)
async def _groups(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    members = str(arguments.get("include_users", "")).lower() in {"1", "true"}
    return {
        "usergroups": [
            {"id": id_, "team_id": TEAM, "handle": handle, "name": handle, **({"users": users} if members else {})}
            for id_, (handle, users) in api.workspace.groups.items()
        ]
    }


@method("usergroups.users.list", scope="usergroups:read", per_minute=20)
async def _group(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    if arguments.get("usergroup") not in api.workspace.groups:
        raise SlackFault("no_such_subteam")
    return {"users": api.workspace.groups[str(arguments["usergroup"])][1]}


@method("views.open")
async def _view(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    view = arguments.get("view")
    _refuse("invalid_arguments", faults_of_view(view))
    made_at, user = api.workspace.triggers.get(str(arguments.get("trigger_id")), (0.0, ""))
    if not user:
        raise SlackFault("invalid_trigger_id")
    if time.monotonic() - made_at > TRIGGER_S:
        raise SlackFault("expired_trigger_id")
    api.workspace.triggers[str(arguments["trigger_id"])] = (0.0, user)
    assert isinstance(view, dict)
    stored = {
        "id": api.workspace.id("V"),
        "team_id": TEAM,
        "state": {"values": {}},
        "private_metadata": "",
        **view,
        "_user": user,
    }
    api.workspace.views[stored["id"]] = stored
    api.workspace.tell("view_opened", view=shown(stored), only=user)
    return {"view": shown(stored)}


@method("files.getUploadURLExternal", scope="files:write")
async def _upload_url(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    if not arguments.get("filename") or not int(arguments.get("length") or 0):
        raise SlackFault("missing_argument")
    file: dict[str, Any] = {
        "id": api.workspace.id("F"),
        "name": str(arguments["filename"]),
        "size": int(arguments["length"]),
        "user": BOT_USER,
    }
    api.workspace.files[file["id"]] = file
    return {"upload_url": f"{api.base}/upload/{file['id']}", "file_id": file["id"]}


@method("files.completeUploadExternal", scope="files:write")
async def _complete(api: WebApi, arguments: Mapping[str, Any], _request: web.Request) -> dict[str, Any]:
    files = arguments.get("files") or []
    if any(each["id"] not in api.workspace.contents for each in files):
        raise SlackFault("file_not_found")
    for each in files:
        api.workspace.files[each["id"]]["title"] = each.get("title", "")
    shared = [api.workspace.files[each["id"]] for each in files]
    if arguments.get("channel_id"):
        channel = api.channel(arguments)
        message = {
            "user": BOT_USER,
            "bot_id": BOT_ID,
            "text": str(arguments.get("initial_comment") or ""),
            "files": shared,
        }
        api.workspace.post(
            channel, message | ({"thread_ts": arguments["thread_ts"]} if arguments.get("thread_ts") else {})
        )
    return {"files": shared}
