"""Pruning: the running bot prunes its database and files every hour, `csm prune` prunes once."""

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
"""Deletes one of csm's files from Slack, by its id. False when Slack refuses for good."""


def kept(retention: Retention) -> Keep:
    """Convert the configured retention to the storage's `Keep`."""
    return Keep(runs=retention.runs, evidence=retention.evidence, files=retention.files)


@contextlib.asynccontextmanager
async def pruning_loop(store: Store, keep: Keep, remove_file: RemoveFile) -> AsyncIterator[None]:
    """Run the pruning loop (`prune_periodically`) while the block runs."""
    task = asyncio.create_task(prune_periodically(store, keep, remove_file), name="keep house")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def prune_periodically(store: Store, keep: Keep, remove_file: RemoveFile, *, every_s: float = EVERY_S) -> None:
    """Prune every `every_s`, until cancelled. A failure is logged, blocks no other work, and is retried next time."""
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
    """Log the audit's newest hash, outside the database: `csm audit verify --head` detects a cut-off tail with it."""
    number, newest = await store.read(head)
    log.info("audit.head", head=f"{number}:{newest}")


async def remove_files(store: Store, keep: Keep, remove_file: RemoveFile) -> None:
    """
    Delete files from Slack that are older than `keep.files`. Safe to repeat: a file that is gone counts as deleted.

    A file that Slack refuses to delete is recorded in the audit and not tried again, so that it does not block all
    others for ever.
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
    """Prune the database once, including the durable engine's records."""
    pruned = await prune(store, keep, time.time(), forget=lambda runs: asyncio.to_thread(_forget, store.engine, runs))
    if pruned != Pruned():
        await store.note(Entry("storage.pruned", "csm", detail=f"{pruned.runs} runs, evidence of {pruned.evidence}"))
    return pruned


def _forget(engine: sa.Engine, runs: list[str]) -> None:
    # Runs of the terminal use no engine, so its tables may not exist.
    schema = None if engine.dialect.name == "sqlite" else "dbos"
    if sa.inspect(engine).has_table("workflow_status", schema=schema):
        client = DBOSClient(system_database_engine=engine)
        client.delete_workflows(runs)
        client.destroy()
