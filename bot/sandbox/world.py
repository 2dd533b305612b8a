"""
The whole sandbox: the local Slack, the stand-in cluster, and the real bot in a process of its own.

The bot is started as people start it, `csm serve` with a configuration file and tokens in the environment,
and may be killed and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.slack.server import LocalSlack
from bot.slack import MANIFEST
from handlers.errors import CsmError

READY_S = 60.0


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
        if start_bot:
            await bot.start()
        yield made


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
    async def agent(body: Mapping[str, Any]) -> None:
        pod = next((pod for pod in made.cluster.pods.values() if body["agent"] in (pod.node, pod.name)), None)
        if pod is None:
            raise KeyError("agent")
        pod.behaviour.fault = str(body.get("is", ""))

    async def node(body: Mapping[str, Any]) -> None:
        for pod in made.cluster.pods.values():
            if pod.node == body["node"]:
                pod.fault = str(body.get("is", "vanish"))

    async def kill_bot(_body: Mapping[str, Any]) -> None:
        await made.bot.kill()

    async def start_bot(_body: Mapping[str, Any]) -> None:
        await made.bot.start()

    made.slack.control.faults |= {"agent": agent, "node": node, "kill_bot": kill_bot, "start_bot": start_bot}
