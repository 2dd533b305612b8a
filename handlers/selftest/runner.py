"""Run the commands of one check on one Agent, within their limits, and record each of them."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.agent.commands import AgentCommand
from handlers.agent.findings import CODES
from handlers.errors import ExecError, NotReady
from handlers.executors.base import Completed, Executor, Limits, run
from handlers.model import Agent, Invocation
from handlers.ports import Clock
from handlers.redaction import clean, clean_lines
from handlers.selftest.judge import Judgement


@dataclass(frozen=True, slots=True)
class SelftestSettings:
    """Limits for the check of one Agent, in seconds and bytes per command."""

    deadline_s: float = 60.0
    """Deadline of the command that triggers a self-test."""
    status_deadline_s: float = 30.0
    """Deadline of every other command."""
    max_bytes: int = 4 * 1024 * 1024
    """Limit for output. JSON statuses list some thousand constants."""


DEFAULTS = SelftestSettings()


class Finished(Exception):
    """The judgement is known early; no further command runs."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.code)
        self.judgement = judgement


class CommandRunner:
    """Runs commands on one Agent and records them in `invocations`."""

    def __init__(self, agent: Agent, executor: Executor, clock: Clock, settings: SelftestSettings) -> None:
        self.agent = agent
        self.clock = clock
        self.invocations: list[Invocation] = []
        self.decisive: AgentCommand | None = None
        """The command that the verdict is based on, so far."""
        self._executor = executor
        self._settings = settings

    async def trigger(self, choice: AgentCommand) -> Completed:
        """Run the command that triggers a self-test. Raises an `ExecError` when it does not end by itself."""
        self.decisive = choice
        return await self._run(choice, self._settings.deadline_s)

    async def ask(self, choice: AgentCommand) -> Completed:
        """Run a command that only reads. Raises an `ExecError` when it does not end by itself."""
        return await self._run(choice, self._settings.status_deadline_s)

    async def try_to_ask(self, choice: AgentCommand) -> Completed | None:
        """Run a command that only helps to explain a result; `None` when it does not end by itself."""
        try:
            return await self.ask(choice)
        except ExecError:
            return None

    def cut_short(self, choice: AgentCommand, error: ExecError) -> Finished:
        """An exception with the judgement of a command that did not end by itself."""
        self.decisive = choice
        said = [
            *clean_lines(str(error)),
            *clean_lines(error.output.stdout, max_lines=5),
            *clean_lines(error.output.stderr, max_lines=5),
        ]
        if not error.ended:
            said.append("The process may still be running there.")
        code = CODES[type(error)]
        detail = clean(str(error), max_chars=200) if code == "agent.container_not_ready" else ""
        return Finished(Judgement(code, detail, (f"command: {' '.join(choice.argv)}", *said)))

    async def _run(self, choice: AgentCommand, deadline_s: float) -> Completed:
        container = self.agent.container(choice.container) if choice.container else None
        if container is not None and not container.ready:
            raise NotReady(f"{container.name} is {container.state}")
        limits = Limits(deadline_s=deadline_s, max_bytes=self._settings.max_bytes)
        began = self.clock.monotonic()
        status: int | None = None
        try:
            completed = await run(self._executor, self.agent, choice.argv, container=choice.container, limits=limits)
            status = completed.exit_status
        finally:
            self.invocations.append(
                Invocation(
                    argv=choice.argv,
                    container=choice.container,
                    why=choice.why,
                    exit_status=status,
                    duration_s=round(self.clock.monotonic() - began, 3),
                )
            )
        return completed


def is_missing(error: ExecError) -> bool:
    """Whether a command did not run because there is no such program."""
    return CODES[type(error)] == "agent.binary_missing"
