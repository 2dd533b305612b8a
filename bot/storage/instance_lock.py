"""One bot to a SQLite file: a second one would take the first one's runs for left behind, and go on with them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from handlers.errors import ConfigurationError


@contextlib.contextmanager
def sole(database_url: str) -> Iterator[None]:
    """
    Be the only bot of this database while the block runs; on PostgreSQL there may be many.

    The lock is a file beside the database, and ends with the process however that ends. Commands in a terminal need
    none: they go on with nobody's runs. Raises `ConfigurationError` when there is another bot.
    """
    url = sa.make_url(database_url)
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        yield
        return
    path = Path(f"{url.database}.lock")
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigurationError([_taken(url, file.read(20).strip())], source="database_url") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _taken(url: sa.URL, pid: str) -> str:
    return (
        f"{url.render_as_string()} belongs to a csm that is running{f' as process {pid}' if pid else ''}; stop that one "
        "first. Several need PostgreSQL."
    )
