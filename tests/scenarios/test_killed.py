"""
The bot killed (SIGKILL) at every step of a run, and started again: every thread ends exactly once.

A run is made once without harm, to see its steps: every call to Slack, and every command on an Agent. Then,
for each of them, a run of its own in which the bot dies just before Slack carries the call out, or just
after, before the answer is sent; and at each command.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver, is_final, is_run
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.slack.web_api import SlackFault
from bot.sandbox.world import World, world

SETTINGS = {"limits": {"min_interval": "0s", "selftest_deadline": "3s", "status_deadline": "3s"}}
STEPS = (
    "chat.postMessage",
    "chat.getPermalink",
    "chat.update",
    "files.getUploadURLExternal",
    "files.completeUploadExternal",
)


def pods() -> list[Pod]:
    faults = ("", "rule_failed", "module_down")
    return [Pod(f"datadog-{n}", f"node-{n}", Behaviour("7.60.1", fault=fault)) for n, fault in enumerate(faults)]


class Killer:
    """Kills the bot at the n-th call of a method, and lets the call be carried out or not."""

    def __init__(self, made: World) -> None:
        self._made = made
        self._seen: Counter[str] = Counter()
        self.at: tuple[str, int, str] | None = None
        self.struck = asyncio.Event()
        made.slack.api.on_call = self._before
        made.slack.api.after_call = self._after
        made.cluster.on_exec = self._exec

    def aim(self, method: str, number: int, when: str) -> None:
        self._seen.clear()
        self.at = (method, number, when)
        self.struck.clear()

    async def _before(self, method: str, _arguments: Mapping[str, Any]) -> None:
        self._seen[method] += 1
        if self.at == (method, self._seen[method], "before"):
            await self._strike()
            raise SlackFault("internal_error")

    async def _after(self, method: str, _arguments: Mapping[str, Any]) -> None:
        if self.at == (method, self._seen[method], "after"):
            await self._strike()

    async def _exec(self) -> None:
        self._seen["exec"] += 1
        if self.at == ("exec", self._seen["exec"], "before"):
            await self._strike()

    async def _strike(self) -> None:
        self.at = None
        await self._made.bot.kill()
        self.struck.set()


@pytest.mark.timeout(600)
async def test_a_bot_killed_at_any_step_ends_every_thread_exactly_once() -> None:
    # Forty starts in a row would meet the limits that Slack sets to each method.
    async with world(pods(), settings=SETTINGS, rate_limits=False) as made:
        ana = Driver(made.slack)
        await ana.type("/csm selftest cluster-a")
        example = await ana.finished()
        replies = [reply["text"].split("\n")[0] for reply in ana.thread(example)]
        calls = Counter(method for method, _ in made.slack.api.calls)
        killer = Killer(made)
        calls["chat.update"] = 1  # how often progress is shown depends on the time; the verdict always is
        steps = [
            (method, n + 1, when) for method in STEPS for n in range(calls[method]) for when in ("before", "after")
        ]
        steps += [("exec", n, "before") for n in range(1, made.cluster.execs + 1)]
        assert len(steps) > 15

        for number, step in enumerate(steps, 1):
            await _ended(made)
            made.slack.api.calls.clear()
            made.cluster.commands.clear()
            killer.aim(*step)
            await ana.type("/csm selftest cluster-a")
            await _struck(killer, made)
            await made.bot.start()
            root = await ana.finished(number=number)

            where = f"killed at {step}"
            thread = ana.thread(root)
            assert [is_final(m) for m in ana.messages() if is_run(m)] == [True] * (number + 1), where
            assert [_kind(reply) for reply in thread[1:]] == [_kind(reply) for reply in ana.thread(example)[1:]], where
            assert len(thread) == len(replies), where
            if step[0] != "exec" and step not in {("chat.update", 1, "before"), ("chat.update", 1, "after")}:
                asked = Counter(pod for pod, argv in made.cluster.commands if argv[-1] == "self-test")
                assert set(asked.values()) == {1}, f"{where}: {asked}"


@pytest.mark.timeout(120)
async def test_without_the_history_scopes_a_run_ends_all_the_same() -> None:
    async with world(pods(), settings=SETTINGS, optional_scopes=False) as made:
        ana = Driver(made.slack)
        killer = Killer(made)
        killer.aim("chat.postMessage", 2, "after")
        await ana.type("/csm selftest cluster-a")
        await _struck(killer, made)
        await made.bot.start()
        root = await ana.finished()

        assert is_final(root)
        assert len([m for m in ana.messages() if is_run(m)]) == 1


@pytest.mark.timeout(120)
async def test_two_runs_at_once_both_go_on_after_a_kill() -> None:
    async with world(pods(), settings=SETTINGS) as made:
        ana = Driver(made.slack)
        for pod in made.cluster.pods.values():
            pod.behaviour.delay_s = 0.5
        await ana.type("/csm selftest cluster-a/node-0")
        await ana.type("/csm selftest cluster-a/node-1")
        await ana.until(lambda: len(ana.messages()) == 2 or None)
        await made.bot.kill()
        await made.bot.start()
        roots = [await ana.finished(number=number) for number in (0, 1)]

        assert all(is_final(root) for root in roots)
        assert len(ana.messages()) == 2


@pytest.mark.timeout(120)
async def test_a_bot_told_to_stop_leaves_its_runs_to_the_next_one_and_its_agents_idle() -> None:
    async with world(pods(), settings=SETTINGS) as made:
        ana = Driver(made.slack)
        made.cluster.pods["datadog-0"].behaviour.delay_s = 2
        await ana.type("/csm selftest cluster-a")
        await ana.until(lambda: len(ana.messages()) == 1 and len(made.cluster.commands) >= 3)
        status = await made.bot.stop()

        assert status == 0
        assert await made.cluster.quiet()
        assert "Traceback" not in made.bot.log.read_text()
        await made.bot.start()
        assert is_final(await ana.finished())
        assert len(ana.messages()) == 1
        log = [json.loads(line) for line in made.bot.log.read_text().splitlines()]
        assert {line["event"] for line in log if line["level"] != "info"} == set()


async def _ended(made: World) -> None:
    """Wait until every run has ended for the bot too: its thread is complete a moment before that."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.closing(sqlite3.connect(made.folder / "csm.db")) as database:
                if database.execute("SELECT count(*) FROM csm_runs WHERE state != 'done'").fetchone() == (0,):
                    return
            await asyncio.sleep(0.05)


async def _struck(killer: Killer, made: World) -> None:
    """Wait for the kill; the bot's own log says why when it does not come."""
    try:
        await asyncio.wait_for(killer.struck.wait(), 20)
    except TimeoutError:
        shown = [message["text"] for message in Driver(made.slack).messages()]
        pytest.fail("\n".join([f"never came to {killer.at}", *shown, made.bot.log.read_text()[-5000:]]))


def _kind(reply: Mapping[str, Any]) -> str:
    """What a reply is, whatever the time of day in it: by its metadata, or as the files."""
    metadata = reply.get("metadata") or {}
    return json.dumps(metadata.get("event_payload", {}).get("key", [f["name"][-4:] for f in reply.get("files", [])]))
