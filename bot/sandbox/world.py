"""
The whole sandbox: the local Slack, the stand-in fleet, and the real bot in its own process.

The target `cluster-a` always exists. `whole_fleet` adds `this-host`, a folder of stand-ins in the sandbox's own
folder, and `edge`, stand-ins in containers, if a Docker engine answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bot.listeners.slash_command import AVAILABLE
from bot.sandbox import orphans
from bot.sandbox.completion import Vocabulary, completions
from bot.sandbox.docker_engine import Absent, Engine
from bot.sandbox.faults import api_fault, bot_faults, fleet_faults, slack_faults
from bot.sandbox.fleet import fleet, install_network_plugins
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.process import Bot
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.stand_ins import StandIn, ThisHost
from bot.slack.client import MANIFEST

WATCH_S = 0.5
EXAMPLES = ("selftest cluster-a", "tc cluster-a", "flare cluster-a", "help")
RUN = re.compile(r"\br-[a-z0-9]{6,}\b")
KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")


class World:
    """The parts of a running sandbox."""

    def __init__(self, slack: LocalSlack, cluster: KubernetesApi, folder: Path) -> None:
        self.slack = slack
        self.cluster = cluster
        self.folder = folder
        self.bot: Bot
        self.host: ThisHost | None = None
        self.engine: Engine | None = None
        self.absent: dict[str, str] = {}
        """Targets that are not available, and the reason for each."""
        self._starting: asyncio.Task[None] | None = None

    @property
    def targets(self) -> Mapping[str, str]:
        """The available targets, by name, with a description."""
        found = {"cluster-a": f"Kubernetes, {len(self.cluster.pods)} Agents"}
        if self.host:
            found[self.host.name] = "this host, one Agent"
        if self.engine:
            count = len(self.engine.agents)
            starting = f"Docker: {self.absent['edge']}" if "edge" in self.absent else "Docker, starting"
            found["edge"] = f"Docker, {count} Agents" if count else starting
        return found

    def agents(self, target: str) -> Sequence[str]:
        """The names of a target's Agents."""
        if target == "cluster-a":
            return [pod.node for pod in self.cluster.pods.values()]
        if target == "edge" and self.engine:
            return [each.name for each in self.engine.agents]
        return [self.host.name] if self.host and target == self.host.name else []

    @property
    def stand_ins(self) -> Sequence[StandIn]:
        """The Agents outside the cluster."""
        return [*([self.host] if self.host else []), *(self.engine.agents if self.engine else [])]

    async def find_engine(self) -> None:
        """Start stand-in containers in the background, if a Docker engine answers."""
        try:
            self.engine = await Engine.find()
        except Absent as reason:
            self.absent["edge"] = str(reason)
        else:
            self._starting = asyncio.create_task(self._start_engine(self.engine), name="edge")

    async def edge_is_up(self) -> None:
        """Wait until the containers run, or `absent` has the reason why not."""
        if self._starting:
            await self._starting

    async def _start_engine(self, engine: Engine) -> None:
        try:
            await engine.start()
        except Absent as reason:
            self.absent["edge"] = str(reason)
        self.slack.workspace.tell("faults")

    async def aclose(self) -> None:
        """Remove the containers."""
        if self._starting:
            await self._starting  # otherwise a container that is starting would become an orphan
        if self.engine:
            await self.engine.stop()


@contextlib.asynccontextmanager
async def world(
    pods: Sequence[Pod] | None = None,
    *,
    port: int = 0,
    agents: int = 12,
    settings: Mapping[str, Any] | None = None,
    start_bot: bool = True,
    whole_fleet: bool = False,
    **slack_options: Any,
) -> AsyncIterator[World]:
    """Run a sandbox, empty at its start; everything of it is removed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        folder = orphans.new_folder("sandbox")
        stack.callback(orphans.remove_folder, folder)
        slack = await stack.enter_async_context(LocalSlack(MANIFEST, port=port, **slack_options))
        cluster = await stack.enter_async_context(KubernetesApi(fleet(agents) if pods is None else pods))
        if pods is None:
            install_network_plugins(cluster)
        made = World(slack, cluster, folder)
        stack.push_async_callback(made.aclose)
        if whole_fleet:
            made.host = ThisHost(folder)
            await made.find_engine()
        config = folder / "csm.yaml"
        config.write_text(yaml.safe_dump(_configuration(made) | dict(settings or {})))
        made.bot = Bot(config, _environment(made), slack, folder / "bot.log")
        stack.push_async_callback(made.bot.stop)
        _equip(made)
        watching = asyncio.create_task(_tell_of_faults(made), name="faults")
        stack.push_async_callback(_stopped, watching)
        if start_bot:
            await made.bot.start()
        yield made


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _configuration(made: World) -> dict[str, Any]:
    kubeconfig = made.cluster.write_kubeconfig(made.folder / "kubeconfig")
    targets: dict[str, Any] = {"cluster-a": {"kubernetes": {"kubeconfig": str(kubeconfig), "context": "stand-in"}}}
    if made.host:
        targets[made.host.name] = {"host": {"root": str(made.host.root)}}
    if made.engine:
        targets["edge"] = {"docker": {"base_url": made.engine.url, "label": made.engine.label}}
    return {
        "database_url": f"sqlite:///{made.folder / 'csm.db'}",
        "targets": targets,
        "policy": [
            {"who": ["@sre"], "may": ["*"], "on": ["*"], "in": ["*"]},
            {"who": ["@security"], "may": ["*"], "on": ["*"], "in": ["*"]},
        ],
        "approvals": {"flare": {"by": ["@security"]}},
    }


def _environment(made: World) -> dict[str, str]:
    """The bot's environment, as small as possible. No proxy settings: all connections stay on this machine."""
    slack = made.slack
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # The stand-in of this host is a Python program: its interpreter must be found.
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    mark = {orphans.VARIABLE: orphans.name_of(made.folder)}
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    return {**kept, **tokens, **(made.host.environment if made.host else {}), "PYTHONUNBUFFERED": "1", **mark}


def _equip(made: World) -> None:
    """Add the faults, completions and examples to the page's API."""
    control = made.slack.control
    control.faults.add(
        *fleet_faults(made.cluster, lambda: made.stand_ins),
        api_fault(made.cluster),
        *slack_faults(made.slack),
        *bot_faults(made.bot),
    )
    words = _vocabulary(made)
    control.complete = lambda line: [each.as_json() for each in completions(line, words)]
    control.examples = [f"{words.command} {line}" for line in EXAMPLES]


async def _tell_of_faults(made: World) -> None:
    """Notify the pages of faults that begin or end by themselves: the bot has died, error answers are used up."""
    known = made.slack.control.faults.broken()
    while True:
        await asyncio.sleep(WATCH_S)
        now = made.slack.control.faults.broken()
        if now != known:
            known = now
            made.slack.workspace.tell("faults")


def _vocabulary(made: World) -> Vocabulary:
    """The vocabulary for completions in this sandbox."""

    def runs() -> Sequence[str]:
        texts = [str(m.get("text")) for c in made.slack.workspace.channels.values() for m in c.messages.values()]
        return list(dict.fromkeys(RUN.findall("\n".join(reversed(texts)))))

    command, declared = next(iter(made.slack.people.commands.items()))
    return Vocabulary(command, str(declared["description"]), AVAILABLE, lambda: made.targets, made.agents, runs)
