"""What is old is forgotten: evidence first, then the run with all that belongs to it; nothing that is still on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.storage import retention
from bot.storage.retention import PER_RUN, Keep, Pruned, prunable, prune
from bot.storage.schema import metadata, runs
from bot.storage.store import Store
from tests.bot.storage.written import STARTED, fill
from tests.handlers.tc.nodes import Node, judged

DAY = 86_400.0
KEEP = Keep(runs=timedelta(days=90), evidence=timedelta(days=30))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'csm.db'}" if on_sqlite else request.getfixturevalue("postgres").database()
    made = await Store.open(url)
    await fill(made)
    yield made
    await made.aclose()


async def test_what_is_young_stays(store: Store) -> None:
    assert await prune(store, KEEP, STARTED + 29 * DAY) == Pruned()
    assert (await store.results("r-1"))["node-1"].findings[0].evidence == ("Failed: [rule_open]",)


async def test_evidence_goes_first_and_the_verdict_stays(store: Store) -> None:
    now = STARTED + 31 * DAY
    assert await prunable(store, KEEP, now) == Pruned(evidence=2)
    assert await prune(store, KEEP, now) == Pruned(evidence=2)
    record = await store.run("r-1")

    assert record is not None
    assert record.report is not None
    for result in (record.report.agents[0], (await store.results("r-1"))["node-1"]):
        assert result.findings[0].evidence == ()
        assert (result.verdict, result.reason, result.findings[0].code) == (
            "fail",
            "rule_open failed",
            "selftest.rule_failed",
        )
    assert await prune(store, KEEP, now) == Pruned()


async def test_the_document_and_tables_of_a_tc_check_are_evidence(store: Store) -> None:
    """Also where a result has no finding, and so no line of evidence."""
    passing = judged(Node().evidence()).model_copy(update={"findings": (), "agent": "node-1"})
    record = await store.run("r-1")
    assert record is not None
    await store.keep_result(record.request, passing, STARTED)
    assert (await store.results("r-1"))["node-1"].document

    await prune(store, KEEP, STARTED + 31 * DAY)

    kept = (await store.results("r-1"))["node-1"]
    assert (kept.document, kept.tables, kept.verdict) == ("", (), passing.verdict)


async def test_a_run_goes_with_everything_that_is_its_own_the_engines_records_too(store: Store) -> None:
    forgotten: list[str] = []

    async def forget(runs: list[str]) -> None:
        forgotten.extend(runs)

    assert await prune(store, KEEP, STARTED + 91 * DAY, forget=forget) == Pruned(runs=1)
    assert forgotten == ["r-1"]
    assert await store.run("r-1") is None
    for table in PER_RUN:
        assert await store.read(lambda c, t=table: c.scalar(sa.select(sa.func.count()).where(t.c.run == "r-1"))) == 0


async def test_a_run_that_has_not_ended_stays_however_old(store: Store) -> None:
    await prune(store, KEEP, STARTED + 10_000 * DAY)
    assert [request.id for request in await store.unfinished()] == ["r-2"]


async def test_nothing_is_forgotten_where_everything_is_kept(store: Store) -> None:
    assert await prune(store, Keep(runs=None, evidence=None), STARTED + 10_000 * DAY) == Pruned()


async def test_many_are_forgotten_in_small_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    await store.update_run("r-2", state="done", finished_at=STARTED + 301)
    assert await prune(store, KEEP, STARTED + 91 * DAY) == Pruned(runs=2)


def test_every_table_with_rows_of_a_run_is_pruned_with_it() -> None:
    of_a_run = {table.name for table in metadata.tables.values() if "run" in table.c}
    assert of_a_run - {"csm_audit"} == {table.name for table in PER_RUN}


async def test_commands_are_accepted_while_old_evidence_is_looked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    find = retention._to_bare

    def slow(connection: sa.Connection, before: float) -> Sequence[sa.Update]:
        begun.set()
        assert go_on.wait(30)
        return find(connection, before)

    monkeypatch.setattr(retention, "_to_bare", slow)
    pruning = asyncio.create_task(prune(store, KEEP, STARTED + 31 * DAY))
    assert await asyncio.to_thread(begun.wait, 30)
    await store.update_run("r-2", permalink="https://example.com/somebody-waits")
    go_on.set()

    assert await pruning == Pruned(evidence=2)


async def test_each_run_is_forgotten_in_a_transaction_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.update_run("r-2", state="done", finished_at=STARTED + 301)
    left: list[int] = []
    write = store.write

    async def counted(work: Callable[[sa.Connection], Any]) -> Any:
        done = await write(work)
        left.append(await store.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(runs)) or 0))
        return done

    before = await store.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(runs)) or 0)
    monkeypatch.setattr(store, "write", counted)
    await prune(store, KEEP, STARTED + 91 * DAY)

    assert left == [before - 1, before - 2]
