"""What is common to commands through sudo, on this host and over SSH."""

from __future__ import annotations

SUDO = ("sudo", "-n")
"""Never asks for a password: it runs the command, or says why not."""


def sudo_spoke(stderr: str) -> bool:
    """Whether all that was said is sudo's own. It may warn (`unable to resolve host`) and still run the command, which then speaks."""
    lines = stderr.splitlines()
    return bool(lines) and all(line.startswith("sudo: ") for line in lines)
