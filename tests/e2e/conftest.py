"""
The cluster under the end-to-end tests: the one that is given, or the stand-in.

    CSM_E2E_KUBECONFIG=~/.kube/config CSM_E2E_CONTEXT=kind-kind CSM_E2E_IMAGE=python:3.12-slim make e2e

Without them the same tests run against the stand-in API server, so that they cannot rot.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.sandbox.kubernetes_api import KubernetesApi
from tests.contract.harness import Harness
from tests.e2e.deployment import Deployment, cluster, deployed

GIVEN = os.environ.get("CSM_E2E_KUBECONFIG", "")
KUBECONFIG = Path(GIVEN).expanduser()


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for all tests, kept by a loop of its own: each test has another one."""
    folder = tmp_path_factory.mktemp("e2e")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="e2e")
    thread.start()
    context = _on_given(folder) if GIVEN else _on_stand_in(folder)
    try:
        yield asyncio.run_coroutine_threadsafe(anext(context.gen), loop).result()
        with pytest.raises(StopAsyncIteration):
            asyncio.run_coroutine_threadsafe(anext(context.gen), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def _on_given(folder: Path) -> AsyncIterator[Deployment]:
    image, context = os.environ.get("CSM_E2E_IMAGE", ""), os.environ.get("CSM_E2E_CONTEXT")
    assert image, "CSM_E2E_IMAGE names an image with python3"
    async with deployed(KUBECONFIG, context, image, folder) as made:
        yield made


@asynccontextmanager
async def _on_stand_in(folder: Path) -> AsyncIterator[Deployment]:
    async with KubernetesApi(tls=True) as api:
        kubeconfig = api.write_kubeconfig(folder / "admin.kubeconfig", admin=True)
        async with deployed(kubeconfig, None, "registry.example/python:3", folder) as made:
            yield made
        assert not api.pods
        assert await api.quiet()


@pytest.fixture
async def harness(deployment: Deployment) -> AsyncIterator[Harness]:
    """What the contract suite asks for, here in the cluster."""
    async with cluster(deployment) as executor:
        agent = next(agent for agent in await executor.agents() if agent.handle == "healthy")
        yield Harness(executor, agent, "python3", "agent")
