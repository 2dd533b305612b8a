"""What goes wrong on the way to one Agent is told as what it was, within its deadline, and harms no other."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from bot.sandbox.kubernetes_api import FAULTS, KubernetesApi, Pod
from handlers.errors import (
    ConnectionLost,
    CsmError,
    DeadlineExceeded,
    Denied,
    ExecError,
    NoExitStatus,
    TargetDenied,
    TargetUnreachable,
    Throttled,
    Unreachable,
    Vanished,
)
from handlers.executors.base import Limits, run
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings

TOLD_AS: dict[str, type[ExecError]] = {
    "http_401": Denied,
    "http_403": Denied,
    "http_404": Vanished,
    "http_410": Vanished,
    "http_429": Throttled,
    "http_500": Unreachable,
    "vanish": Vanished,
    "never": DeadlineExceeded,
    "cut": ConnectionLost,
    "no_status": NoExitStatus,
}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[tuple[KubernetesApi, KubernetesExecutor]]:
    python = {"python3": (sys.executable,)}
    async with KubernetesApi([Pod(f"datadog-{n}", f"node-{n}", binaries=python) for n in (1, 2)]) as api:
        executor = KubernetesExecutor("c", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "k")))
        yield api, executor
        await executor.aclose()


def test_every_fault_of_the_stand_in_is_covered() -> None:
    assert set(TOLD_AS) == set(FAULTS)


@pytest.mark.parametrize("fault", TOLD_AS)
async def test_a_fault_of_one_pod_is_named_and_its_neighbour_answers(
    cluster: tuple[KubernetesApi, KubernetesExecutor], fault: str
) -> None:
    api, executor = cluster
    api.pods["datadog-1"].fault = fault
    broken, healthy = await executor.agents()
    argv = ("python3", "-c", "import time; print('begun', flush=True); time.sleep(0.3)")
    began = time.monotonic()

    failed, done = await asyncio.gather(
        run(executor, broken, argv, container="agent", limits=Limits(deadline_s=3, grace_s=0.5)),
        run(executor, healthy, argv, container="agent", limits=Limits(deadline_s=20)),
        return_exceptions=True,
    )

    assert type(failed) is TOLD_AS[fault]
    assert "node-1" in str(failed) or "datadog-1" in str(failed)
    assert time.monotonic() - began < 15
    assert not isinstance(done, BaseException)
    assert (done.exit_status, done.output.stdout) == (0, b"begun\n")


async def test_a_missing_right_to_list_is_named(cluster: tuple[KubernetesApi, KubernetesExecutor]) -> None:
    api, executor = cluster
    api.rights.discard("list pods")
    with pytest.raises(TargetDenied, match=r'403: .*cannot list resource "pods"'):
        await executor.agents()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (429, "Too many requests"),
        (500, "Internal error occurred"),
        (401, "Unauthorized"),
        (403, "cannot list resource"),
    ],
)
async def test_a_refused_listing_is_told_in_the_servers_own_words(
    cluster: tuple[KubernetesApi, KubernetesExecutor], status: int, said: str
) -> None:
    api, executor = cluster
    api.list_fault = status
    with pytest.raises(CsmError, match=said):
        await executor.agents()


async def test_a_missing_right_to_exec_is_named(cluster: tuple[KubernetesApi, KubernetesExecutor]) -> None:
    api, executor = cluster
    agent, _ = await executor.agents()
    api.rights.discard("create pods/exec")
    with pytest.raises(Denied, match=r"403.*pods/exec"):
        await run(executor, agent, ("python3", "-c", ""), container="agent")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with KubernetesApi([Pod("datadog-1", "node-1")], tls=True) as api, KubernetesApi(tls=True) as other:
        trusting_another = yaml.safe_load(other.write_kubeconfig(tmp_path / "other").read_text())
        trusting_another["clusters"][0]["cluster"]["server"] = api.url
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(trusting_another))
        executor = KubernetesExecutor("c", KubernetesSettings(kubeconfig=kubeconfig))
        with pytest.raises(TargetUnreachable, match="certificate"):
            await executor.agents()
        await executor.aclose()
