"""The self-test's verdict on a real Docker engine, with the stand-in Agent as a program in containers."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from bot.clock import SystemClock
from bot.sandbox.agent import Behaviour
from handlers.executors.docker import DockerExecutor
from handlers.executors.settings import DockerSettings
from handlers.model import Installation
from handlers.selftest import SelftestSettings, examine
from tests import engine as engines
from tests.verdicts import ERAS, expected

Era = tuple[str, str, bool]


@pytest.fixture(scope="module", params=ERAS, ids=lambda era: f"{era[0]}-{era[1]}")
def agent(request: pytest.FixtureRequest, engine: docker.APIClient) -> Iterator[tuple[Era, str]]:
    version, installation, _ = request.param
    container = engines.start(engine, f"dd-{version}-{installation}", tag=version)
    yield request.param, container
    engine.remove_container(container, force=True)


@pytest.mark.parametrize("fault", ["", "rule_failed", "disabled", "module_down", "hang"])
async def test_the_verdict_is_what_the_evidence_supports(
    engine: docker.APIClient, agent: tuple[Era, str], fault: str
) -> None:
    (version, installation, security_agent), container = agent
    engines.behave(engine, container, Behaviour(version, installation, security_agent, fault).to_json())
    executor = DockerExecutor("edge", DockerSettings(base_url=engine.csm_url))
    found = next(each for each in await executor.agents() if each.handle == container)
    deadline = 2.0 if fault == "hang" else 30.0

    result = await examine(found, executor, SystemClock(), settings=SelftestSettings(deadline_s=deadline))
    await executor.aclose()

    verdict, code = expected(version, fault)
    assert (result.verdict, [finding.code for finding in result.findings]) == (verdict, [code] if code else [])
    assert result.agent_version == version
    assert result.installation is Installation.DOCKER
    assert all(finding.evidence and finding.remediation for finding in result.findings)
    if fault == "hang":
        running = engine.top(container)["Processes"]
        assert len(running) == 1, "the command that hung was ended"
