"""From a click on Approve to `y` on the Agent's stdin, with the real bot, a stand-in cluster and a local Slack."""

from __future__ import annotations

import asyncio
import time

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver, Message, actions
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.world import World, world

FLARES = 40


async def clicks_to_answers() -> list[float]:
    """Seconds of each of `FLARES` flares that wait at once and are approved one after the other."""
    pods = [Pod(f"datadog-{n}", f"node-{n}", Behaviour()) for n in range(FLARES)]
    async with world(pods, rate_limits=False) as made:
        ana, sam = Driver(made.slack), Driver(made.slack, user="sam")
        for number in range(FLARES):
            await ana.type(f"/csm flare cluster-a/node-{number} 123")
        cards = await ana.until(lambda: _cards(ana) if len(_cards(ana)) == FLARES else None, within_s=180)
        return [await _answered(made, sam, card) for card in cards]


def _cards(person: Driver) -> list[Message]:
    replies = [reply for message in person.messages() for reply in person.thread(message)]
    return [reply for reply in replies if "flare.approve" in actions(reply)]


async def _answered(made: World, sam: Driver, card: Message) -> float:
    """Click, and read in the Agent's own ledger when it was answered: the same machine, the same clock."""
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
