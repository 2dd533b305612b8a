"""What Slack sees of csm: how soon a command is acknowledged, and how many calls a long run makes."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.world import world
from bot.slack.client import MANIFEST

COMMANDS = 100
ROUNDS = 3


async def acknowledgements() -> tuple[float, float]:
    """The p99 in seconds, of csm and of an empty app, of 100 commands typed at once. Medians of rounds taken in turn."""
    async with (
        world(agents=COMMANDS * (ROUNDS + 1), rate_limits=False) as sandbox,
        LocalSlack(MANIFEST, rate_limits=False) as slack,
    ):
        environment = {**sandbox.bot.environment, "SLACK_API_URL": slack.api_url}
        environment |= {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
        connected = asyncio.create_task(slack.socket_mode.hello.wait())
        empty = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.empty_app", env=environment)
        try:
            await asyncio.wait_for(connected, 30)
            ours, theirs = [], []
            for number in range(ROUNDS + 1):
                ours.append(await p99(sandbox.slack, first=number * COMMANDS))
                await idle(sandbox.slack, runs=(number + 1) * COMMANDS)
                theirs.append(await p99(slack))
        finally:
            empty.kill()
            await empty.wait()
    return statistics.median(ours[1:]), statistics.median(theirs[1:])  # the first is for warming up


async def idle(slack: LocalSlack, *, runs: int) -> None:
    """Wait until that many runs have attached their two files, which is the last that they do."""
    await Driver(slack).until(lambda: len(slack.workspace.contents) >= 2 * runs, within_s=120)


async def p99(slack: LocalSlack, *, first: int = 0) -> float:
    async def one(number: int) -> float:
        began = time.perf_counter()
        await slack.people.command("ana", "#incident-42", f"/csm selftest cluster-a/node-{number}")
        return time.perf_counter() - began

    taken = await asyncio.gather(*(one(number + 1) for number in range(first, first + COMMANDS)))
    return statistics.quantiles(taken, n=100)[98]


async def calls_of_a_long_run() -> int:
    """Slack calls of a run over 1,000 Agents that lasts about a minute."""
    pods = [Pod(f"datadog-{n}", f"node-{n}", Behaviour(delay_s=56)) for n in range(1000)]
    async with world(pods, settings={"limits": {"status_deadline": "90s"}}) as sandbox:
        before = len(sandbox.slack.api.calls)
        ana = Driver(sandbox.slack)
        await ana.type("/csm selftest cluster-a")
        await ana.finished(within_s=180)
        return len(sandbox.slack.api.calls) - before
