"""The sandbox's own routes for people and programs: the page, and the JSON API at `/sandbox/*`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.people import BadRequest, People
from bot.sandbox.slack.workspace import TEAM, Workspace, shown

PAGE = Path(__file__).resolve().parent.parent / "page"
MOST_WAIT_S = 120.0
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
Complete = Callable[[str], Sequence[Mapping[str, str]]]


class Control:
    """The sandbox's own routes, which Slack does not have."""

    def __init__(self, workspace: Workspace, people: People) -> None:
        self.workspace = workspace
        self.people = people
        self.faults = Faults()
        """The faults that can be set; each part of the sandbox adds its own."""
        self.complete: Complete = self._complete
        """Returns the completions of a line, with `text`, `label` and `note` each."""
        self.examples: Sequence[str] = ()
        """Sample lines for new users."""
        self._closing = False

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes of the page and the API to a server."""
        router.add_get("/sandbox/state", self._state)
        router.add_get("/sandbox/messages", self._messages)
        router.add_get("/sandbox/files/{file}", self._file)
        router.add_get("/sandbox/events", self._events)
        router.add_get("/sandbox/completions", self._completions)
        router.add_get("/sandbox/faults", self._faults)
        for name in ("commands", "clicks", "suggestions", "submissions", "closes", "messages", "faults"):
            router.add_post(f"/sandbox/{name}", self._post(getattr(self, f"_do_{name}")))
        router.add_get("/", self._page)
        if PAGE.is_dir():
            router.add_static("/", PAGE)

    def close(self) -> None:
        """End the open event streams and waits, so that the server can shut down."""
        self._closing = True
        self.workspace.changed.set()

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
        await self.people.command(body["user"], body["channel"], body["text"])

    async def _do_clicks(self, body: Mapping[str, Any]) -> None:
        known = {"user", "channel", "message_ts", "view_id", "action_id", "block_id", "state"}
        value = {key: each for key, each in body.items() if key not in known}
        more: dict[str, Any] = {"block_id": str(body.get("block_id") or ""), "state": body.get("state")}
        if "view_id" in body:
            await self.people.view_action(body["user"], body["view_id"], body["action_id"], value, **more)
        else:
            await self.people.click(body["user"], body["channel"], body["message_ts"], body["action_id"], value, **more)

    async def _do_suggestions(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        place = {key: str(body.get(key) or "") for key in ("channel", "message_ts", "view_id", "block_id")}
        return await self.people.suggest(body["user"], body["action_id"], str(body.get("value") or ""), **place)

    async def _do_submissions(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"errors": await self.people.submit(body["user"], body["view_id"], body["values"])}

    async def _do_closes(self, body: Mapping[str, Any]) -> None:
        await self.people.close(body["user"], body["view_id"], clear=bool(body.get("all")))

    async def _do_messages(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        thread = str(body.get("thread_ts") or "")
        return {"message": await self.people.say(body["user"], body["channel"], str(body["text"]), thread)}

    async def _do_faults(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        await self.faults.do(body)
        self.workspace.tell("faults")
        return {"broken": self.faults.as_json()["broken"]}

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True, **self.faults.as_json()})

    async def _completions(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "completions": list(self.complete(request.query.get("text", "")))})

    def _complete(self, line: str) -> Sequence[Mapping[str, str]]:
        """The manifest's commands as completions, used until `complete` is replaced."""
        return [
            {"text": f"{word} ", "label": word, "note": str(command.get("usage_hint", ""))}
            for word, command in self.people.commands.items()
            if word.startswith(line)
        ]

    async def _state(self, request: web.Request) -> web.Response:
        who = self.workspace.user(request.query.get("user", "ana"))
        if who is None:
            return web.json_response({"ok": False, "error": "there is no such person"}, status=404)
        return web.json_response(
            {
                "session": self.workspace.session,
                "team": {"id": TEAM, "name": "sandbox"},
                "me": who.as_json(),
                "users": [user.as_json() for user in self.workspace.users.values()],
                "channels": [
                    {"id": c.id, "name": c.name, "is_private": c.private}
                    for c in self.workspace.channels.values()
                    if who.id in c.members
                ],
                "commands": list(self.people.commands.values()),
                "views": [shown(view) for view in self.workspace.views.values() if view["_user"] == who.id],
                "examples": list(self.examples),
                "groups": [{"id": id_, "handle": handle} for id_, (handle, _) in self.workspace.groups.items()],
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
        offers, thread = request.query.get("offers", ""), request.query.get("thread_ts", "")
        try:
            wait_s = min(float(request.query.get("wait", 0)), MOST_WAIT_S)
        except ValueError:
            return web.json_response({"ok": False, "error": "wait must be a number of seconds"}, status=400)

        def seen() -> Sequence[Mapping[str, Any]]:
            return self.workspace.visible(where, who.id, thread)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while offers and not self._closing and not any(_offers(message, offers) for message in seen()):
                    await self.workspace.changed.wait()
        return web.json_response({"ok": True, "messages": seen()})

    async def _file(self, request: web.Request) -> web.Response:
        content = self.workspace.contents.get(request.match_info["file"])
        if content is None:
            return web.json_response({"ok": False, "error": "there is no such file"}, status=404)
        return web.Response(
            body=content, content_type="text/plain", charset="utf-8", headers={"X-Content-Type-Options": "nosniff"}
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events for one person. A page that lost its connection resumes at its last event."""
        who = self.workspace.user(request.query.get("user", "ana"))
        try:
            last = request.headers.get("Last-Event-ID") or request.query.get("after")
            seen = int(last or len(self.workspace.events))
        except ValueError:
            return web.json_response({"ok": False, "error": "after must be an event's number"}, status=400)
        if who is None:
            return web.json_response({"ok": False, "error": "there is no such person"}, status=404)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        with contextlib.suppress(ConnectionError):  # the page was closed
            await self._follow(stream, who.id, seen)
        return stream

    async def _follow(self, stream: web.StreamResponse, user: str, seen: int) -> None:
        while not self._closing:
            changed, new = self.workspace.changed, self.workspace.events[seen:]
            lines = [
                f"id: {number}\ndata: {json.dumps(event)}\n\n"
                for number, event in enumerate(new, seen + 1)
                if event.get("only", "") in ("", user)
            ]
            seen += len(new)
            if lines:
                await stream.write("".join(lines).encode())
            try:
                await asyncio.wait_for(changed.wait(), 15)
            except TimeoutError:
                await stream.write(b": still here\n\n")

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        index = PAGE / "index.html"
        if not index.is_file():
            return web.Response(text="The page is not part of this build; the sandbox's HTTP API is.")
        return web.FileResponse(index, headers=HEADERS)


def _offers(message: Mapping[str, Any], action_id: str) -> bool:
    """Whether a message has an element with this action id."""
    return any(
        element.get("action_id") == action_id
        for block in message.get("blocks") or []
        for element in [*block.get("elements", []), *filter(None, (block.get("accessory"), block.get("element")))]
    )
