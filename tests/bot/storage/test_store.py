"""The store: accepted once, joined where it should be, kept through crowds, refused when newer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.storage.schema import schema_version
from bot.storage.store import RunRequest, Store, make_engine
from handlers.errors import ConfigurationError
from handlers.model import Agent, AgentResult, Installation, Platform, Verdict

REQUEST = RunRequest(
    id="r-1",
    command="selftest",
    target="cluster-a",
    agent="",
    requested_by="U1",
    source="slack",
    accepted_at=1000.0,
    channel="C1",
)


def url(path: Path) -> str:
    return f"sqlite:///{path / 'csm.db'}"


@pytest.fixture
async def store(tmp_path: Path):
    store = await Store.open(url(tmp_path))
    yield store
    await store.aclose()


def result(agent: str) -> AgentResult:
    return AgentResult(
        agent=agent,
        platform=Platform.HOST,
        installation=Installation.HOST,
        verdict=Verdict.PASS,
        reason="all three succeeded",
    )


async def test_a_command_delivered_twice_is_one_run(store: Store) -> None:
    assert (await store.accept(REQUEST)).fresh
    again = await store.accept(REQUEST)
    assert not again.fresh
    assert again.joined is None


async def test_a_run_for_the_same_agents_is_joined_while_it_is_on(store: Store) -> None:
    await store.accept(REQUEST, join=True)
    second = await store.accept(replace(REQUEST, id="r-2", accepted_at=5000.0), join=True)
    assert second.joined is not None
    assert second.joined.request.id == "r-1"


@pytest.mark.parametrize(("agent", "joins"), [("node-7", True), ("", True)])
async def test_a_run_over_the_whole_target_covers_each_of_its_agents(store: Store, agent: str, joins: bool) -> None:
    await store.accept(REQUEST, join=True)
    second = await store.accept(replace(REQUEST, id="r-2", agent=agent), join=True)
    assert bool(second.joined) is joins


async def test_a_run_over_one_agent_does_not_cover_the_target(store: Store) -> None:
    await store.accept(replace(REQUEST, agent="node-7"), join=True)
    assert (await store.accept(replace(REQUEST, id="r-2"), join=True)).fresh


async def test_a_run_that_has_ended_is_not_joined(store: Store) -> None:
    await store.accept(REQUEST, join=True)
    await store.update_run("r-1", state="done")
    assert (await store.accept(replace(REQUEST, id="r-2", accepted_at=1001.0), join=True)).fresh


async def test_a_run_whose_verdict_is_in_is_neither_joined_nor_cancelled_though_its_thread_is_still_told(
    store: Store,
) -> None:
    await store.accept(REQUEST, join=True)
    await store.update_run("r-1", state="running", verdict="fail")
    assert not await store.cancel("r-1", "U1")
    assert (await store.accept(replace(REQUEST, id="r-2", accepted_at=1061.0), join=True)).fresh


async def test_a_cancelled_run_is_not_joined(store: Store) -> None:
    await store.accept(REQUEST, join=True)
    assert await store.cancel("r-1", "U1")
    assert (await store.accept(replace(REQUEST, id="r-2"), join=True)).fresh


async def test_only_the_first_cancellation_counts(store: Store) -> None:
    await store.accept(REQUEST)
    assert await store.cancel("r-1", "U1")
    assert not await store.cancel("r-1", "U2")
    assert await store.cancelled_by("r-1") == "U1"


async def test_a_hundred_commands_at_once_cost_a_few_commits(tmp_path: Path) -> None:
    store = await Store.open(url(tmp_path))
    commits = 0

    def committed(_connection: sa.Connection) -> None:
        nonlocal commits
        commits += 1

    sa.event.listen(store.engine, "commit", committed)
    accepted = await asyncio.gather(*(store.accept(replace(REQUEST, id=f"r-{n}")) for n in range(100)))
    await store.aclose()

    assert all(each.fresh for each in accepted)
    assert commits <= 5


async def test_commands_that_arrive_together_join_and_repeat_as_if_one_had_come_after_the_other(store: Store) -> None:
    at_once = [
        REQUEST,
        replace(REQUEST, id="r-2", agent="node-7"),
        REQUEST,
        replace(REQUEST, id="r-3", target="cluster-b", agent="node-7"),
        replace(REQUEST, id="r-4", target="cluster-b"),
        replace(REQUEST, id="r-5", target="cluster-b", agent="node-9"),
    ]
    accepted = await asyncio.gather(*(store.accept(each, join=True) for each in at_once))

    joined = [each.joined.request.id if each.joined else None for each in accepted]
    assert [each.fresh for each in accepted] == [True, False, False, True, True, False]
    assert joined == [None, "r-1", None, None, None, "r-4"]
    assert {request.id for request in await store.unfinished()} == {"r-1", "r-3", "r-4"}


async def test_a_command_does_not_wait_for_results_that_came_before_it(store: Store) -> None:
    await store.accept(REQUEST)
    done: list[str] = []

    async def noted(name: str, work: Awaitable[object]) -> None:
        await work
        done.append(name)

    results = [noted(f"result {n}", store.keep_result(REQUEST, result(f"node-{n}"), 1.0)) for n in range(3)]
    await asyncio.gather(*results, noted("command", store.accept(replace(REQUEST, id="r-2"))))

    assert done[0] == "command"


async def test_whoever_gives_up_waiting_takes_nobody_else_along(store: Store) -> None:
    impatient = asyncio.create_task(store.accept(REQUEST))
    patient = asyncio.create_task(store.accept(replace(REQUEST, id="r-2")))
    await asyncio.sleep(0)
    impatient.cancel()

    assert (await patient).fresh


async def test_results_are_kept_by_agent_and_the_inventory_with_them(store: Store) -> None:
    agents = [
        Agent(target="cluster-a", name=f"node-{n}", platform=Platform.HOST, installation=Installation.HOST)
        for n in (1, 2)
    ]
    await store.accept(REQUEST)
    assert await store.inventory("r-1") is None
    await store.keep_inventory("r-1", agents)
    await store.asked(REQUEST, "node-1", 1001.0)
    await store.asked(REQUEST, "node-2", 1002.0)
    await store.keep_result(REQUEST, result("node-1"), 1003.0)

    assert await store.inventory("r-1") == agents
    assert await store.results("r-1") == {"node-1": result("node-1")}
    assert await store.last_asked("selftest", "cluster-a", 1000.0) == {
        "node-1": (1001.0, "r-1", result("node-1")),
        "node-2": (1002.0, "r-1", None),
    }
    assert await store.last_asked("selftest", "cluster-a", 1001.5) == {"node-2": (1002.0, "r-1", None)}


async def test_a_post_is_known_from_the_moment_before_it_is_sent(store: Store) -> None:
    assert await store.intend("r-1", "opening", "C1", 5.0) is None
    known = await store.intend("r-1", "opening", "C1", 6.0)
    assert known is not None
    assert known.ts == ""
    await store.sent("r-1", "opening", channel="C1", ts="1.2")
    again = await store.post("r-1", "opening")
    assert again is not None
    assert again.ts == "1.2"


async def test_a_database_of_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await (await Store.open(url(tmp_path))).aclose()
    engine = make_engine(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(sa.insert(schema_version).values(version=99))
    engine.dispose()

    with pytest.raises(ConfigurationError, match="newer csm"):
        await Store.open(url(tmp_path))


async def test_a_locked_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.storage.store.BUSY_TIMEOUT_MS", 50)
    with sqlite3.connect(tmp_path / "csm.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigurationError, match="locked by another process"):
            await Store.open(url(tmp_path))
    other.close()


async def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "csm.db").write_text("this is not a database, it is a text of more than a page\n" * 100)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await Store.open(url(tmp_path))


async def test_a_database_that_is_away_is_told_to_whoever_asks_whether_all_is_well(
    store: Store, tmp_path: Path
) -> None:
    assert store.fault() == ""
    away = Store(make_engine(f"sqlite:///{tmp_path / 'no-such-folder' / 'csm.db'}"))
    assert "cannot be used" in away.fault()
    await away.aclose()
