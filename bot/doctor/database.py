"""Checks the database: it is reachable, this version of csm knows its schema, and csm may write to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from bot.doctor.check_result import Check, failed, passed, warned
from bot.storage import store
from bot.storage.migrate import VERSION, version_of
from bot.storage.schema import runs
from bot.storage.store import make_engine

NAME = "database"


def look(database_url: str) -> Iterator[Check]:
    """Check the database without changing it: nothing is created, nothing is migrated. Blocks."""
    url = sa.make_url(database_url)
    shown = url.render_as_string(hide_password=True)
    if not store.exists(database_url):
        yield _new_file(Path(url.database or "").resolve().parent, shown)
        return
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            found = version_of(connection)
    except sa.exc.SQLAlchemyError as error:
        mend = "Start the database, or correct `database_url`."
        yield failed(NAME, f"{shown} cannot be used: {_reason(error)}", mend)
        return
    else:
        yield _schema(found, shown)
        if found <= VERSION and (refused := _refused(engine)):
            mend = "Let csm's account create tables, and schemas, in that database, and write to it; it must be no read-only copy."
            yield failed(f"{NAME}.rights", f"{shown} cannot be written: {refused}", mend)
    finally:
        engine.dispose()


def _refused(engine: sa.Engine) -> str:
    """Return why it is not writable, or an empty string. Tries a write, and rolls it back before others see it."""
    with engine.connect() as connection:
        try:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif not sa.inspect(connection).has_schema("dbos"):  # DBOS's schema
                connection.execute(sa.schema.CreateSchema("dbos"))
            connection.exec_driver_sql("CREATE TABLE csm_doctor (tried INTEGER)")
            if sa.inspect(connection).has_table(runs.name):
                connection.execute(sa.delete(runs).where(sa.false()))
        except sa.exc.SQLAlchemyError as error:
            return _reason(error)
        finally:
            connection.rollback()
    return ""


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip()


def exists(database_url: str) -> bool:
    """Whether the tables exist, in the schema version of this csm. Blocks."""
    if not store.exists(database_url):
        return False
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            return version_of(connection) == VERSION
    finally:
        engine.dispose()


def _new_file(folder: Path, shown: str) -> Check:
    if os.access(folder, os.W_OK | os.X_OK):
        return passed(NAME, f"{shown} does not exist yet; the first start makes it.")
    return failed(
        NAME, f"{shown} cannot be made: {folder} may not be written.", f"Let csm's account write to {folder}."
    )


def _schema(found: int, shown: str) -> Check:
    if found == VERSION:
        return passed(NAME, f"{shown} is reachable, and of schema {found}.")
    if found > VERSION:
        said = f"{shown} has schema {found}, and this csm knows {VERSION}: a newer csm has used it."
        return failed(NAME, said, "Run the newer csm, or restore the backup from before the upgrade (docs/backup.md).")
    if found == 0:
        return passed(NAME, f"{shown} is reachable and empty; the first start makes the tables.")
    said = f"{shown} has schema {found}; the next start brings it to {VERSION}, and an older csm will refuse it then."
    return warned(NAME, said, "Take a backup before (docs/backup.md).")
