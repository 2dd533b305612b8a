"""
No archive is uploaded without exactly one recorded approval, by an allowed person, for its hash.

Schedules of clicks, double clicks, strangers, expiry, edited archives, cut connections, kills, restarts, two processes
and slow Agents, against the real engine and database. A few in `make test`, thousands in `make prove`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.approvals.harness import ANA, EVE, KIM, SAM, World
from tests.approvals.schedules import Do, play, steps
from tests.postgres import Postgres

SCHEDULES = int(os.environ.get("CSM_TESTS_SCHEDULES", "15"))
proven = settings(
    max_examples=SCHEDULES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """What a killed process would have logged is not worth the time that it takes to format."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


async def on(url: str, schedule: Sequence[Do], *, history: bool = True) -> None:
    made = World(url)
    made.slack.history = history
    await made.start()
    await made.start_other()
    try:
        await play(made, schedule)
    finally:
        await made.aclose()


async def begin(url: str) -> None:
    """Start once and stop: the tables are there, and each schedule begins with a copy of them."""
    made = World(url)
    await made.start()
    await made.aclose()


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "csm.db"
    asyncio.run(begin(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="module")
def postgresql_template(postgres: Postgres) -> str:
    url = postgres.database()
    asyncio.run(begin(url))
    return url


@proven
@given(schedule=steps, history=st.booleans())
@pytest.mark.timeout(120 + 4 * SCHEDULES)
def test_no_archive_leaves_without_an_approval_on_sqlite(
    sqlite_template: Path, schedule: Sequence[Do], history: bool
) -> None:
    with tempfile.TemporaryDirectory(prefix="csm-schedule-") as folder:
        file = shutil.copy(sqlite_template, folder)
        asyncio.run(on(f"sqlite:///{file}", schedule, history=history))


@pytest.mark.needs("postgres")
@proven
@given(schedule=steps, history=st.booleans())
@pytest.mark.timeout(120 + 4 * SCHEDULES)
def test_no_archive_leaves_without_an_approval_on_postgresql(
    postgres: Postgres, postgresql_template: str, schedule: Sequence[Do], history: bool
) -> None:
    url = postgres.copy(postgresql_template)
    try:
        asyncio.run(on(url, schedule, history=history))
    finally:
        postgres.drop(url)


@pytest.mark.parametrize(
    "schedule",
    [
        (Do("approve", who=ANA),),
        (Do("approve", who=EVE), Do("both", who=EVE)),
        (Do("stale"), Do("approve", who=KIM, there=True), Do("approve")),
        (Do("shown"), Do("expire"), Do("approve", at_once=True)),
        (Do("shown"), Do("edit"), Do("approve")),
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
        (Do("abroad"), Do("ask"), Do("shown"), Do("approve", which=1), Do("mistype"), Do("confirm")),
        (Do("abroad"), Do("ask"), Do("shown"), Do("twice", which=1), Do("confirm", who=EVE), Do("confirm", there=True)),
        (Do("abroad"), Do("ask"), Do("shown"), Do("approve", which=1), Do("kill"), Do("kill"), Do("confirm")),
        (Do("shown"), Do("slow_copy"), Do("approve", pause=5), Do("cancel"), Do("wait")),
        (Do("shown"), Do("slow_copy"), Do("approve", pause=5), Do("kill"), Do("kill")),
        (Do("shown"), Do("slow_copy"), Do("approve", pause=5), Do("edit"), Do("wait")),
        # Found by a generated schedule: on PostgreSQL a run was taken for a new one by whoever went on with it.
        (Do("shown"), Do("approve", who=KIM, pause=5), Do("expire", pause=5), Do("kill"), Do("kill")),
    ],
)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
async def test_schedules_that_somebody_thought_of(
    request: pytest.FixtureRequest, tmp_path: Path, schedule: Sequence[Do], database: str
) -> None:
    here = f"sqlite:///{tmp_path / 'csm.db'}"
    await on(here if database == "sqlite" else request.getfixturevalue("postgres").database(), schedule)
