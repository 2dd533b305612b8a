"""What the flare's tests share: an Agent behind the stand-in cluster, and what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from bot.sandbox.agent import Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.flare import FlareRequest, FlareSettings, HeldFlare, hold
from handlers.model import Agent

QUICK = FlareSettings(
    build_deadline_s=20, upload_deadline_s=20, read_deadline_s=20, hash_deadline_s=10, decline_deadline_s=10
)
REQUEST = FlareRequest("1234567", "ana@example.com")
POD = "datadog-1"


@dataclasses.dataclass
class OneAgent:
    """One Agent of a stand-in cluster."""

    api: KubernetesApi
    executor: KubernetesExecutor
    settings: FlareSettings = QUICK
    heartbeat_s: float = 20.0

    async def become(self, behaviour: Behaviour, **pod: object) -> Agent:
        """Make it another one, and find it."""
        has = ("agent", "security-agent", "system-probe") if behaviour.security_agent else ("agent", "system-probe")
        self.api.pods = {POD: Pod(POD, "node-1", behaviour, **({"containers": has} | pod))}  # type: ignore[arg-type]
        (agent,) = await self.executor.agents()
        return agent

    @contextlib.asynccontextmanager
    async def held(
        self, behaviour: Behaviour, request: FlareRequest = REQUEST, **pod: object
    ) -> AsyncIterator[HeldFlare]:
        """A flare of it, reviewed and waiting."""
        agent = await self.become(behaviour, **pod)
        async with hold(agent, self.executor, SystemClock(), TemporaryFiles(), request, settings=self.settings) as it:
            yield it

    def told(self, *events: str) -> Sequence[str]:
        """What it was told, or did, in order: the events of its ledger, all or some."""
        found = [str(entry["event"]) for entry in self.api.ledger(POD)]
        return [event for event in found if not events or event in events]

    async def until(self, event: str) -> None:
        """Wait for an event of its ledger, which another process writes."""
        async with asyncio.timeout(20):
            while event not in self.told():  # nothing but the file tells
                await asyncio.sleep(0.02)

    @property
    def uploads(self) -> Sequence[str]:
        """The hashes of what was uploaded."""
        return [str(entry["sha256"]) for entry in self.api.ledger(POD) if entry["event"] == "uploaded"]

    @property
    def archives(self) -> Sequence[Path]:
        """The archives that lie there."""
        return sorted(self.api.tmp(POD).glob("*.zip"))


@contextlib.asynccontextmanager
async def one_agent(tmp_path: Path, *, heartbeat_s: float = 20.0) -> AsyncIterator[OneAgent]:
    """A stand-in cluster with one Agent, and an executor for it."""
    async with KubernetesApi([Pod(POD, "node-1")]) as api:
        kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
        settings = KubernetesSettings(kubeconfig=kubeconfig, heartbeat_s=heartbeat_s)
        executor = KubernetesExecutor("cluster-a", settings)
        try:
            yield OneAgent(api, executor)
        finally:
            await executor.aclose()
