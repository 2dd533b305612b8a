"""The verdict end to end through a real Docker container, with an Agent's rights and settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import docker
import pytest

from bot.runtime.clock import SystemClock
from handlers.model import Agent, AgentResult, Verdict
from handlers.tc.document import read_document, unpacked
from handlers.tc.examine import examine
from handlers.tc.result import result_of
from tests import engine as engines
from tests.handlers.tc.nodes import codes
from tests.kernel.lab import OK, Lab, Netns
from tests.kernel.test_collect import AGENTS_LIFE, PYTHON, RIGHTS, agent_of, put, wait_for_its_name
from tests.kernel.test_decision import own

pytestmark = [pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True), pytest.mark.needs("dockerd", root=True)]
SETTINGS = b"runtime_security_config:\n  enabled: true\n  network:\n    classifier_priority: 20\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.APIClient]:
    with engines.engine() as client:
        yield client


async def test_a_raised_priority_is_found_and_the_advice_keeps_to_the_key_that_is_set(
    engine: docker.APIClient, lab: Lab
) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0", into=lab.namespace())
    node.filter("eni1", "ingress", lab.returning(OK, "vendor_in"), pref=15, handle=1)
    own(lab, node, "ingress", pref=20)
    own(lab, node, "egress", pref=20)
    container = engines.start(engine, "judged", command=(PYTHON, "-Ic", AGENTS_LIFE), pid_mode="host", **RIGHTS)
    put(engine, container, "/etc", {"datadog-agent/system-probe.yaml": SETTINGS})
    put(engine, container, "/opt", {"datadog-agent/version-manifest.json": b'{"build_version": "7.70.1"}'})
    executor, agent = await agent_of(engine, container)
    await asyncio.to_thread(wait_for_its_name, engine.inspect_container(container)["State"]["Pid"])

    whole = await examine(agent, executor, SystemClock())
    await executor.aclose()
    result = alone(whole, agent, node)

    assert (result.verdict, codes(result)) == (Verdict.FAIL, ["tc.priority_raised"]), result.reason
    remediation = result.findings[0].remediation
    assert remediation is not None
    assert remediation.steps[0].snippet == "-e DD_RUNTIME_SECURITY_CONFIG_NETWORK_CLASSIFIER_PRIORITY=10"


def alone(whole: AgentResult, agent: Agent, node: Netns) -> AgentResult:
    """The same document with the laboratory's namespace alone, as if it were the host's."""
    evidence = read_document(unpacked(whole.document).encode())
    (namespace,) = (each for each in evidence.namespaces if each.inode == node.inode)
    only = {"namespaces": (namespace.model_copy(update={"host": True}),), "unseen": ()}
    return result_of(agent, evidence.model_copy(update=only))
