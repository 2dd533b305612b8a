"""
From a click on Approve to `y` on the Agent's stdin, with the real bot, a stand-in cluster and a local Slack.

Also with two bots on one PostgreSQL, where each click reaches the bot that does not hold the archive.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver, Message, actions
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.slack import socket_mode
from bot.sandbox.world import Bot, World, world
from tests.postgres import postgres

FLARES = 40


async def clicks_to_answers() -> list[float]:
    """Seconds of each of `FLARES` flares that wait at once and are approved one after the other."""
    async with world(_pods(), rate_limits=False) as made:
        return [await _answered(made, card) for card in await _waiting(made)]


async def clicks_through_another_replica() -> list[float]:
    """The same, when the click reaches a bot that does not hold the archive."""
    with postgres() as server, pytest.MonkeyPatch.context() as patched:
        async with world(_pods(), rate_limits=False, settings={"database_url": server.database()}) as made:
            cards = await _waiting(made)
            second = Bot(made.folder / "csm.yaml", made.bot.environment, made.slack, made.folder / "second.log")
            await second.start()
            try:
                patched.setattr(socket_mode, "random", SimpleNamespace(choice=lambda found: found[-1]))
                return [await _answered(made, card) for card in cards]
            finally:
                await second.stop()


def _pods() -> list[Pod]:
    return [Pod(f"datadog-{n}", f"node-{n}", Behaviour()) for n in range(FLARES)]


async def _waiting(made: World) -> list[Message]:
    """Ask for a flare of each Agent. Returns their cards, once all of them wait for approval."""
    ana = Driver(made.slack)
    for number in range(FLARES):
        await ana.type(f"/csm flare cluster-a/node-{number} 123")
    return await ana.until(lambda: _cards(ana) if len(_cards(ana)) == FLARES else None, within_s=180)


def _cards(person: Driver) -> list[Message]:
    replies = [reply for message in person.messages() for reply in person.thread(message)]
    return [reply for reply in replies if "flare.approve" in actions(reply)]


async def _answered(made: World, card: Message) -> float:
    """Click, and read in the Agent's own ledger when it was answered: the same machine, the same clock."""
    sam = Driver(made.slack, user="sam")
    button = next(e for e in card["blocks"][-1]["elements"] if e["action_id"] == "flare.approve")
    sha256 = button["value"].split(" ")[1]
    pod = next(p for p in made.cluster.pods if any(e.get("sha256") == sha256 for e in made.cluster.ledger(p)))
    began = time.time()
    await sam.click(card, "flare.approve")
    while True:
        for event in made.cluster.ledger(pod):
            if event["event"] == "answered":
                return float(event["at"]) - began
        await asyncio.sleep(0.01)
