"""Common parts of commands through sudo, on this host and over SSH."""

from __future__ import annotations

SUDO = ("sudo", "-n")
"""Never asks for a password: sudo runs the command, or reports why not."""

_WARNING = "sudo: unable to resolve host"
"""A warning after which sudo runs the command all the same."""


def sudo_spoke(stderr: str) -> bool:
    """
    Whether sudo refused to run the command, by the last line of stderr. A command that did run prints after sudo's
    warnings, and over SSH the server may print before sudo.
    """
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith(_WARNING)]
    return bool(lines) and lines[-1].startswith(("sudo: ", "Sorry, user "))
