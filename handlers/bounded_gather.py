"""
Many Agents at once, each for itself.

One slow, dead or hostile Agent costs its own time and nothing else: no Agent waits for another except
for a place under the limit, and whatever goes wrong with one becomes that one's result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from handlers.model import Agent, AgentResult


async def gather_bounded(
    agents: Sequence[Agent],
    ask: Callable[[Agent], Awaitable[AgentResult]],
    *,
    at_once: int,
) -> Sequence[AgentResult]:
    """
    Ask every Agent, at most `at_once` at a time; results in the order of `agents`.

    `ask` must turn an Agent's failure into a result; an exception from it is a defect, and ends all.
    """
    places = asyncio.Semaphore(at_once)

    async def ask_one(agent: Agent) -> AgentResult:
        async with places:
            return await ask(agent)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask_one(agent), name=f"ask {agent}") for agent in agents]
    return [task.result() for task in tasks]
