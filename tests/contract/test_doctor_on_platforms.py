"""csm doctor on a real Docker engine and a real sshd: what it finds, and what it says when something is wrong."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from bot.doctor import targets
from bot.doctor.check_result import Check
from bot.storage.audit import Entry
from handlers.executors.base import Executor
from handlers.executors.docker import DockerExecutor
from handlers.executors.settings import DockerSettings
from handlers.executors.ssh import SshExecutor
from handlers.model import Verdict
from tests import engine as engines
from tests.sshd import sshd


async def looked(name: str, executor: Executor) -> tuple[dict[str, Check], list[Entry]]:
    told: list[Entry] = []
    try:
        found = [check async for check in targets.look(name, executor, told.append)]
    finally:
        await executor.aclose()
    return {check.name: check for check in found}, told


@pytest.mark.needs("dockerd", root=True)
async def test_an_engine_with_an_agent_passes_its_clock_and_a_command_too(engine: docker.APIClient) -> None:
    container = engines.start(engine, "agent-for-the-doctor")
    try:
        executor = DockerExecutor("edge", DockerSettings(base_url=engine.csm_url))
        found, told = await looked("edge", executor)
    finally:
        engine.remove_container(container, force=True)

    assert {check.verdict for check in found.values()} == {Verdict.PASS}, found
    assert "agree" in found["target.edge.clock"].said
    assert [(entry.event, entry.argv) for entry in told] == [("doctor.asked", [("agent", "version")])]


async def test_an_engine_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    found, told = await looked("edge", DockerExecutor("edge", DockerSettings(base_url=f"unix://{tmp_path}/none.sock")))

    assert found["target.edge.reachable"].verdict is Verdict.FAIL
    assert "cannot be reached" in found["target.edge.reachable"].said
    assert not told


@pytest.mark.needs("sshd", "ssh-keygen")
async def test_a_host_without_an_agent_is_reached_and_said_to_have_none(tmp_path: Path) -> None:
    async with sshd(tmp_path) as server:
        found, _ = await looked("db-1", SshExecutor("db-1", server.settings))

    assert found["target.db-1.reachable"].verdict is Verdict.PASS
    assert found["target.db-1.agents"].verdict is Verdict.FAIL
    assert found["target.db-1.clock"].verdict is Verdict.UNKNOWN
