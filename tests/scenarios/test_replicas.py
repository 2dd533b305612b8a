"""Two bots on one PostgreSQL: a click that reaches the one counts for the archive that the other holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver, actions
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.slack import socket_mode
from bot.sandbox.world import Bot, World, world
from tests.postgres import Postgres

POD = "datadog-0"
pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(180)]


@dataclass
class Pair:
    """The first bot, in the world, and the second one; `to` says which of them Slack talks to."""

    world: World
    second: Bot
    to: int = 0


@pytest.fixture
async def pair(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    settings = {"database_url": postgres.database()}
    async with world([Pod(POD, "node-0", Behaviour())], settings=settings) as made:
        second = Bot(made.folder / "csm.yaml", made.bot.environment, made.slack, made.folder / "second.log")
        await second.start()
        both = Pair(made, second)
        monkeypatch.setattr(socket_mode, "random", SimpleNamespace(choice=lambda sockets: sockets[both.to]))
        yield both
        await second.stop()


def events(pair: Pair, name: str) -> list[str]:
    return [event["event"] for event in pair.world.cluster.ledger(POD) if event["event"] == name]


async def test_a_click_that_reaches_the_other_replica_counts(pair: Pair) -> None:
    ana, sam = Driver(pair.world.slack), Driver(pair.world.slack, user="sam")
    await ana.type("/csm flare cluster-a/node-0 123")
    card = await ana.card()
    pair.to = -1
    await sam.click(card, "flare.approve")
    root = await ana.finished()

    assert len(events(pair, "uploaded")) == 1
    assert "approved by <@U0SANDSAM>" in root["text"]


async def test_when_the_replica_that_holds_it_dies_the_other_says_so_and_nothing_leaves(pair: Pair) -> None:
    ana, sam = Driver(pair.world.slack), Driver(pair.world.slack, user="sam")
    await ana.type("/csm flare cluster-a/node-0 123")
    card = await ana.card()
    button = dict(card)
    await pair.world.bot.kill()
    pair.to = -1
    root = await ana.finished(within_s=60)
    record = next(reply for reply in ana.thread(root) if reply["ts"] == button["ts"])

    assert not events(pair, "uploaded")
    assert "is gone" in root["text"]
    assert actions(record) == ["flare.again"]
    await ana.click(root, "flare.again")
    await sam.click(await ana.card(number=1), "flare.approve")
    await ana.finished(number=1)
    assert len(events(pair, "uploaded")) == 1
