"""
What a sandbox puts on this machine, and how the next one takes away what one that was killed could not.

Folders, containers and images carry a name that says whose they are: the process by its PID namespace, its id and the
time of its start, and something random. Processes carry it in their environment. Only what certainly belongs to
a process that is no more is taken away; what has another name, or comes from where this process cannot see, is not.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import tempfile
from pathlib import Path

VARIABLE = "CSM_SANDBOX"
"""In the environment of every process that a sandbox starts: the name of the folder that it belongs to."""
_NAME = re.compile(r"(\d+)-(\d+)-(\d+)-[0-9a-f]+")
_PROC = Path("/proc")


def new_name() -> str:
    """A name for something that is this process's as long as it lives."""
    return f"{_namespace()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"


def is_left_behind(name: str) -> bool:
    """Whether it is such a name, and the process that it says is certainly no more."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] != _namespace():
        return False
    try:
        os.kill(int(found[2]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _started(int(found[2])) != found[3]


def new_folder(kind: str, within: str | None = None) -> Path:
    """Make a folder, and remove those of its kind that were left behind."""
    place = Path(within or tempfile.gettempdir())
    for old in place.glob(f"csm-{kind}-*"):
        if old.lstat().st_uid == os.getuid() and is_left_behind(name_of(old)):
            remove_folder(old)
    folder = place / f"csm-{kind}-{new_name()}"
    folder.mkdir(mode=0o700)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder, and end the processes that belong to it."""
    end_processes(name_of(folder))
    shutil.rmtree(folder, ignore_errors=True)


def name_of(folder: Path) -> str:
    """The name that a folder carries."""
    return folder.name.split("-", 2)[2]


def end_processes(name: str) -> None:
    """SIGKILL whatever carries the name: a command of a bot that was killed hangs on without anybody to end it."""
    mark = f"{VARIABLE}={name}".encode()
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def _namespace() -> str:
    """Where process ids mean what they mean here; `0` where a machine has but one such place."""
    with contextlib.suppress(OSError):
        return str((_PROC / "self" / "ns" / "pid").stat().st_ino)
    return "0"


def _started(process: int) -> str:
    """When it started, in ticks since the machine did; empty when it has ended, `0` where that cannot be asked."""
    with contextlib.suppress(OSError):
        # The name before it, in brackets, may hold anything.
        state, *fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        return "" if state in {"Z", "X"} else fields[18]
    return "0"
