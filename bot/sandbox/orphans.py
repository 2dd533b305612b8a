"""
Finds and removes orphans: folders, containers, images and processes of a sandbox that was killed.

A sandbox names its folders, containers and images after its process: PID namespace, process id, start time, and a
random part. Its processes have that name in their environment. The next sandbox removes only what certainly belongs
to a process that has ended. It keeps what has another name, or comes from a PID namespace that it cannot see.
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
"""The variable, set for every process that a sandbox starts, that holds the name of the process's folder."""
_NAME = re.compile(r"(\d+)-(\d+)-(\d+)-[0-9a-f]+")
_PROC = Path("/proc")


def new_name() -> str:
    """Return a name that is valid as long as this process runs."""
    return f"{_namespace()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"


def is_left_behind(name: str) -> bool:
    """Whether the name was made by `new_name`, and its process has certainly ended."""
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
    """Create a folder, and remove orphaned folders of the same kind."""
    place = Path(within or tempfile.gettempdir())
    for old in place.glob(f"csm-{kind}-*"):
        if old.lstat().st_uid == os.getuid() and is_left_behind(name_of(old)):
            remove_folder(old)
    folder = place / f"csm-{kind}-{new_name()}"
    folder.mkdir(mode=0o700)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder, and kill the processes that belong to it."""
    end_processes(name_of(folder))
    shutil.rmtree(folder, ignore_errors=True)


def name_of(folder: Path) -> str:
    """The name in a folder's name."""
    return folder.name.split("-", 2)[2]


def end_processes(name: str) -> None:
    """
    Kill (SIGKILL) all processes with the name in their environment.

    Commands of a bot that was killed would otherwise keep running.
    """
    mark = f"{VARIABLE}={name}".encode()
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def _namespace() -> str:
    """
    The id of this process's PID namespace, within which process ids are comparable; `0` where the system has none.
    """
    with contextlib.suppress(OSError):
        return str((_PROC / "self" / "ns" / "pid").stat().st_ino)
    return "0"


def _started(process: int) -> str:
    """The start time of a process, in clock ticks since boot; empty when it has ended, `0` when it is unknown."""
    with contextlib.suppress(OSError):
        # The process's name, in brackets before these fields, can contain any character.
        state, *fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        return "" if state in {"Z", "X"} else fields[18]
    return "0"
