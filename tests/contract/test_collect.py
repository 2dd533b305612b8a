"""The collector on every platform: sent over its way of running commands, and read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bot.runtime.clock import SystemClock
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.executors import kubernetes_client
from handlers.executors.kill import PYTHONS
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.tc.collect import Collected, collect
from tests.contract.harness import Harness


def check(collected: Collected) -> None:
    assert collected.evidence is not None, (collected.code, collected.detail, collected.said)
    assert (collected.evidence.collector, collected.evidence.kernel) == ("python", os.uname().release)
    assert any(device.name == "lo" for each in collected.evidence.namespaces for device in each.devices)
    assert collected.invocations[-1].exit_status == 0


@pytest.mark.parametrize("harness", ["host", "ssh", "docker", "fake"], indirect=True)
async def test_the_evidence_of_a_node_is_collected(harness: Harness) -> None:
    check(await collect(harness.agent, harness.executor, SystemClock()))


@pytest.mark.parametrize("protocol", kubernetes_client.PROTOCOLS)
async def test_on_kubernetes_by_either_protocol_though_the_older_cannot_end_an_input(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_client, "PROTOCOLS", (protocol,))
    pod = Pod("datadog-1", "node-1", binaries={PYTHONS[0]: (sys.executable,)})
    async with KubernetesApi([pod], tls=True) as api:
        kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
        executor = KubernetesExecutor("cluster-a", KubernetesSettings(kubeconfig=kubeconfig))
        (agent,) = await executor.agents()

        collected = await collect(agent, executor, SystemClock())
        await executor.aclose()

    check(collected)
    assert collected.invocations[-1].container == "system-probe"
