"""The running bot forgets by itself, and what it forgets is forgotten by the durable engine too."""

from __future__ import annotations

import asyncio
import sqlite3

import yaml

from bot.sandbox.driver import Driver
from bot.sandbox.world import World


def rows(sandbox: World, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(sandbox.folder / "csm.db") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


async def until(sandbox: World, query: str, expected: list[tuple[object, ...]]) -> None:
    async with asyncio.timeout(20):
        while rows(sandbox, query) != expected:
            await asyncio.sleep(0.05)


async def started_with(sandbox: World, **retention: str) -> None:
    config = sandbox.folder / "csm.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"retention": retention}))
    await sandbox.bot.start()


async def test_a_bot_forgets_old_runs_when_it_starts_and_starts_new_ones(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a/node-1")
    await ana.finished()
    await until(sandbox, "SELECT state FROM csm_runs", [("done",)])
    assert rows(sandbox, "SELECT count(*) FROM workflow_status") == [(1,)]
    await sandbox.bot.stop()
    await started_with(sandbox, runs="0s")

    await until(sandbox, "SELECT count(*) FROM csm_runs", [(0,)])
    for table in ("workflow_status", "operation_outputs", "csm_posts", "csm_results"):
        assert rows(sandbox, f"SELECT count(*) FROM {table}") == [(0,)]
    await ana.type("/csm selftest cluster-a/node-1")
    await ana.finished(number=1)


async def test_files_are_deleted_from_slack_in_time_and_those_that_are_gone_are_no_error(
    sandbox: World, ana: Driver
) -> None:
    await ana.type("/csm selftest cluster-a/node-1")
    await ana.finished()
    await until(sandbox, "SELECT state FROM csm_runs", [("done",)])
    files = sandbox.slack.workspace.files
    first, *others = list(files)
    assert others
    await sandbox.bot.stop()
    del files[first]
    await started_with(sandbox, files="0s")

    await until(sandbox, "SELECT extra FROM csm_posts WHERE key = 'files'", [("",)])
    assert [file for file in others if file in files and not files[file].get("deleted")] == []
    assert rows(sandbox, "SELECT count(*) FROM csm_runs") == [(1,)]
    assert rows(sandbox, "SELECT count(*) FROM csm_audit WHERE entry LIKE '%files.removed%'") == [(1,)]


async def test_a_file_that_slack_refuses_to_delete_is_on_the_record_and_holds_nothing_up(
    sandbox: World, ana: Driver
) -> None:
    await ana.type("/csm selftest cluster-a/node-1")
    await ana.finished()
    await until(sandbox, "SELECT state FROM csm_runs", [("done",)])
    files = sandbox.slack.workspace.files
    first, *others = list(files)
    await sandbox.bot.stop()
    files[first]["user"] = "U0SANDANA"
    await started_with(sandbox, files="0s")

    await until(sandbox, "SELECT extra FROM csm_posts WHERE key = 'files'", [("",)])
    await until(sandbox, "SELECT count(*) FROM csm_audit WHERE entry LIKE '%files.not_removed%'", [(1,)])
    assert list(files) == [first]
    assert others
