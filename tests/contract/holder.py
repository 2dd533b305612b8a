"""A process that holds a flare, for tests to kill: `python -m tests.contract.holder <target> <Agent>`, both as JSON."""

from __future__ import annotations

import asyncio
import sys

from bot.config.settings import Settings, TargetSettings
from bot.config.targets import executors
from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from handlers.executors.base import Executor
from handlers.flare import FlareRequest, hold
from handlers.model import Agent


def executor_of(target: TargetSettings) -> Executor:
    """As a configuration with this one target makes it."""
    return executors(Settings.model_construct(targets={"t": target}))["t"]


async def main() -> None:
    target, agent = TargetSettings.model_validate_json(sys.argv[1]), Agent.model_validate_json(sys.argv[2])
    executor = executor_of(target)
    request = FlareRequest("1234567", "ana@example.com")
    async with hold(agent, executor, SystemClock(), TemporaryFiles(), request):
        print("held", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
