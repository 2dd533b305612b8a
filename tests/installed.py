"""The stand-in Agent installed in a folder, as a package installs the real one on a host."""

from __future__ import annotations

import sys
from pathlib import Path

from bot.sandbox.agent import Behaviour
from bot.sandbox.stand_ins import AGENT
from handlers.agent.commands import HOST_BINARIES

_PROGRAM = """#!{python} -S
import os, sys
os.environ.update(STAND_IN_AGENT_FILE={behaviour!r}, TMPDIR={tmp!r})
os.execv({python!r}, [{python!r}, "-S", {agent!r}, {name!r}, *sys.argv[1:]])
"""


def install(folder: Path) -> Path:
    """Install it; its temporary directory is `folder/tmp`. Returns the folder that stands for `/opt`."""
    (folder / "tmp").mkdir()
    for name, place in HOST_BINARIES.items():
        program = folder / place.lstrip("/")
        program.parent.mkdir(parents=True, exist_ok=True)
        text = _PROGRAM.format(
            python=sys.executable,
            behaviour=str(folder / "behaviour"),
            tmp=str(folder / "tmp"),
            agent=str(AGENT),
            name=name,
        )
        program.write_text(text)
        program.chmod(0o755)
    behave(folder, Behaviour())
    return folder / "opt"


def behave(folder: Path, behaviour: Behaviour) -> None:
    """Make it another one, from its next command on."""
    (folder / "behaviour").write_text(behaviour.to_json())
