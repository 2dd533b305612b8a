"""Forgetting in time: the running bot prunes its database every hour, `csm prune` does it once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import sqlalchemy as sa
import structlog
from dbos import DBOSClient

from bot.config.settings import Retention
from bot.storage.audit import Entry, head
from bot.storage.retention import SHARED, Keep, Pruned, old_files, prune
from bot.storage.store import Store

log = structlog.get_logger(__name__)

EVERY_S = 3600.0

RemoveFile = Callable[[str], Awaitable[bool]]
"""Removes a file of csm's from Slack, by its id. False when Slack will not, however often it is asked."""


def kept(retention: Retention) -> Keep:
    """The configuration's retention, as the storage reads it."""
    return Keep(runs=retention.runs, evidence=retention.evidence, files=retention.files)


@contextlib.asynccontextmanager
async def keeping_house(store: Store, keep: Keep, remove_file: RemoveFile) -> AsyncIterator[None]:
    """Keep house while the block runs."""
    task = asyncio.create_task(keep_house(store, keep, remove_file), name="keep house")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def keep_house(store: Store, keep: Keep, remove_file: RemoveFile, *, every_s: float = EVERY_S) -> None:
    """Forget now and then, until cancelled. A failure is logged, holds nothing else up, and the next turn tries again."""
    works = (partial(remove_files, store, keep, remove_file), partial(_pruned, store, keep), partial(_tell_head, store))
    while True:
        for work in works:
            try:
                await work()
            except Exception:
                log.exception("storage.not_pruned")
        await asyncio.sleep(every_s)


async def _pruned(store: Store, keep: Keep) -> None:
    pruned = await tidy(store, keep)
    if pruned != Pruned():
        log.info("storage.pruned", runs=pruned.runs, evidence=pruned.evidence)


async def _tell_head(store: Store) -> None:
    """Kept elsewhere than the database: `csm audit verify --head` shows with it that no end was cut off."""
    number, newest = await store.read(head)
    log.info("audit.head", head=f"{number}:{newest}")


async def remove_files(store: Store, keep: Keep, remove_file: RemoveFile) -> None:
    """
    Remove from Slack what was put there too long ago. Safe to repeat: a file that is gone counts as removed.

    What Slack refuses to remove is given up, and on the record, so that it does not stand before all others for ever.
    """
    while found := await old_files(store, keep, time.time()):
        for run, key, ids in found:
            refused = [file for file in ids if not await remove_file(file)]
            await store.sent(run, key, channel="", ts=SHARED)
            if removed := [file for file in ids if file not in refused]:
                await store.note(Entry("files.removed", "csm", run=run, detail=", ".join(removed)))
            if refused:
                log.warning("files.not_removed", run=run, files=refused)
                await store.note(Entry("files.not_removed", "csm", run=run, detail=", ".join(refused)))


async def tidy(store: Store, keep: Keep) -> Pruned:
    """Prune once, the durable engine's records included."""
    pruned = await prune(store, keep, time.time(), forget=lambda runs: asyncio.to_thread(_forget, store.engine, runs))
    if pruned != Pruned():
        await store.note(Entry("storage.pruned", "csm", detail=f"{pruned.runs} runs, evidence of {pruned.evidence}"))
    return pruned


def _forget(engine: sa.Engine, runs: list[str]) -> None:
    # The terminal's runs need no engine: its tables may never have been made.
    schema = None if engine.dialect.name == "sqlite" else "dbos"
    if sa.inspect(engine).has_table("workflow_status", schema=schema):
        client = DBOSClient(system_database_engine=engine)
        client.delete_workflows(runs)
        client.destroy()
