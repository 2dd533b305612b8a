"""Socket Mode that went quiet is noticed and opened again: Bolt's real client, the local Slack, and a way that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from bot.sandbox.slack.server import LocalSlack
from bot.slack import client as connection
from bot.slack.client import MANIFEST
from bot.slack.socket_mode import SocketModeConnection
from tests.relay import Relay, tcp_relay

PING_S, QUIET_S = 0.1, 1.5


async def _nothing(_client: SocketModeClient, force: bool = False) -> None:
    pass


class Line:
    """A workspace, an app in it, and the way between them."""

    def __init__(self, slack: LocalSlack, relay: Relay, socket: SocketModeConnection, heard: list[str]) -> None:
        self.slack = slack
        self.relay = relay
        self.socket = socket
        self.heard = heard

    async def says(self, text: str) -> None:
        """A command reaches the app and is acknowledged."""
        await self.slack.people.command("ana", "#incident-42", f"/csm {text}")
        assert self.heard[-1] == text
        assert not [event for event in self.slack.workspace.events if event["type"] == "notice"]


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack(MANIFEST))
        relay = await stack.enter_async_context(tcp_relay(int(slack.url.rsplit(":", 1)[1])))
        slack.socket_mode.base = f"http://127.0.0.1:{relay.port}"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        app = AsyncApp(client=connection.create_client(slack.bot_token, slack.api_url, session))
        heard: list[str] = []

        @app.command("/csm")
        async def listen(ack: Any, command: dict[str, Any]) -> None:
            heard.append(command["text"])
            await ack()

        socket = SocketModeConnection(app, slack.app_token, quiet_s=QUIET_S, ping_s=PING_S)
        async with socket:
            await asyncio.wait_for(slack.socket_mode.connected.wait(), 10)
            yield Line(slack, relay, socket, heard)


@pytest.mark.parametrize("client", ["watchful", "deaf"])
async def test_a_socket_on_which_nothing_is_heard_any_more_is_replaced(
    line: Line, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if client == "deaf":  # connected as far as it knows (slackapi/bolt-python#1529)
        monkeypatch.setattr(SocketModeClient, "connect_to_new_endpoint", _nothing)
    await line.says("before")
    hello = asyncio.create_task(line.slack.socket_mode.hello.wait())
    line.relay.hush()
    line.relay.flow_anew()
    await asyncio.wait_for(hello, 10)
    line.relay.cut(hushed=True)

    if client == "deaf":
        assert line.socket.reopened == 1
    while len(line.slack.socket_mode.connections) > 1:  # until Slack notices that the old one is gone
        await asyncio.sleep(0.01)
    await line.says("after")


async def test_an_outage_is_outlasted(line: Line) -> None:
    line.relay.refusing = True
    line.relay.cut()
    while line.socket.reopened < 2:
        await asyncio.sleep(0.1)
    hello = asyncio.create_task(line.slack.socket_mode.hello.wait())
    line.relay.refusing = False
    await asyncio.wait_for(hello, 20)

    await line.says("after")


async def test_a_socket_that_is_answered_is_left_alone(line: Line) -> None:
    await asyncio.sleep(QUIET_S * 3)

    assert line.socket.reopened == 0
    assert line.socket.quiet_for_s < QUIET_S
    await line.says("still")
