"""Socket Mode as the wire has it: tickets, hello, one connection per envelope, acks, retries, goodbyes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bot.sandbox.slack.clock import HandClock
from bot.sandbox.slack.server import LocalSlack
from tests.sandbox.conftest import CHANNEL, Client, SocketApp


class Wire:
    """One connection, read by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def read(self) -> dict[str, Any]:
        return dict(await self.socket.receive_json(timeout=5))

    async def ack(self, envelope: dict[str, Any], payload: Any = None) -> None:
        await self.socket.send_json(
            {"envelope_id": envelope["envelope_id"]} | ({"payload": payload} if payload is not None else {})
        )


async def connect(slack: LocalSlack, api: Client, session: aiohttp.ClientSession, **arguments: Any) -> Wire:
    url = (await api.ok("apps.connections.open", token=slack.app_token, **arguments))["url"]
    return Wire(await session.ws_connect(url, autoping=True))


async def test_the_first_word_is_hello(slack: LocalSlack, api: Client, session: aiohttp.ClientSession) -> None:
    hello = await (await connect(slack, api, session)).read()

    assert hello["type"] == "hello"
    assert hello["num_connections"] == 1
    assert hello["connection_info"]["app_id"] == "A0CSM"
    assert hello["debug_info"]["approximate_connection_time"] == 18_060


async def test_a_ticket_is_good_once_and_not_for_long(
    slack: LocalSlack, clock: HandClock, api: Client, session: aiohttp.ClientSession
) -> None:
    url = (await api.ok("apps.connections.open", token=slack.app_token))["url"]
    await session.ws_connect(url)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await session.ws_connect(url)

    late = (await api.ok("apps.connections.open", token=slack.app_token))["url"]
    clock.move(31)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await session.ws_connect(late)


async def test_slack_pings_at_once_and_the_app_may_ping_too(
    slack: LocalSlack, api: Client, session: aiohttp.ClientSession
) -> None:
    url = (await api.ok("apps.connections.open", token=slack.app_token))["url"]
    socket = await session.ws_connect(url, autoping=False)
    seen = [await socket.receive(timeout=5) for _ in range(2)]
    assert {message.type for message in seen} == {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING}

    await socket.ping(b"sdk-ping-pong:1")
    pong = await socket.receive(timeout=5)
    assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"sdk-ping-pong:1")


async def test_an_envelope_goes_to_one_connection_and_its_ack_may_come_from_another(
    slack: LocalSlack, api: Client, session: aiohttp.ClientSession
) -> None:
    wires = [await connect(slack, api, session) for _ in range(2)]
    for wire in wires:
        await wire.read()
    typed = asyncio.create_task(slack.people.command("ana", CHANNEL, "/probe"))
    reads = [asyncio.create_task(wire.socket.receive_json()) for wire in wires]
    done, waiting = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    (first,) = done
    envelope = first.result()
    other = wires[1 - reads.index(first)]

    assert envelope["type"] == "slash_commands"
    assert envelope["accepts_response_payload"] is True
    assert len(waiting) == 1
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await other.ack(envelope, {"text": "from elsewhere"})
    await typed
    assert [m["text"] for m in slack.workspace.channels[CHANNEL].messages.values()] == ["from elsewhere"]


async def test_what_a_click_is_acknowledged_with_does_not_count(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    button = {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "x"}}
    ts = (
        await api.ok("chat.postMessage", channel=CHANNEL, text="x", blocks=[{"type": "actions", "elements": [button]}])
    )["ts"]
    app.answers["block_actions"] = {"text": "ignored"}
    await slack.people.click("ana", CHANNEL, ts, "a")

    assert len(slack.workspace.channels[CHANNEL].messages) == 1


async def test_garbage_on_the_wire_is_nothing(slack: LocalSlack, api: Client, session: aiohttp.ClientSession) -> None:
    wire = await connect(slack, api, session)
    await wire.read()
    for garbage in ("{", "[]", '"x"', '{"envelope_id": []}', '{"envelope_id": "unknown"}'):
        await wire.socket.send_str(garbage)
    typed = asyncio.create_task(slack.people.command("ana", CHANNEL, "/probe"))
    await wire.ack(await wire.read())

    await typed
    assert not [event for event in slack.workspace.events if event["type"] == "notice"]


async def test_a_command_without_an_ack_is_a_time_out_that_its_person_sees(slack: LocalSlack, app: SocketApp) -> None:
    app.answers["slash_commands"] = None
    await slack.people.command("ana", CHANNEL, "/probe")

    (notice,) = [event for event in slack.workspace.events if event["type"] == "notice"]
    assert notice["text"] == "/probe failed with the error operation_timeout"
    assert notice["only"] == "U0SANDANA"
    assert slack.socket_mode.unacknowledged == 1
    assert app.envelopes.qsize() == 1, "commands are not sent again"


async def test_a_command_that_nobody_is_there_for_fails_at_once(slack: LocalSlack) -> None:
    await slack.people.command("ana", CHANNEL, "/probe")

    (notice,) = [event for event in slack.workspace.events if event["type"] == "notice"]
    assert "dispatch_failed" in notice["text"]


async def test_an_event_without_an_ack_comes_again_three_times(
    slack: LocalSlack, clock: HandClock, app: SocketApp
) -> None:
    app.answers["event_callback"] = None
    slack.workspace.channels[CHANNEL].members.add("U0CSM")
    await slack.people.react("ana", CHANNEL, (await said(slack, app))["ts"], "eyes")

    envelopes = [await app.envelopes.get()]
    for wait in (0, 60, 300):
        asked = clock.asked_to_wait
        if wait:
            await asyncio.wait_for(asked.wait(), 5)
            clock.move(wait)
        envelopes.append(await asyncio.wait_for(app.envelopes.get(), 5))
    await asyncio.sleep(0.7)

    assert [(each["retry_attempt"], each["retry_reason"]) for each in envelopes] == [
        (0, ""),
        (1, "timeout"),
        (2, "timeout"),
        (3, "timeout"),
    ]
    assert len({each["envelope_id"] for each in envelopes}) == 4
    assert len({each["payload"]["event_id"] for each in envelopes}) == 1
    assert app.envelopes.empty()


async def said(slack: LocalSlack, app: SocketApp) -> dict[str, Any]:
    """A message whose own event is out of the way."""
    events, slack.delivery.app = (
        slack.delivery.app,
        replace(slack.delivery.app, events=frozenset()),
    )
    message = await slack.people.say("ana", CHANNEL, "x")
    slack.delivery.app = events
    assert app.envelopes.empty()
    return message


async def test_a_connection_is_warned_refreshed_and_closed_at_its_time(
    slack: LocalSlack, clock: HandClock, api: Client, session: aiohttp.ClientSession
) -> None:
    wire = await connect(slack, api, session, debug_reconnects=True)
    assert (await wire.read())["debug_info"]["approximate_connection_time"] == 360
    clock.move(350)
    assert (await wire.read())["reason"] == "warning"
    await asyncio.sleep(0.05)
    clock.move(10)
    assert (await wire.read())["reason"] == "refresh_requested"
    assert (await wire.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
    assert not slack.socket_mode.connections


@pytest.mark.parametrize("reason", ["refresh_requested", "link_disabled"])
async def test_a_goodbye_closes_the_connection(
    slack: LocalSlack, api: Client, session: aiohttp.ClientSession, reason: str
) -> None:
    wire = await connect(slack, api, session)
    await wire.read()
    await slack.socket_mode.disconnect(reason)

    goodbye = await wire.read()
    assert (goodbye["type"], goodbye["reason"]) == ("disconnect", reason)
    assert (await wire.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_a_warning_leaves_ten_seconds(
    slack: LocalSlack, clock: HandClock, api: Client, session: aiohttp.ClientSession
) -> None:
    wire = await connect(slack, api, session)
    await wire.read()
    await slack.socket_mode.disconnect("warning")
    assert (await wire.read())["reason"] == "warning"
    await asyncio.sleep(0.05)
    assert slack.socket_mode.connections
    clock.move(10)
    assert (await wire.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_an_envelope_can_be_delivered_twice(slack: LocalSlack, app: SocketApp) -> None:
    slack.socket_mode.copies = 2
    await slack.people.command("ana", CHANNEL, "/probe")

    first, second = [await asyncio.wait_for(app.envelopes.get(), 5) for _ in range(2)]
    assert first["envelope_id"] == second["envelope_id"]
