"""`tc` for one Agent: collect the evidence of its node, and judge it."""

from __future__ import annotations

import asyncio

from handlers.executors.base import Executor
from handlers.model import Agent, AgentResult
from handlers.ports import Clock
from handlers.tc.collect import CollectSettings, collect
from handlers.tc.result import result_of, unjudged

_USUAL = CollectSettings()


async def examine(agent: Agent, executor: Executor, clock: Clock, *, settings: CollectSettings = _USUAL) -> AgentResult:
    """
    Collect one Agent's evidence and judge it.

    Every failure of the Agent or of the way to it becomes the result; nothing is raised but cancellation.
    """
    began = clock.monotonic()
    if agent.phase != "Running":
        return unjudged(agent, "agent.not_running", agent.phase, ())
    collected = await collect(agent, executor, clock, settings=settings)
    took = clock.monotonic() - began
    if collected.evidence is None:
        return unjudged(
            agent,
            collected.code,
            collected.detail,
            collected.said,
            invocations=collected.invocations,
            took=took,
        )
    # A large node's programs take a second to analyse; nobody else waits for that.
    return await asyncio.to_thread(result_of, agent, collected.evidence, invocations=collected.invocations, took=took)
