"""The database: there, of a schema that this csm knows, and of one that it can write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from bot.doctor.check import Check, failed, passed, warned
from bot.storage.migrate import VERSION, version_of
from bot.storage.store import make_engine

NAME = "database"


def look(database_url: str) -> Iterator[Check]:
    """Look without changing anything: nothing is made, nothing is brought up to date. Blocks."""
    url = sa.make_url(database_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not (file := Path(url.database or "")).exists():
        yield _new_file(file.resolve().parent, shown)
        return
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            yield _schema(version_of(connection), shown)
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        mend = "Start the database, or correct `database_url`; the account needs to create tables and schemas."
        yield failed(NAME, f"{shown} cannot be used: {reason}", mend)
    finally:
        engine.dispose()


def exists(database_url: str) -> bool:
    """Whether the tables are there, of this csm's schema. Blocks."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
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
