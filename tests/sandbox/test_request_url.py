"""The HTTP way: signed, three seconds, redirects, retries of events, and the handshake before them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier

from bot.sandbox.slack.clock import HandClock
from bot.sandbox.slack.request_url import NotDelivered, signature
from bot.sandbox.slack.server import LocalSlack
from tests.sandbox.conftest import CHANNEL
from tests.sandbox.samples import actions

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# docs.slack.dev: authentication/verifying-requests-from-slack. In pieces, so that no scanner takes them for real ones.
HALVES = ("8f742231b10e8888", "abcd99yyyzzz85a5")
TOKEN = ("xyzz0WbapA4v", "BCDEFasx0q6G")
BODY = (
    "token="
    + "".join(TOKEN)
    + (
        "&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        "%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def test_the_signature_is_the_documented_one() -> None:
    assert signature("".join(HALVES), "1531420618", BODY.encode()) == SIGNATURE


class Endpoint:
    """An app's address, answering as it is told."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[tuple[web.BaseRequest, bytes]] = asyncio.Queue()
        self.answer: Handler = self.empty
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.put_nowait((request, await request.read()))
        return await self.answer(request)

    async def empty(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    def says(self, **response: Any) -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(**response)

        self.answer = answer

    async def got(self) -> tuple[web.BaseRequest, bytes]:
        return await asyncio.wait_for(self.requests.get(), 5)


@pytest.fixture
async def endpoint(slack: LocalSlack) -> AsyncIterator[Endpoint]:
    made, app = Endpoint(), web.Application()
    app.router.add_route("*", "/slack/events", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = slack.delivery.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    yield made
    await slack.events.aclose()
    await runner.cleanup()


def notices(slack: LocalSlack) -> list[str]:
    return [event["text"] for event in slack.workspace.events if event["type"] == "notice"]


async def test_a_command_is_a_signed_form_and_its_answer_is_shown(slack: LocalSlack, endpoint: Endpoint) -> None:
    endpoint.says(text=json.dumps({"text": "heard"}), content_type="application/json")
    await slack.people.command("ana", CHANNEL, "/probe <b>")
    request, body = await endpoint.got()

    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert SignatureVerifier(slack.signing_secret).is_valid_request(body, dict(request.headers))
    assert parse_qs(body.decode())["text"] == ["&lt;b&gt;"]
    assert [m["text"] for m in slack.workspace.channels[CHANNEL].messages.values()] == ["heard"]


async def test_plain_text_is_an_answer_too(slack: LocalSlack, endpoint: Endpoint) -> None:
    endpoint.says(text="heard")
    await slack.people.command("ana", CHANNEL, "/probe")

    (message,) = slack.workspace.channels[CHANNEL].messages.values()
    assert (message["text"], message["is_ephemeral"]) == ("heard", True)


async def test_a_click_is_a_form_with_one_field(slack: LocalSlack, endpoint: Endpoint) -> None:
    message = slack.workspace.post(
        slack.workspace.channels[CHANNEL], {"user": "U0CSM", "text": "x", "blocks": [actions() | {"block_id": "b"}]}
    )
    await slack.people.click("ana", CHANNEL, message["ts"], "a")
    _, body = await endpoint.got()

    (payload,) = parse_qs(body.decode())["payload"]
    assert json.loads(payload)["actions"][0]["action_id"] == "a"


@pytest.mark.parametrize(
    ("status", "delay", "error"),
    [(500, 0.0, "http_service_error"), (404, 0.0, "http_service_error"), (200, 0.8, "operation_timeout")],
)
async def test_a_command_that_fails_says_how_and_is_not_sent_again(
    slack: LocalSlack, endpoint: Endpoint, status: int, delay: float, error: str
) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(delay)
        return web.Response(status=status)

    endpoint.answer = answer
    await slack.people.command("ana", CHANNEL, "/probe")

    assert notices(slack) == [f"/probe failed with the error {error}"]
    assert endpoint.requests.qsize() == 1


async def test_an_app_that_is_not_there_is_said(slack: LocalSlack) -> None:
    slack.delivery.url = "http://127.0.0.1:1/slack/events"
    await slack.people.command("ana", CHANNEL, "/probe")

    assert notices(slack) == ["/probe failed with the error dispatch_failed"]


@pytest.mark.parametrize("url", ["https://example.com/slack/events", "http://192.0.2.1/", "http://sandbox.invalid/"])
async def test_nothing_is_sent_to_another_machine(slack: LocalSlack, url: str) -> None:
    with pytest.raises(NotDelivered, match="connection_failed"):
        await slack.delivery.request_url.post_form(url, {"a": "b"})


async def test_an_event_that_fails_comes_again_with_a_number_and_a_reason(
    slack: LocalSlack, clock: HandClock, endpoint: Endpoint
) -> None:
    endpoint.says(status=503)
    await slack.people.say("ana", CHANNEL, "x")
    requests = [await endpoint.got()]
    for wait in (0, 60, 300):
        if wait:
            await asyncio.wait_for(clock.asked_to_wait.wait(), 5)
            clock.move(wait)
        requests.append(await endpoint.got())

    headers = [request.headers for request, _ in requests]
    assert [each.get("X-Slack-Retry-Num") for each in headers] == [None, "1", "2", "3"]
    assert [each.get("X-Slack-Retry-Reason") for each in headers] == [None, *["http_error"] * 3]
    assert len({body for _, body in requests}) == 1
    assert headers[0]["Content-Type"] == "application/json"


async def test_an_app_can_ask_for_no_retry(slack: LocalSlack, endpoint: Endpoint) -> None:
    endpoint.says(status=500, headers={"X-Slack-No-Retry": "1"})

    assert not await slack.delivery.event({"type": "event_callback"})
    assert endpoint.requests.qsize() == 1


@pytest.mark.parametrize(("redirects", "arrives"), [(1, True), (2, True), (3, False)])
async def test_two_redirects_are_followed(slack: LocalSlack, endpoint: Endpoint, redirects: int, arrives: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("n", "0"))
        if number < redirects:
            return web.Response(status=302, headers={"Location": f"/slack/events?n={number + 1}"})
        return web.Response(text="there")

    endpoint.answer = answer
    if arrives:
        assert (await slack.delivery.request_url.post_form(endpoint.url, {})).body == "there"
    else:
        with pytest.raises(NotDelivered, match="too_many_redirects"):
            await slack.delivery.request_url.post_form(endpoint.url, {})


@pytest.mark.parametrize("way", ["text", "json", "form", "wrong"])
async def test_an_address_for_events_proves_that_it_is_one(slack: LocalSlack, endpoint: Endpoint, way: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert body["type"] == "url_verification"
        challenge = body["challenge"]
        text = {
            "text": challenge,
            "json": json.dumps({"challenge": challenge}),
            "form": f"challenge={challenge}",
            "wrong": "x",
        }
        return web.Response(text=text[way])

    endpoint.answer = answer
    assert await slack.delivery.verify() is (way != "wrong")
