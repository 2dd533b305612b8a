"""
Slack's own SDKs against the sandbox: small apps that know nothing of it but another base URL.

Python's come with the bot's own dependencies. Node's are installed by `npm install --no-package-lock` in
`tests/node` (`.ci/run` does it); where they are not, they are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from bot.sandbox.driver import Driver, actions
from bot.sandbox.slack.server import LocalSlack
from tests.programs import need
from tests.sandbox.conftest import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "tests" / "node"
APPS = {
    "slack_bolt": [sys.executable, "-m", "tests.sdk.bolt_app"],
    "slack_bolt async": [sys.executable, "-m", "tests.sdk.bolt_async_app"],
    "slack_sdk": [sys.executable, "-m", "tests.sdk.sdk_app"],
    "@slack/bolt": ["node", str(NODE / "bolt.mjs")],
    "@slack/socket-mode and web-api": ["node", str(NODE / "sdk.mjs")],
}
OVER_HTTP = {
    "slack_bolt over HTTP": APPS["slack_bolt async"],
    "@slack/bolt over HTTP": APPS["@slack/bolt"],
}
START_S = 60
pytestmark = pytest.mark.asyncio(loop_scope="module")


def missing(argv: Sequence[str]) -> str:
    if argv[0] != "node":
        return ""
    need("node")
    return "" if (NODE / "node_modules").is_dir() else "run `npm install --no-package-lock` in tests/node"


@pytest_asyncio.fixture(params=[*APPS, *OVER_HTTP], scope="module", loop_scope="module")
async def slack(request: pytest.FixtureRequest) -> AsyncIterator[LocalSlack]:
    argv = {**APPS, **OVER_HTTP}[request.param]
    if reason := missing(argv):
        pytest.skip(reason)
    async with LocalSlack(MANIFEST) as running, app(argv, running, over_http=request.param in OVER_HTTP):
        yield running


@contextlib.asynccontextmanager
async def app(argv: Sequence[str], slack: LocalSlack, *, over_http: bool) -> AsyncIterator[None]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
    }
    environment |= {"SLACK_SIGNING_SECRET": slack.signing_secret} if over_http else {}
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready, _, port = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode().strip().partition(" ")
        assert ready == "ready"
        if over_http:
            slack.delivery.url = f"http://127.0.0.1:{port}/slack/events"
            assert await slack.delivery.verify()
        else:
            await asyncio.wait_for(slack.socket_mode.connected.wait(), START_S)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
def ana(slack: LocalSlack) -> Driver:
    return Driver(slack)


async def test_a_slash_command_is_answered_at_once_and_later(ana: Driver) -> None:
    await ana.type("/probe hello")

    heard = next(message for message in ana.messages() if message["text"] == "heard hello")
    assert heard["is_ephemeral"]
    shown = await ana.until(lambda: next((m for m in ana.messages() if "press" in actions(m)), None))
    assert not shown.get("is_ephemeral")


async def test_a_button_changes_its_message(ana: Driver) -> None:
    await ana.type("/probe hello")
    shown = await ana.until(lambda: next((m for m in ana.messages() if "press" in actions(m)), None))
    await ana.click(shown, "press")

    def pressed() -> bool:
        return any(m["ts"] == shown["ts"] and m["text"] == "pressed by <@U0SANDANA>" for m in ana.messages())

    await ana.until(pressed)
    assert not ana.notices()


async def test_a_modal_is_opened_corrected_and_sent(ana: Driver) -> None:
    async def name(value: str) -> dict[str, str]:
        return dict(await ana.submit({"name": {"name": {"type": "plain_text_input", "value": value}}}))

    await ana.type("/probe modal")
    assert await name("bad") == {"name": "not that one"}
    assert await name("good") == {}
    await ana.until(lambda: any(message["text"] == "named good" for message in ana.messages()))


async def test_a_file_arrives_with_its_bytes(ana: Driver) -> None:
    await ana.type("/probe file")
    message = await ana.until(lambda: next((m for m in ana.messages() if m.get("files")), None))

    assert message["files"][0]["title"] == "Notes"
    assert ana.file("notes.txt") == "from the app"


async def test_a_mention_is_answered_in_its_thread(slack: LocalSlack, ana: Driver) -> None:
    said = await slack.people.say("ana", "#incident-42", "<@U0CSM> are you there?")

    await ana.until(lambda: any(m["text"] == "you called" for m in ana.thread(said)))


@pytest.mark.parametrize("slack", APPS, indirect=True)
@pytest.mark.parametrize("reason", ["refresh_requested", ""], ids=["asked to reconnect", "cut off"])
async def test_an_app_that_lost_its_connection_comes_back(slack: LocalSlack, ana: Driver, reason: str) -> None:
    back = asyncio.create_task(slack.socket_mode.hello.wait())
    await asyncio.sleep(0)
    await (slack.socket_mode.disconnect(reason) if reason else slack.socket_mode.drop())
    await asyncio.wait_for(back, 30)
    await ana.type(f"/probe again {reason}")

    await ana.until(lambda: any(m["text"] == f"heard again {reason}".rstrip() for m in ana.messages()))
