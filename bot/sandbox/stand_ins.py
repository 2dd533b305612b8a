"""The stand-in Agents beside the cluster's pods: what each plays, and making it play something else."""

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
"""The stand-in's flare, which lies beside its program."""
BEHAVIOUR_FILE = "STAND_IN_AGENT_FILE"
"""The variable that tells a stand-in on this host where its behaviour is written."""


class StandIn(Protocol):
    """One stand-in Agent."""

    name: str
    behaviour: Behaviour

    async def play(self, behaviour: Behaviour) -> None:
        """Be another Agent, from the next command on."""


class ThisHost:
    """
    The Agent of this very host: a tree like the Agent's, with the stand-in as its programs, below the sandbox's folder.

    csm runs them as it runs the Agent's, as processes of this host; nothing outside the folder is touched.
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
        """What the bot's process must have, so that its children know what to play."""
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
        # Replaced as a whole: a command that starts meanwhile reads the old behaviour or the new one.
        new = self._file.with_suffix(".new")
        new.write_text(self.behaviour.to_json())
        os.replace(new, self._file)  # noqa: PTH105 - says what it does
