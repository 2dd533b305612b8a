"""What is common to commands through sudo, on this host and over SSH."""

from __future__ import annotations

SUDO = ("sudo", "-n")
"""Never asks for a password: it runs the command, or says why not."""

_WARNING = "sudo: unable to resolve host"
"""After which it runs the command all the same."""


def sudo_spoke(stderr: str) -> bool:
    """
    Whether it was sudo that ended the command, going by what came last: a command that it did run speaks after its
    warnings, and over SSH the server may have spoken before it.
    """
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith(_WARNING)]
    return bool(lines) and lines[-1].startswith(("sudo: ", "Sorry, user "))
