"""The self-test's verdict on a real Docker engine, with the stand-in Agent as a program in containers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import docker
import pytest

from bot.runtime.clock import SystemClock
from bot.sandbox.agent import Behaviour
from handlers.executors.docker import DockerExecutor, _started_at
from handlers.executors.settings import DockerSettings
from handlers.model import Installation, Verdict
from handlers.selftest import SelftestSettings, check_agent
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

    result = await check_agent(found, executor, SystemClock(), settings=SelftestSettings(deadline_s=deadline))
    await executor.aclose()

    verdict, code = expected(version, fault)
    if fault == "module_down":  # these containers have just been started, so it may be on its way
        verdict, code = Verdict.UNKNOWN, "selftest.module_starting"
    assert (result.verdict, [finding.code for finding in result.findings]) == (verdict, [code] if code else [])
    assert result.agent_version == version
    assert result.installation is Installation.DOCKER
    assert all(finding.evidence and finding.remediation for finding in result.findings)
    if fault == "hang":
        running = engine.top(container)["Processes"]
        assert len(running) == 1, "the command that hung was ended"


@pytest.mark.parametrize(
    ("status", "up_s"),
    [
        ("Up Less than a second", 0),
        ("Up 12 seconds", 12),
        ("Up About a minute", 60),
        ("Up 5 minutes (healthy)", 300),
        ("Up About an hour", 3600),
        ("Up 3 hours (Paused)", 3 * 3600),
        ("Up 4 months", None),
        ("Exited (1) 5 seconds ago", None),
        ("", None),
    ],
)
def test_how_long_a_container_has_run_is_read_from_the_engines_words(status: str, up_s: float | None) -> None:
    started = _started_at(status)
    found = None if started is None else (datetime.now(UTC) - started).total_seconds()

    assert found == (None if up_s is None else pytest.approx(up_s, abs=5))
