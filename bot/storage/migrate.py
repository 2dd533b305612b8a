"""
Schema migrations, applied at start: each step in its own transaction, under a lock, never backwards.

A step is an SQL file. One that both databases accept is `migrations/<name>.sql`; where they differ, each has its own,
`migrations/<name>.sqlite.sql` and `migrations/<name>.postgresql.sql`. The transaction that applies a step also records
its number in `csm_schema`, so a start that was killed continues with the first missing step.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import sqlalchemy as sa

from bot.storage.schema import schema_version
from handlers.errors import ConfigurationError

STEPS = (
    "0001_runs",
    "0002_audit",
    "0003_flares",
)
"""In order, without gaps: step n leads to schema n. Append only; never change or remove a released step."""

VERSION = len(STEPS)
"""The schema version that this csm knows. A database with a newer one is refused and never changed."""

LOCK = 0x63736D
"""Key of the PostgreSQL advisory lock for migrations: replicas that start together migrate one at a time."""


def migrate(engine: sa.Engine) -> int:
    """
    Apply the missing steps. Returns how many were applied.

    Raises `ConfigurationError` when a newer csm has used the database, and SQLAlchemy's errors when it cannot be used.
    """
    done = 0
    while _advance(engine):
        done += 1
    return done


def version_of(connection: sa.Connection) -> int:
    """The schema version of a database; 0 when it has none."""
    if not sa.inspect(connection).has_table(schema_version.name):
        return 0
    return connection.scalar(sa.select(sa.func.max(schema_version.c.version))) or 0


def statements(step: str, dialect: str) -> Iterator[str]:
    """The SQL statements of a step. Each ends with a semicolon at the end of a line."""
    folder = resources.files("bot.storage") / "migrations"
    file = folder / f"{step}.{dialect}.sql"
    text = (file if file.is_file() else folder / f"{step}.sql").read_text("utf-8")
    yield from filter(None, (statement.strip() for statement in f"{text}\n".split(";\n")))


def _advance(engine: sa.Engine) -> bool:
    """Apply the next step. False when there is none."""
    with engine.connect() as connection:
        if _next(connection) is None:  # the usual start: nothing to do, so nothing to lock
            return False
    with engine.connect() as connection:
        _lock(connection)
        step = _next(connection)
        if step is not None:
            _carry_out(connection, step)
        connection.commit()
        return step is not None


def _next(connection: sa.Connection) -> int | None:
    found = version_of(connection)
    if found > VERSION:
        raise ConfigurationError(
            [
                f"the database has schema {found}, and this csm knows {VERSION}: it was used by a newer csm. Run that one, or give this one another database."
            ],
            source="database_url",
        )
    return found + 1 if found < VERSION else None


def _lock(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        # Python's sqlite3 does not begin a transaction for DDL by itself.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))


def _carry_out(connection: sa.Connection, step: int) -> None:
    schema_version.create(connection, checkfirst=True)
    cursor = connection.connection.cursor()
    for statement in statements(STEPS[step - 1], connection.dialect.name):
        cursor.execute(statement)
    cursor.close()
    connection.execute(sa.insert(schema_version).values(version=step))
