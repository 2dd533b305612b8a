"""Slack's other transport: signed requests to the bot's own address."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yaml
from slack_sdk.signature import SignatureVerifier

from bot.sandbox.driver import Driver, is_run
from bot.sandbox.world import World, world

FORM = "command=%2Fcsm&text=selftest+cluster-a%2Fnode-1&user_id=U0SANDANA&channel_id=C0INCIDENT&team_id=T0SANDBOX&trigger_id=1"


@pytest.fixture
async def sandbox() -> AsyncIterator[World]:
    async with world(start_bot=False) as made:
        yield made


@pytest.fixture
async def address(sandbox: World) -> AsyncIterator[str]:
    config = sandbox.folder / "csm.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["slack"] = {"transport": "http", "host": "127.0.0.1", "port": 0}
    config.write_text(yaml.safe_dump(settings))
    environment = {**sandbox.bot.environment, "SLACK_SIGNING_SECRET": sandbox.slack.signing_secret}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", "--config", str(config), env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while True:
                line = await process.stderr.readline()
                assert line, "the bot ended"
                if b"bot.listening" in line:
                    break
        sandbox.slack.delivery.url = f"http://127.0.0.1:{json.loads(line)['port']}/slack/events"
        yield sandbox.slack.delivery.url
    finally:
        process.terminate()
        await process.communicate()


async def send(address: str, *, secret: str, at: float | None = None) -> int:
    stamp = str(int(at or time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=FORM)
    headers = {
        "X-Slack-Signature": signature or "",
        "X-Slack-Request-Timestamp": stamp,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with aiohttp.ClientSession() as session, session.post(address, data=FORM, headers=headers) as answer:
        return answer.status


async def test_commands_clicks_and_modals_travel_as_signed_requests(sandbox: World, address: str) -> None:
    ana = Driver(sandbox.slack)
    await ana.type("/csm selftest cluster-a/node-1")
    root = await ana.finished()
    await ana.click(root, "run.share")
    channel = {"type": "conversations_select", "selected_conversation": "C0GENERAL"}
    errors = await ana.submit({"channel": {"channel": channel}})

    assert "node-1" in root["text"]
    assert not errors
    assert len(ana.messages("#general")) == 1
    assert not sandbox.slack.socket_mode.connections


async def test_a_command_signed_right_is_taken(sandbox: World, address: str) -> None:
    assert await send(address, secret=sandbox.slack.signing_secret) == 200
    await Driver(sandbox.slack).finished()


async def test_a_forged_or_an_old_command_is_refused_and_starts_nothing(sandbox: World, address: str) -> None:
    assert await send(address, secret=secrets.token_hex(16)) == 401
    assert await send(address, secret=sandbox.slack.signing_secret, at=time.time() - 3600) == 401
    async with aiohttp.ClientSession() as session, session.post(address, data=FORM) as answer:
        assert answer.status == 401
    assert not [message for message in Driver(sandbox.slack).messages() if is_run(message)]
    assert not sandbox.cluster.commands
