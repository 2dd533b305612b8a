"""A cluster of two hundred Agents, some of them broken: one message, one thread."""

from __future__ import annotations

import json

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.world import world

DEADLINE_S = 6


def pods() -> list[Pod]:
    def fault(number: int) -> str:
        return "hang" if number in (7, 107) else "rule_failed" if number % 10 == 0 else ""

    return [Pod(f"datadog-{n:03}", f"node-{n}", Behaviour(fault=fault(n))) for n in range(200)]


async def test_two_hundred_agents_end_within_the_deadline_of_the_two_that_hang() -> None:
    async with world(pods(), settings={"limits": {"status_deadline": f"{DEADLINE_S}s"}}) as sandbox:
        ana = Driver(sandbox.slack)
        await ana.type("/csm selftest cluster-a")
        root = await ana.finished()

        report = json.loads(ana.file(".json"))
        assert report["counts"] == {"fail": 20, "unknown": 2, "pass": 178}
        # One after the other, the two would take twice the deadline.
        assert DEADLINE_S <= report["duration_s"] < 2 * DEADLINE_S
        assert ana.messages() == [root]
        assert len(ana.thread(root)) <= 8
        assert all(block["type"] for message in ana.thread(root) for block in message.get("blocks", []))
        assert "20 Agents" in str(ana.thread(root))
        assert await sandbox.cluster.quiet()
