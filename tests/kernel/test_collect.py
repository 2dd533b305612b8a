"""The collector sent through executors: to this host, and into containers of a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.clock import SystemClock
from handlers.executors.host import HostExecutor
from handlers.executors.settings import HostSettings
from handlers.model import Agent, Installation, Platform
from handlers.tc.collect import Collected, collect
from tests.kernel.lab import OK, UNSPEC, Lab, Netns

HOST = Agent(target="host", name="host", platform=Platform.HOST, installation=Installation.HOST)


def ingress(collected: Collected, node: Netns, device: str) -> list[str]:
    """The names of what is attached there, in the order of run."""
    evidence = collected.evidence
    assert evidence is not None, (collected.code, collected.detail, collected.said)
    (namespace,) = (each for each in evidence.namespaces if each.inode == node.inode)
    (found,) = (each for each in namespace.devices if each.name == device)
    return [evidence.programs[entry.program or 0].name for entry in found.ingress or ()]


@pytest.fixture
def node(lab: Lab) -> Netns:
    """A node with a classic and a tcx program on a pod's device."""
    made = lab.namespace()
    made.veth("eni1", "eth0")
    made.filter("eni1", "ingress", lab.returning(OK, "handle_ingress"), pref=1, handle=1)
    made.tcx("eni1", "ingress", lab.returning(UNSPEC, "tcx_ingress"))
    return made


@pytest.mark.needs_bpf
async def test_a_host_is_collected(node: Netns, tmp_path: Path) -> None:
    (tmp_path / "opt" / "datadog-agent").mkdir(parents=True)
    executor = HostExecutor("this-host", HostSettings(root=tmp_path))
    (agent,) = await executor.agents()

    collected = await collect(agent, executor, SystemClock())

    assert ingress(collected, node, "eni1") == ["tcx_ingress", "handle_ingress"]
    assert [each.argv[0] for each in collected.invocations][-1] == "python3"
