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

SIGNING_SECRET = secrets.token_hex(16)
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
    environment = {**sandbox.bot.environment, "SLACK_SIGNING_SECRET": SIGNING_SECRET}
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
        yield f"http://127.0.0.1:{json.loads(line)['port']}/slack/events"
    finally:
        process.terminate()
        await process.communicate()


async def send(address: str, *, secret: str = SIGNING_SECRET, at: float | None = None) -> int:
    stamp = str(int(at or time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=FORM)
    headers = {
        "X-Slack-Signature": signature or "",
        "X-Slack-Request-Timestamp": stamp,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with aiohttp.ClientSession() as session, session.post(address, data=FORM, headers=headers) as answer:
        return answer.status


async def test_a_signed_command_is_run(sandbox: World, address: str) -> None:
    assert await send(address) == 200
    root = await Driver(sandbox.slack).finished()
    assert "node-1" in root["text"]


async def test_a_forged_or_an_old_command_is_refused_and_starts_nothing(sandbox: World, address: str) -> None:
    assert await send(address, secret=secrets.token_hex(16)) == 401
    assert await send(address, at=time.time() - 3600) == 401
    async with aiohttp.ClientSession() as session, session.post(address, data=FORM) as answer:
        assert answer.status == 401
    assert not [message for message in Driver(sandbox.slack).messages() if is_run(message)]
    assert not sandbox.cluster.commands
