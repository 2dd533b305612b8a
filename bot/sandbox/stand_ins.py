"""The stand-in Agents outside the cluster, and how their behaviour is changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

from bot.sandbox import agent, flare_agent
from bot.sandbox.agent import Behaviour
from handlers.agent.commands import HOST_BINARIES
from handlers.executors.host import INSTALLED

AGENT = Path(agent.__file__)
FLARE = Path(flare_agent.__file__)
"""The stand-in's flare, installed in the same folder as the stand-in."""
BEHAVIOUR_FILE = "STAND_IN_AGENT_FILE"
"""The variable that holds the path of the behaviour file of a stand-in on this host."""


class StandIn(Protocol):
    """A stand-in Agent whose behaviour can be changed."""

    name: str
    behaviour: Behaviour

    async def play(self, behaviour: Behaviour) -> None:
        """Change the behaviour, from the next command on."""


class ThisHost:
    """
    The stand-in Agent of this host: a folder laid out like the Agent's files, with the stand-in as its programs.

    csm runs the programs as it runs the Agent's, as processes of this host. Nothing outside the sandbox's folder is
    touched.
    """

    name = "this-host"

    def __init__(self, folder: Path) -> None:
        self.root = folder / "host"
        self.behaviour = Behaviour(version="7.72.4", installation="host")
        self._file = self.root / "etc" / "stand-in-agent.json"
        for program in HOST_BINARIES.values():
            self._install(self.root / program.lstrip("/"))
        assert (self.root / INSTALLED).is_dir()
        self._file.parent.mkdir(parents=True)
        self._write()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the bot's process needs, so that the stand-ins it starts find their behaviour."""
        return {BEHAVIOUR_FILE: str(self._file)}

    async def play(self, behaviour: Behaviour) -> None:
        """See `StandIn.play`."""
        self.behaviour = behaviour
        self._write()

    def _install(self, program: Path) -> None:
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(AGENT, program)
        shutil.copyfile(FLARE, program.with_name(FLARE.name))
        program.chmod(0o755)

    def _write(self) -> None:
        # The replacement is atomic: a command that starts now reads the old behaviour or the new one.
        new = self._file.with_suffix(".new")
        new.write_text(self.behaviour.to_json())
        os.replace(new, self._file)  # noqa: PTH105 - says what it does
