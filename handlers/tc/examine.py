"""`tc` for one Agent: collects the evidence of its node and judges it."""

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

    A failure of the Agent or of the connection to it becomes the result. Only cancellation is raised.
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
    # The analysis takes about a second for a large node, so it runs in a thread, off the event loop.
    return await asyncio.to_thread(result_of, agent, collected.evidence, invocations=collected.invocations, took=took)
