"""
Two processes of the real bot on one real PostgreSQL: every envelope is handled once, and a run outlives its process,
whether that was killed, told to stop, or replaced by one of another version.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psycopg
import pytest

from bot.sandbox.driver import Driver, is_final, is_run
from bot.sandbox.fleet import fleet
from bot.sandbox.process import Bot
from bot.sandbox.world import World, world
from tests.postgres import Postgres

NEWER = "import bot.runs.engine; bot.runs.engine.WORKFLOW_VERSION = '2'; from bot.cli.main import main; main()"
"""A csm in which the order of steps has changed."""

SETTINGS = {
    "health": {"port": 0},
    "limits": {"min_interval": "1s", "selftest_deadline": "90s", "status_deadline": "90s"},
}
pytestmark = pytest.mark.needs("postgres")


@asynccontextmanager
async def replicas(database_url: str, **options: object) -> AsyncIterator[tuple[World, Bot]]:
    """A world with one bot running, and a second replica that is not started."""
    settings = {**SETTINGS, "database_url": database_url} if database_url else SETTINGS
    async with world(list(fleet(4)), settings=settings, rate_limits=False, **options) as made:
        second = made.bot.another(made.folder / "second.log")
        try:
            yield made, second
        finally:
            await second.stop()


class Gate:
    """Holds every command on the Agents until it is opened."""

    def __init__(self, made: World) -> None:
        self.reached, self._open = asyncio.Event(), asyncio.Event()
        made.cluster.on_exec = self._wait

    def open(self) -> None:
        self._open.set()

    async def _wait(self) -> None:
        self.reached.set()
        await self._open.wait()


def events_of(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_text().splitlines()]


def address(log: Path) -> str:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return str(next(line["address"] for line in lines if line["event"] == "health.listening"))


async def accepted(log: Path) -> Counter[str]:
    """How many commands a replica has accepted, and how many copies of them it was given."""
    async with aiohttp.ClientSession() as session, session.get(f"{address(log)}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r'^csm_commands_total\{command="selftest",outcome="(\w+)"\} (\S+)$', text, flags=re.MULTILINE)
    return Counter({outcome: int(float(number)) for outcome, number in found})


def told_once(ana: Driver, runs: int) -> None:
    """Every run has one message with its verdict, one reply of each kind, and its files once."""
    roots = [message for message in ana.messages() if is_run(message)]
    assert len(roots) == runs
    assert all(is_final(root) for root in roots)
    for root in roots:
        replies = Counter(reply["text"].split("\n")[0] for reply in ana.thread(root)[1:])
        assert all(number == 1 for number in replies.values()), replies


async def test_every_envelope_is_handled_once_whichever_replica_gets_it_and_however_often(postgres: Postgres) -> None:
    url = postgres.database()
    async with replicas(url) as (made, second):
        await second.start()
        made.slack.socket_mode.copies = 3
        ana = Driver(made.slack)
        await asyncio.gather(*(ana.type(f"/csm selftest cluster-a/node-{n}") for n in range(1, 5)))
        for number in range(4):
            await ana.finished(number=number)
        async with asyncio.timeout(20):  # a copy may come when its run has ended already
            while (
                sum(sum(counts := [await accepted(made.bot.log), await accepted(second.log)], Counter()).values()) < 12
            ):
                await asyncio.sleep(0.05)

        told_once(ana, 4)
        assert sum(count["accepted"] for count in counts) == 4
        assert sum(counts, Counter())["repeated"] == 8
        assert all(sum(count.values()) for count in counts), "one replica got everything"
        with psycopg.connect(url) as connection:
            events = Counter(
                json.loads(entry)["event"] for (entry,) in connection.execute("SELECT entry FROM csm_audit").fetchall()
            )
        assert events["command.accepted"] == events["run.ended"] == events["agent.answered"] == 4


async def test_a_run_whose_replica_is_killed_is_finished_by_the_other_one(postgres: Postgres) -> None:
    async with replicas(postgres.database()) as (made, second):
        gate, ana = Gate(made), Driver(made.slack)
        await ana.type("/csm selftest cluster-a")
        await asyncio.wait_for(gate.reached.wait(), 20)
        await second.start()
        await made.bot.kill()
        gate.open()
        await ana.finished(within_s=60)

        told_once(ana, 1)
        assert "replica.gone" in events_of(second.log)


def upgraded(second: Bot, program: Sequence[str]) -> None:
    if program:
        second.program = program


@pytest.mark.parametrize("program", [(), (sys.executable, "-c", NEWER)], ids=["the same version", "another version"])
async def test_a_replica_that_is_told_to_stop_hands_its_runs_over_at_once(
    postgres: Postgres, program: Sequence[str]
) -> None:
    async with replicas(postgres.database()) as (made, second):
        gate, ana = Gate(made), Driver(made.slack)
        await ana.type("/csm selftest cluster-a")
        await asyncio.wait_for(gate.reached.wait(), 20)
        upgraded(second, program)
        await second.start()
        await made.bot.stop()
        gate.open()
        # Sooner than a replica that says nothing would count as dead.
        await ana.finished(within_s=30)

        told_once(ana, 1)
        assert ("run.begun_again" in events_of(second.log)) is bool(program)


async def test_while_one_of_its_version_lives_a_run_is_not_begun_again_by_a_newer_one(postgres: Postgres) -> None:
    async with replicas(postgres.database()) as (made, second):
        gate, ana = Gate(made), Driver(made.slack)
        await ana.type("/csm selftest cluster-a")
        await asyncio.wait_for(gate.reached.wait(), 20)
        upgraded(second, (sys.executable, "-c", NEWER))
        await second.start()
        gate.open()
        await ana.finished()

        told_once(ana, 1)
        assert "run.begun_again" not in events_of(second.log)


async def test_on_sqlite_a_newer_csm_begins_the_runs_of_the_older_one_again() -> None:
    async with replicas("") as (made, second):
        gate, ana = Gate(made), Driver(made.slack)
        await ana.type("/csm selftest cluster-a")
        await asyncio.wait_for(gate.reached.wait(), 20)
        await made.bot.kill()
        gate.open()
        upgraded(second, (sys.executable, "-c", NEWER))
        await second.start()
        await ana.finished()

        told_once(ana, 1)
        assert "run.begun_again" in events_of(second.log)
        with sqlite3.connect(made.folder / "csm.db") as connection:
            versions = connection.execute("SELECT application_version FROM workflow_status").fetchall()
        connection.close()
        assert versions == [("2",)]
