"""An executor for tests of new commands: any Agents, without a platform behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from handlers.errors import ExecError
from handlers.executors.base import Session
from handlers.executors.host import HostExecutor
from handlers.executors.settings import HostSettings
from handlers.model import Agent, Platform


class FakeExecutor:
    """
    Runs every Agent's commands as processes of this host.

    `programs` maps a program's name to the command that runs instead, for example
    `{"system-probe": (sys.executable, "agent.py", "system-probe")}`. Other programs are run as they are. Opening a
    command on an Agent named in `faults` raises that error.
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        *,
        programs: Mapping[str, Sequence[str]] | None = None,
        faults: Mapping[str, ExecError] | None = None,
        platform: Platform = Platform.HOST,
    ) -> None:
        self._agents = sorted(agents, key=lambda agent: agent.name)
        self._programs = dict(programs or {})
        self._faults = dict(faults or {})
        self._platform = platform
        self._processes = HostExecutor("fake", HostSettings())
        self.commands: list[tuple[str, tuple[str, ...]]] = []
        """Agent and argument vector of each command that was opened, in order."""

    @property
    def platform(self) -> Platform:
        """The platform given at construction."""
        return self._platform

    async def agents(self) -> Sequence[Agent]:
        """The Agents given at construction, sorted by name."""
        return self._agents

    def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AbstractAsyncContextManager[Session]:
        """See `Executor.open`."""
        self.commands.append((agent.name, tuple(argv)))
        if fault := self._faults.get(agent.name):
            raise fault
        line = (*self._programs.get(argv[0], (argv[0],)), *argv[1:])
        return self._processes.open(agent, line, container=container, stdin=stdin)

    async def aclose(self) -> None:
        """Do nothing: there is no resource to release."""
