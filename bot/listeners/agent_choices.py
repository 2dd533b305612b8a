"""The Agents offered in the flare form: those that failed their last self-test first. Cached for `TTL_S`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from bot.render.flare_modal import AgentChoice
from bot.storage.store import Store
from handlers.executors.base import Executor
from handlers.model import Verdict

TTL_S = 30.0
"""How long a list is cached: about as long as somebody types into a form."""

SELFTESTS_S = 24 * 3600.0
"""Maximum age of a self-test result that counts for the order."""


class AgentChoices:
    """Lists and caches the Agents of each target, so that many suggestions cost one request."""

    def __init__(self, targets: Mapping[str, Executor], store: Store) -> None:
        self._targets = targets
        self._store = store
        self._known: dict[str, tuple[float, asyncio.Task[Sequence[AgentChoice]]]] = {}

    async def agents(self, target: str) -> Sequence[AgentChoice]:
        """The Agents of a target, worst last self-test first. Raises a `handlers.errors.TargetError`."""
        at, task = self._known.get(target, (0.0, None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or time.monotonic() - at > TTL_S:
            task = asyncio.create_task(self._look(target), name=f"Agents of {target}")
            self._known[target] = (time.monotonic(), task)
        return await asyncio.shield(task)

    async def _look(self, target: str) -> Sequence[AgentChoice]:
        agents = await self._targets[target].agents()
        last = await self._store.last_asked("selftest", target, time.time() - SELFTESTS_S)
        verdicts = {agent: result.verdict for agent, (_, _, result) in last.items() if result is not None}
        choices = [AgentChoice(agent.name, verdicts.get(agent.name)) for agent in agents]
        return sorted(choices, key=lambda choice: (-_badness(choice.verdict), choice.name))


def _badness(verdict: Verdict | None) -> int:
    return verdict.badness if verdict in {Verdict.FAIL, Verdict.UNKNOWN} else 0
