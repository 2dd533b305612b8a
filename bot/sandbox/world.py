"""
The whole sandbox: the local Slack, the stand-in cluster, and the real bot in a process of its own.

The bot is started as people start it, `csm serve` with a configuration file and tokens in the environment,
and may be killed and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bot.listeners.commands import AVAILABLE
from bot.sandbox.completion import Vocabulary, completions
from bot.sandbox.faults import api_fault, bot_faults, fleet_faults, slack_faults
from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.slack.server import LocalSlack
from bot.slack import MANIFEST
from handlers.errors import CsmError

READY_S = 60.0
WATCH_S = 0.5
EXAMPLES = ("selftest cluster-a", "selftest cluster-a/node-9", "targets", "help")
RUN = re.compile(r"\br-[a-z0-9]{6,}\b")


class Bot:
    """The bot's process."""

    def __init__(self, config: Path, environment: Mapping[str, str], slack: LocalSlack, log: Path) -> None:
        self._config = config
        self.environment = environment
        self._slack = slack
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it is connected to Slack. Raises `CsmError` with its log when it ends instead."""
        # A connection of the process before may not have been noticed to be dead yet; only a new one counts.
        connected = asyncio.create_task(self._slack.socket_mode.hello.wait())
        await asyncio.sleep(0)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bot",
                "serve",
                "--config",
                str(self._config),
                env=dict(self.environment),
                stderr=log,
                stdout=log,
            )
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({connected, ended}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if not connected.done():
                raise CsmError(f"The bot did not come up:\n{self.log.read_text('utf-8', 'replace')[-4000:]}")
        finally:
            connected.cancel()
            ended.cancel()

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and SIGKILL when it takes too long. Returns its exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is not None:
            return process.returncode
        process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        return await process.wait()


class World:
    """The parts of a running sandbox."""

    def __init__(self, slack: LocalSlack, cluster: KubernetesApi, bot: Bot, folder: Path) -> None:
        self.slack = slack
        self.cluster = cluster
        self.bot = bot
        self.folder = folder


@contextlib.asynccontextmanager
async def world(
    pods: Sequence[Pod] | None = None,
    *,
    port: int = 0,
    agents: int = 12,
    settings: Mapping[str, Any] | None = None,
    start_bot: bool = True,
    **slack_options: Any,
) -> AsyncIterator[World]:
    """A sandbox, empty at its start; nothing of it is left at the end."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csm-sandbox-")))
        slack = await stack.enter_async_context(LocalSlack(MANIFEST, port=port, **slack_options))
        cluster = await stack.enter_async_context(KubernetesApi(fleet(agents) if pods is None else pods))
        config = folder / "csm.yaml"
        config.write_text(yaml.safe_dump(_configuration(cluster, folder) | dict(settings or {})))
        bot = Bot(config, _environment(slack), slack, folder / "bot.log")
        stack.push_async_callback(bot.stop)
        made = World(slack, cluster, bot, folder)
        _add_faults(made)
        words = _vocabulary(made)
        slack.control.complete = lambda line: [each.as_json() for each in completions(line, words)]
        slack.control.examples = [f"{words.command} {line}" for line in EXAMPLES]
        watching = asyncio.create_task(_tell_of_faults(made), name="faults")
        stack.push_async_callback(stopped, watching)
        if start_bot:
            await bot.start()
        yield made


async def stopped(task: asyncio.Task[None]) -> None:
    """Cancel a task of the sandbox's own, and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _configuration(cluster: KubernetesApi, folder: Path) -> dict[str, Any]:
    kubeconfig = cluster.write_kubeconfig(folder / "kubeconfig")
    return {
        "database_url": f"sqlite:///{folder / 'csm.db'}",
        "targets": {"cluster-a": {"kubernetes": {"kubeconfig": str(kubeconfig), "context": "stand-in"}}},
        "policy": [
            {"who": ["@sre"], "may": ["*"], "on": ["*"], "in": ["*"]},
            {"who": ["@security"], "may": ["*"], "on": ["*"], "in": ["*"]},
        ],
        "approvals": {"flare": {"by": ["@security"]}},
    }


def _environment(slack: LocalSlack) -> dict[str, str]:
    """As little as the bot needs; no proxy, since everything is on this machine."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ
    }
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    return {**kept, **tokens, "PYTHONUNBUFFERED": "1"}


def _add_faults(made: World) -> None:
    made.slack.control.faults.add(
        *fleet_faults(made.cluster), api_fault(made.cluster), *slack_faults(made.slack), *bot_faults(made.bot)
    )


async def _tell_of_faults(made: World) -> None:
    """Let the pages know when something breaks or heals by itself: a bot that died, errors that are used up."""
    known = made.slack.control.faults.broken()
    while True:
        await asyncio.sleep(WATCH_S)
        now = made.slack.control.faults.broken()
        if now != known:
            known = now
            made.slack.workspace.tell("faults")


def _vocabulary(made: World) -> Vocabulary:
    """The words of this sandbox, for those who type."""

    def targets() -> Mapping[str, str]:
        return {"cluster-a": f"Kubernetes, {len(made.cluster.pods)} Agents"}

    def agents(_target: str) -> Sequence[str]:
        return [pod.node for pod in made.cluster.pods.values()]

    def runs() -> Sequence[str]:
        texts = [str(m.get("text")) for c in made.slack.workspace.channels.values() for m in c.messages.values()]
        return list(dict.fromkeys(RUN.findall("\n".join(reversed(texts)))))

    command, declared = next(iter(made.slack.people.commands.items()))
    return Vocabulary(command, str(declared["description"]), AVAILABLE, targets, agents, runs)
