"""
Bounded gathering: checks many Agents concurrently, up to a limit.

Agents are independent. A slow, dead or hostile Agent costs only its own time: the others wait for it only when no slot
is free, and its failure becomes its own result.
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
    Run `ask` for every Agent, at most `at_once` at a time. Results are in the order of `agents`.

    `ask` must turn an Agent's failure into a result. An exception from it is a defect of csm and cancels all the
    others.
    """
    places = asyncio.Semaphore(at_once)

    async def ask_one(agent: Agent) -> AgentResult:
        async with places:
            return await ask(agent)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask_one(agent), name=f"ask {agent}") for agent in agents]
    return [task.result() for task in tasks]
