"""The sandbox's `edge`: stand-ins on a real Docker engine, and nothing left of them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import docker
import pytest

from bot.sandbox.driver import Driver
from bot.sandbox.world import world
from handlers.model import Verdict


async def test_edge_is_practised_on_and_taken_away_again(
    engine: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.csm_url)
    before = {container["Id"] for container in engine.containers(all=True)}

    async with world(whole_fleet=True, settings={"limits": {"min_interval": "0s"}}) as made:
        await made.edge_is_up()
        one, two = made.agents("edge")
        ana = Driver(made.slack)
        await ana.type("/csm selftest edge")
        report = ana.report(await ana.finished())
        assert {agent["agent"]: agent["verdict"] for agent in report["agents"]} == {one: "pass", two: "fail"}

        await made.slack.control.faults.do({"fault": "heal"})
        await ana.type(f"/csm selftest edge/{two}")
        report = ana.report(await ana.finished(number=1))
        assert report["verdict"] == Verdict.PASS.value

    assert {container["Id"] for container in engine.containers(all=True)} == before
    assert not _images(engine)


async def test_what_a_killed_sandbox_left_on_the_engine_is_removed_by_the_next(
    engine: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.csm_url)
    before = {container["Id"] for container in engine.containers(all=True)}
    line = (sys.executable, "-m", "bot", "sandbox", "--once", "/csm selftest edge", "--stay", "--agents", "1")
    master, terminal = os.openpty()
    killed = await asyncio.create_subprocess_exec(*line, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    await asyncio.to_thread(_read_until, master, b"Ctrl-C ends it")
    killed.kill()
    await killed.wait()
    os.close(master)
    left = {container["Id"] for container in engine.containers(all=True)} - before
    assert len(left) == 2

    async with world(whole_fleet=True, start_bot=False) as made:
        await made.edge_is_up()
        now = {container["Id"] for container in engine.containers(all=True)} - before
        assert len(now) == 2
        assert not now & left
        assert len({image["Labels"]["csm.sandbox"] for image in _images(engine)}) == 1

    assert {container["Id"] for container in engine.containers(all=True)} == before
    assert not _images(engine)


def _images(engine: docker.APIClient) -> list[dict[str, Any]]:
    return [image for image in engine.images() if "csm-sandbox" in str(image["RepoTags"])]


def _read_until(terminal: int, words: bytes) -> None:
    shown = b""
    while words not in shown:
        shown += os.read(terminal, 65536)


async def test_this_host_is_practised_on_below_the_sandboxs_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

    async with world(whole_fleet=True) as made:
        ana = Driver(made.slack)
        await made.slack.control.faults.do({"fault": "agent", "agent": "this-host", "is": "rule_failed"})
        await ana.type("/csm selftest this-host")
        report = ana.report(await ana.finished())

    (agent,) = report["agents"]
    assert (agent["verdict"], agent["agent_version"], agent["platform"]) == ("fail", "7.72.4", "host")
    assert agent["argv"][0] == "/opt/datadog-agent/embedded/bin/security-agent"
    assert "no Docker engine answers at unix:///nowhere.sock" in made.absent["edge"]
