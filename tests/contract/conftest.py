"""The platforms under the contract suite, each with its real parts."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import docker
import pytest

from bot.sandbox.fake import FakeExecutor
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.executors.docker import DockerExecutor
from handlers.executors.host import HostExecutor
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import DockerSettings, HostSettings, KubernetesSettings
from handlers.executors.ssh import SshExecutor
from handlers.model import Agent, Installation, Platform
from tests import engine as engines
from tests.contract.harness import Harness
from tests.sshd import sshd

PLATFORMS = ("host", "ssh", "docker", "kubernetes", "fake")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.APIClient]:
    with ExitStack() as stack:
        yield stack.enter_context(engines.engine())


@pytest.fixture(params=PLATFORMS)
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "host":
                (tmp_path / "opt" / "datadog-agent").mkdir(parents=True)
                host = HostExecutor("this-host", HostSettings(root=tmp_path))
                (agent,) = await host.agents()
                made = Harness(host, agent, sys.executable)
            case "ssh":
                remote = SshExecutor("db-1", (await stack.enter_async_context(sshd(tmp_path))).settings)
                agent = Agent(target="db-1", name="db-1", platform=Platform.HOST, installation=Installation.HOST)
                made = Harness(remote, agent, sys.executable)
            case "fake":
                agent = Agent(target="fake", name="one", platform=Platform.HOST, installation=Installation.HOST)
                made = Harness(FakeExecutor([agent], programs={"python3": (sys.executable,)}), agent, "python3")
            case "docker":
                client = request.getfixturevalue("engine")
                container = engines.start(client, f"agent-{abs(hash(tmp_path)) % 10**8}")
                stack.callback(client.remove_container, container, force=True)
                containers = DockerExecutor("edge", DockerSettings(base_url=client.csm_url))
                agent = next(agent for agent in await containers.agents() if agent.handle == container)
                made = Harness(containers, agent, "/opt/datadog-agent/embedded/bin/python3")
            case _:
                pod = Pod(
                    "datadog-1",
                    "node-1",
                    binaries={"python3": (sys.executable,), "/bin/not-executable": ("/etc/hostname",)},
                )
                api = await stack.enter_async_context(KubernetesApi([pod], tls=True))
                cluster = KubernetesExecutor(
                    "cluster-a", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "kubeconfig"))
                )
                (agent,) = await cluster.agents()
                made = Harness(cluster, agent, "python3", "agent")
        stack.push_async_callback(made.executor.aclose)
        yield made
