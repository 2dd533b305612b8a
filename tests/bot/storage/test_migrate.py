"""Every earlier schema comes to be the present one with what it held; none goes backwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.storage import migrate
from bot.storage.migrate import STEPS, VERSION, statements, version_of
from bot.storage.schema import metadata, schema_version
from bot.storage.store import Store, make_engine
from handlers.errors import ConfigurationError
from handlers.model import Verdict
from tests.postgres import Postgres

WRITTEN = Path(__file__).parent / "schemas"
"""What a csm of each schema wrote: `<schema>.<database>.sql`, the tables and some rows. Never changed once released."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'csm.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = make_engine(url)
    yield made
    made.dispose()


def shape(engine: sa.Engine, tables: list[str]) -> dict[str, object]:
    """Columns, keys and indexes, as the database itself tells them."""
    look = sa.inspect(engine)
    return {
        table: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in look.get_columns(table)},
            look.get_pk_constraint(table)["constrained_columns"],
            sorted((i["name"] or "", i["column_names"], bool(i["unique"])) for i in look.get_indexes(table)),
            sorted(tuple(u["column_names"]) for u in look.get_unique_constraints(table)),
        )
        for table in tables
    }


def write(engine: sa.Engine, schema: int) -> None:
    """Make the database one that a csm of an earlier schema has used."""
    text = _written(schema, engine.dialect.name)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.driver_connection.executescript(text)
        else:
            connection.connection.cursor().execute(text)


def _written(schema: int, dialect: str) -> str:
    file = WRITTEN / f"{schema}.{dialect}.sql"
    return (file if file.exists() else WRITTEN / f"{schema}.sql").read_text()


def test_the_steps_lead_to_the_tables_that_the_code_declares(engine: sa.Engine, url: str, tmp_path: Path) -> None:
    migrate.migrate(engine)
    declared = make_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    if url.startswith("postgresql"):
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE SCHEMA declared")
        declared = make_engine(f"{url}?options=-csearch_path%3Ddeclared")
    metadata.create_all(declared)
    tables = sorted(metadata.tables)

    assert shape(engine, tables) == shape(declared, tables)
    declared.dispose()


def test_a_second_start_has_nothing_to_do(engine: sa.Engine) -> None:
    assert migrate.migrate(engine) == VERSION
    assert migrate.migrate(engine) == 0


@pytest.mark.parametrize("schema", range(1, VERSION + 1))
async def test_a_database_of_an_earlier_schema_is_brought_up_to_date_with_all_it_held(
    engine: sa.Engine, url: str, schema: int
) -> None:
    write(engine, schema)
    store = await Store.open(url)
    record = await store.run("r-1")
    results = await store.results("r-1")
    opening = await store.post("r-1", "opening")
    unfinished = await store.unfinished()
    await store.aclose()

    with engine.connect() as connection:
        assert version_of(connection) == VERSION
    assert record is not None
    assert (record.state, record.verdict, record.request.requested_by) == ("done", "fail", "U1")
    assert record.report is not None
    assert results["node-1"].verdict is Verdict.FAIL
    assert opening is not None
    assert opening.ts == "1764000000.000100"
    assert [request.id for request in unfinished] == ["r-2"]


@pytest.mark.parametrize("schema", range(1, VERSION + 1))
def test_an_earlier_schema_ends_up_with_the_same_tables_as_a_new_database(
    engine: sa.Engine, schema: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write(engine, schema)
    migrate.migrate(engine)
    new = make_engine(
        f"sqlite:///{tmp_path / 'new.db'}"
        if engine.dialect.name == "sqlite"
        else request.getfixturevalue("postgres").database()
    )
    migrate.migrate(new)
    tables = sorted(metadata.tables)

    assert shape(engine, tables) == shape(new, tables)
    new.dispose()


@pytest.mark.parametrize("schema", range(1, VERSION))
def test_a_csm_of_an_earlier_schema_that_is_still_running_can_go_on_writing(
    engine: sa.Engine, schema: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Replicas of both are at work while an upgrade rolls: what the older one inserts, column by column, is still taken."""
    write(engine, schema)
    earlier = sa.MetaData()
    earlier.reflect(engine)
    new = make_engine(
        f"sqlite:///{tmp_path / 'new.db'}"
        if engine.dialect.name == "sqlite"
        else request.getfixturevalue("postgres").database()
    )
    migrate.migrate(new)
    written = 0
    with engine.connect() as theirs, new.begin() as ours:
        for table in earlier.sorted_tables:
            rows = [dict(row._mapping) for row in theirs.execute(sa.select(table))]
            if table.name != schema_version.name and rows:
                ours.execute(sa.insert(table), rows)
                written += len(rows)
    new.dispose()
    assert written >= 3


def test_every_schema_before_this_one_is_tested() -> None:
    assert {int(file.name.split(".")[0]) for file in WRITTEN.iterdir()} == set(range(1, VERSION + 1))
    assert [int(step.split("_")[0]) for step in STEPS] == list(range(1, VERSION + 1))


def test_a_step_that_fails_leaves_no_trace_and_is_done_by_the_next_start(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(step: str, dialect: str) -> Iterator[str]:
        yield from statements(step, dialect)
        yield "CREATE TABLE csm_runs (id INTEGER)"

    with monkeypatch.context() as patched:
        patched.setattr(migrate, "statements", broken)
        with pytest.raises(Exception, match="csm_runs"):
            migrate.migrate(engine)
    assert not sa.inspect(engine).get_table_names()
    assert migrate.migrate(engine) == VERSION


def test_a_newer_database_is_refused_and_left_alone(engine: sa.Engine) -> None:
    migrate.migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(schema_version).values(version=VERSION + 1))
        connection.execute(sa.text("DROP TABLE csm_posts"))

    with pytest.raises(ConfigurationError, match="newer csm"):
        migrate.migrate(engine)
    assert not sa.inspect(engine).has_table("csm_posts")


async def test_processes_that_start_together_take_turns(engine: sa.Engine, url: str) -> None:
    engines = [make_engine(url) for _ in range(4)]
    done = await asyncio.gather(*(asyncio.to_thread(migrate.migrate, each) for each in engines))
    for each in engines:
        each.dispose()

    assert sum(done) == VERSION
