"""A PostgreSQL of the tests' own: Debian's server, as a non-root user, on a free loopback port, empty databases on demand."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.programs import POSTGRES, need

PROGRAMS = POSTGRES
"""Where the server's programs are."""

USER = "csm"
SETTINGS = ("fsync=off", "synchronous_commit=off", "max_connections=200", "listen_addresses=127.0.0.1")


class Postgres:
    """A running server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        """As `database_url` of the configuration takes it."""
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{database}"

    def database(self) -> str:
        """A new, empty database; its URL."""
        name = f"csm_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def copy(self, url: str) -> str:
        """A new database with everything that is in another one, to which nobody is connected; its URL."""
        name = f"csm_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {url.rsplit('/', 1)[1]}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Start it, and leave nothing of it behind."""
    need("postgres")
    folder = Path(tempfile.mkdtemp(prefix="csm-postgres-"))
    # The server refuses to run as root.
    who = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(folder, who.pw_uid, who.pw_gid)
    initdb = [
        PROGRAMS / "initdb",
        "-D",
        folder / "data",
        "-U",
        USER,
        "--auth=trust",
        "--no-sync",
        "-E",
        "UTF8",
        "--no-locale",
    ]
    subprocess.run(
        initdb, check=True, capture_output=True, cwd=folder, user=who.pw_uid, group=who.pw_gid, extra_groups=[]
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [word for setting in SETTINGS for word in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder, *options],
            stdout=log, stderr=log, cwd=folder, user=who.pw_uid, group=who.pw_gid, extra_groups=[],
        )  # fmt: skip
    try:
        made = Postgres(port)
        _wait(made, server, folder / "log")
        yield made
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.send_signal(3)  # SIGQUIT: at once, whoever is connected
            server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(made: Postgres, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(made.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            assert server.poll() is None, log.read_text("utf-8", "replace")
            if time.monotonic() > give_up:
                raise TimeoutError(log.read_text("utf-8", "replace")) from error
            time.sleep(0.05)
        else:
            return
