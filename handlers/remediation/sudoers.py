"""
Lines for sudoers that allow exactly the argument vectors that csm runs on a host, here and over SSH.

The patterns are anchored regular expressions: sudo's older wildcards match spaces and slashes, and so any argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from handlers.agent.commands import (
    SOCKET_VARIABLE,
    SYSTEM_PROBE_YAML,
    as_text,
    selftest_commands,
    settings_commands,
    status_commands,
    version_command,
)
from handlers.executors.kill import VARIABLE
from handlers.model import Agent, Installation, Platform
from handlers.version import AgentVersion

TITLE = "Lines for /etc/sudoers.d/csm, for {what} (sudo 1.9.10 or newer); set sudo: true for the target"

_SYSTEM = PurePosixPath("/usr/bin")
_TRIGGERED = AgentVersion(7, 60, 0)
"""A version in which every command that triggers a self-test exists."""
_SOCKET = "/[A-Za-z0-9._/-]{1,200}"


def rules(vectors: Iterable[tuple[str, str]]) -> str:
    """
    A sudoers line for each program (its whole path) and pattern of its arguments, and a second line for it over SSH.

    Over SSH a program runs as `env CSM_EXEC=<mark> program …`, where programs of the system are called by name.
    """
    lines = []
    for program, arguments in vectors:
        path = PurePosixPath(program)
        called = path.name if path.parent == _SYSTEM else program
        lines.append(f"{program} ^{arguments}$")
        lines.append(f"{_SYSTEM / 'env'} ^{VARIABLE}=[0-9a-f]{{16}} {called} {arguments}$")
    return "".join(f"csm ALL=(root) NOPASSWD: {line}\n" for line in lines)


def _selftest() -> Iterable[tuple[str, str]]:
    """All programs that a self-test check runs as root, each with a pattern of its arguments."""
    host = Agent(target="", name="", platform=Platform.HOST, installation=Installation.HOST)
    triggers = selftest_commands(host, _TRIGGERED)
    statuses = status_commands(host, None)
    choices = (version_command(host), *statuses, *map(as_text, statuses), settings_commands(host)[0], *triggers)
    arguments: dict[str, list[str]] = {}
    for choice in choices:
        arguments.setdefault(choice.argv[0], []).append(" ".join(choice.argv[1:]))
    for program, vectors in arguments.items():
        yield program, f"({'|'.join(vectors)})"
    for choice in triggers:
        yield "/usr/bin/env", f"{SOCKET_VARIABLE}={_SOCKET} {' '.join(choice.argv)}"
    yield "/usr/bin/cat", SYSTEM_PROBE_YAML
    yield "/usr/bin/ls", f"-d {_SOCKET}( {_SOCKET})?"
    yield "/usr/bin/date", r"\+%s %z %Z"


SELFTEST = rules(_selftest())
