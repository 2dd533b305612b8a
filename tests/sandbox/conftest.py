"""A workspace with an app that may do everything, on a clock that stands still, and a plain HTTP client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.sandbox.slack.clock import HandClock
from bot.sandbox.slack.server import LocalSlack

CHANNEL, PRIVATE, FOREIGN = "C0INCIDENT", "C0PRIVATE", "C0GENERAL"
"""The app is a member of the first only."""
SCOPES = [
    "commands", "chat:write", "chat:write.public", "files:write", "files:read", "usergroups:read", "users:read", "users:read.email",
    "users.profile:read", "reactions:write", "reactions:read", "pins:write", "pins:read", "bookmarks:write", "bookmarks:read", "team:read",
    "channels:read", "groups:read", "im:read", "channels:history", "groups:history", "im:history", "im:write", "channels:join", "app_mentions:read",
]  # fmt: skip
EVENTS = [
    "app_mention", "app_home_opened", "message.channels", "message.im", "reaction_added", "reaction_removed", "member_joined_channel",
]  # fmt: skip
MANIFEST: dict[str, Any] = {
    "_metadata": {"major_version": 2},
    "display_information": {"name": "probe"},
    "features": {
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True},
        "bot_user": {"display_name": "probe"},
        "slash_commands": [
            {"command": "/probe", "description": "Probes", "should_escape": True},
            {"command": "/plain", "description": "Probes as typed"},
        ],
        "shortcuts": [
            {"name": "Look", "type": "message", "callback_id": "look", "description": "Look at it"},
            {"name": "Begin", "type": "global", "callback_id": "begin", "description": "Begin"},
        ],
    },
    "oauth_config": {"scopes": {"bot": SCOPES}},
    "settings": {
        "event_subscriptions": {"bot_events": EVENTS},
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
    },
}


class Client:
    """Calls of the Web API, as plain as they come."""

    def __init__(self, slack: LocalSlack, session: aiohttp.ClientSession) -> None:
        self._slack = slack
        self._session = session

    async def __call__(self, method: str, *, token: str | None = None, **arguments: Any) -> dict[str, Any]:
        """A call with JSON; returns the answer, whatever it says."""
        headers = {"Content-Type": "application/json; charset=utf-8"}
        body = json.dumps(arguments).encode()
        async with await self.raw(method, token=token, data=body, headers=headers) as answer:
            return dict(await answer.json())

    async def ok(self, method: str, **arguments: Any) -> dict[str, Any]:
        """A call that must succeed."""
        answer = await self(method, **arguments)
        assert answer["ok"], answer
        return answer

    async def error(self, method: str, **arguments: Any) -> str:
        """The error of a call that must not succeed."""
        answer = await self(method, **arguments)
        assert not answer["ok"], answer
        return str(answer["error"])

    async def raw(
        self, method: str, *, token: str | None = None, verb: str = "POST", headers: dict[str, str] | None = None, **request: Any
    ) -> aiohttp.ClientResponse:  # fmt: skip
        """A call as HTTP has it."""
        bearer = self._slack.bot_token if token is None else token
        own = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return await self._session.request(
            verb, self._slack.api_url + method, headers={**own, **(headers or {})}, **request
        )

    async def post(self, url: str, body: Any) -> aiohttp.ClientResponse:
        """A post to a response_url or an upload_url."""
        return await self._session.post(url, **({"data": body} if isinstance(body, bytes) else {"json": body}))


class SocketApp:
    """An app on a socket that answers as it is told, and keeps what it got."""

    def __init__(self) -> None:
        self.envelopes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answers: dict[str, Any] = {}
        """By kind of envelope or payload: what to acknowledge with. `None`: nothing is acknowledged."""

    async def run(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            envelope = message.json()
            if "envelope_id" not in envelope:
                continue
            self.envelopes.put_nowait(envelope)
            answer = self.answers.get(envelope["payload"].get("type"), self.answers.get(envelope["type"], {}))
            if answer is not None:
                ack = {"envelope_id": envelope["envelope_id"]} | ({"payload": answer} if answer else {})
                await socket.send_json(ack)

    async def got(self, kind: str = "") -> dict[str, Any]:
        """The next payload, or the next of a kind."""
        while True:
            payload = dict((await asyncio.wait_for(self.envelopes.get(), 5))["payload"])
            if kind in ("", payload.get("type")):
                return payload


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def slack(clock: HandClock) -> AsyncIterator[LocalSlack]:
    async with LocalSlack(MANIFEST, clock=clock, answer_s=0.5) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
def api(slack: LocalSlack, session: aiohttp.ClientSession) -> Client:
    return Client(slack, session)


@pytest.fixture
async def app(slack: LocalSlack, api: Client, session: aiohttp.ClientSession) -> AsyncIterator[SocketApp]:
    """An app that is connected."""
    made = SocketApp()
    address = (await api.ok("apps.connections.open", token=slack.app_token))["url"]
    async with session.ws_connect(address) as socket:
        assert (await socket.receive_json())["type"] == "hello"
        running = asyncio.create_task(made.run(socket))
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
