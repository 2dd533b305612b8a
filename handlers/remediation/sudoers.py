"""
Lines for sudoers that allow exactly the argument vectors that csm runs on a host, here and over SSH.

The patterns have an end of their own: sudo's older wildcards match spaces and slashes, and so any argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from handlers.agent.commands import Choice, selftest_commands, status_commands, version_command
from handlers.executors.ending import VARIABLE
from handlers.model import Agent, Installation, Platform
from handlers.version import AgentVersion

TITLE = "Lines for /etc/sudoers.d/csm, for {what} (sudo 1.9.10 or newer); set sudo: true for the target"

_SYSTEM = PurePosixPath("/usr/bin")
_ERAS = (AgentVersion(7, 34, 0), None)
"""An Agent of each command; of an unknown version all of the newer ones are tried."""


def rules(vectors: Iterable[tuple[str, str]]) -> str:
    """
    A line for each program (its whole path) and pattern of its arguments, and one for it over SSH.

    There a program runs as `env CSM_EXEC=<mark> program …`; sudo looks up those of the system by their names.
    """
    lines = []
    for program, arguments in vectors:
        path = PurePosixPath(program)
        called = path.name if path.parent == _SYSTEM else program
        lines.append(f"{program} ^{arguments}$")
        lines.append(f"{_SYSTEM / 'env'} ^{VARIABLE}=[0-9a-f]{{16}} {called} {arguments}$")
    return "".join(f"csm ALL=(root) NOPASSWD: {line}\n" for line in lines)


def _selftest() -> Iterable[Choice]:
    host = Agent(target="", name="", platform=Platform.HOST, installation=Installation.HOST)
    yield version_command(host)
    for version in _ERAS:
        yield from selftest_commands(host, version)
        yield from status_commands(host, version)


SELFTEST = rules(dict.fromkeys((choice.argv[0], " ".join(choice.argv[1:])) for choice in _selftest()))
