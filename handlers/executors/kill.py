"""
End a process in a container, by a mark in its environment.

Neither Kubernetes nor Docker can end a process that an exec started: closing the connection leaves it running. So csm
starts each command with a unique mark in its environment, which child processes inherit. A second command, a fixed
program for the Agent's own Python, ends all processes with that mark. It uses no shell, guesses no process name and
leaves nothing on the target.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

VARIABLE = "CSM_EXEC"

PYTHONS = ("/opt/datadog-agent/embedded/bin/python3", "python3")
"""Where a container's Python may be, in the order to try. The first is the Agent's own (datadog.md §0)."""

_PROGRAM = """
import os, signal, sys, time
mark, grace = sys.argv[1].encode(), float(sys.argv[2])
def marked():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as environ:
                if mark in environ.read().split(b"\\0"):
                    yield int(pid)
        except OSError:
            pass
def send(number):
    for pid in marked():
        try:
            os.kill(pid, number)
        except OSError:
            pass
def gone(deadline):
    while any(True for _ in marked()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True
send(signal.SIGTERM)
if not gone(time.monotonic() + grace):
    send(signal.SIGKILL)
    sys.exit(0 if gone(time.monotonic() + 1) else 1)
"""


def new_mark() -> str:
    """A new unique mark, 16 hexadecimal digits."""
    return secrets.token_hex(8)


def kill_argv(python: str, mark: str, grace_s: float) -> tuple[str, ...]:
    """
    The command that ends all processes carrying `mark`; its exit status is 0 when none is left.

    It sends SIGTERM, and kills them after `grace_s`.
    """
    return (python, "-I", "-S", "-c", _PROGRAM, f"{VARIABLE}={mark}", f"{grace_s:g}")


def is_kill(argv: Sequence[str]) -> bool:
    """
    Whether `argv` is itself such a kill command. A kill command is never ended by another one; otherwise csm would go
    on sending them to a target that was cut off.
    """
    return len(argv) == 7 and argv[4] == _PROGRAM
