"""Allows one bot per SQLite file. A second bot would treat the first one's runs as abandoned and resume them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from handlers.errors import ConfigurationError


@contextlib.contextmanager
def hold_instance_lock(database_url: str) -> Iterator[None]:
    """
    Hold the instance lock of this database while the block runs. On PostgreSQL, which several bots may share, no-op.

    The lock is an `flock` on the file `<database>.lock` beside the database. It is released when the process ends,
    however that ends. Terminal commands do not take it: they never resume runs.

    Raises `ConfigurationError` when another bot holds the lock.
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
