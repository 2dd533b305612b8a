"""
No archive is uploaded without exactly one recorded approval, by an allowed person, for its hash.

Schedules of clicks, double clicks, strangers, expiry, edited archives, cut connections, kills, restarts, two processes
and slow Agents, against the real engine and database. A few in `make test`, thousands in `make prove`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.approvals.harness import ANA, KIM, SAM, World
from tests.approvals.schedules import Do, play, steps
from tests.postgres import Postgres

SCHEDULES = int(os.environ.get("CSM_TESTS_SCHEDULES", "25"))
proven = settings(
    max_examples=SCHEDULES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def on(url: str, schedule: Sequence[Do]) -> None:
    made = World(url)
    await made.start()
    await made.start_other()
    try:
        await play(made, schedule)
    finally:
        await made.aclose()


@proven
@given(schedule=steps)
@pytest.mark.timeout(60 + 2 * SCHEDULES)
def test_no_archive_leaves_without_an_approval_on_sqlite(schedule: Sequence[Do]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="csm-schedule-"))
    try:
        asyncio.run(on(f"sqlite:///{folder / 'csm.db'}", schedule))
    finally:
        shutil.rmtree(folder)


@pytest.mark.needs_postgres
@proven
@given(schedule=steps)
@pytest.mark.timeout(60 + 4 * SCHEDULES)
def test_no_archive_leaves_without_an_approval_on_postgresql(postgres: Postgres, schedule: Sequence[Do]) -> None:
    asyncio.run(on(postgres.database(), schedule))


@pytest.mark.parametrize(
    "schedule",
    [
        (Do("shown"), Do("twice"), Do("kill"), Do("kill"), Do("approve")),
        (
            Do("shown"),
            Do("slow_upload"),
            Do("approve", pause=5),
            Do("kill"),
            Do("kill", pause=20),
            Do("again", who=ANA),
        ),
        (Do("shown"), Do("slow_hash"), Do("approve", pause=5), Do("edit"), Do("wait")),
        (Do("shown"), Do("approve", there=True), Do("cancel"), Do("stop"), Do("stop")),
        (Do("shown"), Do("both", who=KIM), Do("cut"), Do("expire")),
        (Do("slow_build"), Do("kill", pause=5), Do("kill"), Do("shown"), Do("approve", who=SAM)),
    ],
)
async def test_schedules_that_somebody_thought_of(tmp_path: Path, schedule: Sequence[Do]) -> None:
    await on(f"sqlite:///{tmp_path / 'csm.db'}", schedule)
