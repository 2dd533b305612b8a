"""
Builds an image for stand-in Agents from this machine's Python. It needs no network and no base image.

The Docker engine of the tests uses the same stand-in, with more programs and modules.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from bot.sandbox.stand_ins import AGENT, FLARE

EMBEDDED = "opt/datadog-agent/embedded/bin/python3"
EXTENSIONS = {
    "_struct", "_posixsubprocess", "select", "math", "_random", "_json", "_bisect", "_datetime", "zlib", "binascii", "array", "fcntl", "grp",
    "resource", "termios", "_heapq", "_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_blake2", "_opcode", "unicodedata",
}  # fmt: skip
LEFT_OUT = {
    "test", "idlelib", "tkinter", "site-packages", "dist-packages", "__pycache__", "ensurepip", "lib2to3", "pydoc_data",
    "distutils", "unittest", "turtledemo", "lib-dynload", "asyncio", "email", "multiprocessing", "xml", "xmlrpc", "wsgiref", "curses", "dbm", "sqlite3",
}  # fmt: skip
ENV = """#!{python}
import os, sys
line = sys.argv[1:]
while line and "=" in line[0]:
    name, _, value = line.pop(0).partition("=")
    os.environ[name] = value
try:
    os.execvp(line[0], line)
except OSError as error:
    sys.stderr.write("env: %s: %s\\n" % (line[0], error.strerror))
    sys.exit(127)
"""


def root_file_system(
    more: Callable[[tarfile.TarFile], None] = lambda _: None, *, extensions: Collection[str] = ()
) -> bytes:
    """
    Return a tar with Python at the path of the Agent's own, and the stand-in as the Agent's programs.

    `more` adds files (Docker accepts no path twice). `extensions` names further C modules of Python.
    """
    interpreter = Path(os.path.realpath(sys.executable))
    standard = Path(sysconfig.get_path("stdlib"))
    wanted = EXTENSIONS.union(extensions)
    modules = [each for each in (standard / "lib-dynload").glob("*.so") if each.name.split(".")[0] in wanted]

    def fill(tar: tarfile.TarFile) -> None:
        add_programs(tar, [interpreter, *modules])
        tar.add(standard, str(standard).lstrip("/"), filter=_small)
        for name in (EMBEDDED, "usr/bin/python3"):
            link(tar, name, str(interpreter))
        tar.add(AGENT, "usr/bin/agent")
        tar.add(FLARE, f"usr/bin/{FLARE.name}")
        for name in ("usr/bin/security-agent", "usr/bin/system-probe"):
            link(tar, name, "agent")
        _write(tar, "usr/bin/env", ENV.format(python=interpreter).encode(), mode=0o755)
        more(tar)

    return file_system(fill)


def file_system(fill: Callable[[tarfile.TarFile], None]) -> bytes:
    """Return a tar with the folders that every container needs, and what `fill` adds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("tmp", "proc", "dev", "sys", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        fill(tar)
    return buffer.getvalue()


def behaviour_file(behaviour: str) -> bytes:
    """Return a tar for a container's /etc that sets the stand-in's `Behaviour`, given as JSON."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _write(tar, "stand-in-agent.json", behaviour.encode())
    return buffer.getvalue()


def add_programs(tar: tarfile.TarFile, binaries: Sequence[Path]) -> None:
    """Add programs of this machine and the shared libraries that they are linked with."""
    there = set(tar.getnames())
    for path in _with_libraries(binaries):
        if str(path).lstrip("/") not in there:
            tar.add(os.path.realpath(path), str(path).lstrip("/"))


def link(tar: tarfile.TarFile, name: str, target: str) -> None:
    """Add a symbolic link."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _write(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _with_libraries(binaries: Sequence[Path]) -> Iterable[Path]:
    """These programs, and the shared libraries that they are linked with."""
    found = dict.fromkeys(binaries)
    for binary in binaries:
        said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
        paths = (next((word for word in line.split() if word.startswith("/")), None) for line in said.splitlines())
        found |= dict.fromkeys(Path(path) for path in paths if path)
    return found


def _small(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = set(entry.name.split("/"))
    return None if LEFT_OUT & parts or any(part.startswith("config-3") for part in parts) else entry
