"""What goes wrong on the way to a container: told as what it was, by a real engine, within its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from handlers.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Denied,
    ExecError,
    NotReady,
    TargetDenied,
    TargetUnreachable,
    Unreachable,
    Vanished,
)
from handlers.executors.base import Completed, Limits, converse, run
from handlers.executors.docker import DockerExecutor
from handlers.executors.settings import DockerSettings
from handlers.model import Agent
from tests import engine as engines
from tests.relay import unix_relay

QUICK = Limits(deadline_s=20, grace_s=0.5)
SLEEP = ("python3", "-c", "import time; print('begun', flush=True); time.sleep(60)")

LEFT_TO_THE_COLLECTOR = pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
"""The SDK does not close a socket that could not connect (docker/transport/unixconn.py); it is collected within the test."""

pytestmark = pytest.mark.needs("dockerd", root=True)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


class Pair:
    """Two Agents of an engine: one that is broken, and its neighbour."""

    def __init__(self, engine: docker.APIClient, executor: DockerExecutor, broken: Agent, neighbour: Agent) -> None:
        self.engine = engine
        self.executor = executor
        self.broken = broken
        self.neighbour = neighbour

    async def broken_by(self, break_it: Callable[[], object], limits: Limits = QUICK) -> ExecError:
        """Break it in the middle of a command; the neighbour's, which is running meanwhile, must not notice."""
        begun = asyncio.Event()
        there = asyncio.create_task(self.says(self.neighbour, "here", after_s=1))

        async def begin() -> Completed:
            async with converse(self.executor, self.broken, SLEEP, limits=limits, stdin=False) as talk:
                assert await talk.expect(re.compile(b"begun"))
                begun.set()
                return Completed(SLEEP, await talk.finish(), talk.output, 0.0)

        running = asyncio.create_task(begin())
        await asyncio.wait({running, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(break_it)
        with pytest.raises(ExecError) as caught:
            await running
        assert caught.value.output.stdout == b"begun\n"
        assert self.broken.name in str(caught.value)
        assert await there == b"here\n"
        return caught.value

    async def says(self, agent: Agent, word: str, *, after_s: float = 0) -> bytes:
        code = f"import time; time.sleep({after_s}); print({word!r})"
        return (await run(self.executor, agent, ("python3", "-c", code), limits=QUICK)).output.stdout


async def pair(stack: AsyncExitStack, engine: docker.APIClient, url: str | None = None) -> Pair:
    ids = [await asyncio.to_thread(engines.start, engine, name) for name in ("broken", "neighbour")]
    for container in ids:
        stack.callback(_remove, engine, container)
    executor = DockerExecutor("edge", DockerSettings(base_url=url or engine.csm_url))
    stack.push_async_callback(executor.aclose)
    agents = {agent.handle: agent for agent in await executor.agents()}
    return Pair(engine, executor, *(agents[container] for container in ids))


def _remove(engine: docker.APIClient, container: str) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        engine.remove_container(container, force=True)


async def test_a_container_that_is_removed_is_told_as_vanished(stack: AsyncExitStack, engine: docker.APIClient) -> None:
    two = await pair(stack, engine)
    error = await two.broken_by(lambda: engine.remove_container(two.broken.handle, force=True))

    assert isinstance(error, Vanished)
    assert error.ended
    with pytest.raises(Vanished, match="broken"):
        await two.says(two.broken, "anything")


async def test_a_container_that_is_restarted_is_told_as_vanished_and_then_answers(
    stack: AsyncExitStack, engine: docker.APIClient
) -> None:
    two = await pair(stack, engine)
    error = await two.broken_by(lambda: engine.restart(two.broken.handle, timeout=0))

    assert isinstance(error, Vanished)
    assert await two.says(two.broken, "again") == b"again\n"


async def test_a_container_that_is_stopped_is_told_as_vanished_and_then_as_not_ready(
    stack: AsyncExitStack, engine: docker.APIClient
) -> None:
    two = await pair(stack, engine)
    error = await two.broken_by(lambda: engine.stop(two.broken.handle, timeout=0))

    assert isinstance(error, Vanished)
    with pytest.raises(NotReady, match="not running"):
        await two.says(two.broken, "anything")
    agent = next(agent for agent in await two.executor.agents() if agent.name == "broken")
    assert agent.phase.startswith("exited")
    assert not agent.containers[0].ready


async def test_a_container_that_is_paused_costs_its_deadline_and_is_not_said_to_have_ended(
    stack: AsyncExitStack, engine: docker.APIClient
) -> None:
    two = await pair(stack, engine)
    began = time.monotonic()
    error = await two.broken_by(lambda: engine.pause(two.broken.handle), Limits(deadline_s=3, grace_s=0.5))

    assert isinstance(error, DeadlineExceeded)
    assert not error.ended, "it is frozen, not gone"
    assert time.monotonic() - began < 10
    with pytest.raises(NotReady, match="paused"):
        await two.says(two.broken, "anything")
    engine.unpause(two.broken.handle)
    assert await two.says(two.broken, "again") == b"again\n"


async def test_a_container_that_is_between_restarts_is_told_as_not_ready(
    stack: AsyncExitStack, engine: docker.APIClient
) -> None:
    host = engine.create_host_config(network_mode="none", restart_policy={"Name": "always"})
    created = engine.create_container(f"{engines.IMAGE}:stand-in", ["/bin/busybox", "false"], host_config=host)["Id"]
    stack.callback(_remove, engine, created)
    engine.start(created)
    executor = DockerExecutor("edge", DockerSettings(base_url=engine.csm_url))
    stack.push_async_callback(executor.aclose)
    while not _waits_for_its_restart(engine.inspect_container(created)):
        await asyncio.sleep(0.05)
    agent = next(agent for agent in await executor.agents() if agent.handle == created)

    assert agent.phase.startswith("restarting")
    with pytest.raises(NotReady, match="restarting"):
        await run(executor, agent, ("python3", "-c", ""), limits=QUICK)


def _waits_for_its_restart(found: Mapping[str, Any]) -> bool:
    """The engine doubles the pauses between restarts; after four they are long enough to ask in one."""
    return bool(found["RestartCount"] >= 4 and found["State"]["Status"] == "restarting")


async def test_a_connection_cut_in_the_middle_is_told_and_the_process_is_ended_over_another(
    stack: AsyncExitStack, engine: docker.APIClient, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    relay = await stack.enter_async_context(unix_relay(engine.csm_url.removeprefix("unix://"), path))
    two = await pair(stack, engine, f"unix://{path}")
    straight = DockerExecutor("edge", DockerSettings(base_url=engine.csm_url))
    stack.push_async_callback(straight.aclose)
    argv = ("python3", "-c", "import time; time.sleep(1); print('here')")
    neighbour = asyncio.create_task(run(straight, two.neighbour, argv, limits=QUICK))
    with pytest.raises(ConnectionLost, match="broken") as caught:  # noqa: PT012
        async with converse(two.executor, two.broken, SLEEP, limits=QUICK, stdin=False) as talk:
            assert await talk.expect(re.compile(b"begun"))
            relay.cut()
            await talk.finish()
    assert caught.value.ended
    assert len(engine.top(two.broken.handle)["Processes"]) == 1
    assert (await neighbour).output.stdout == b"here\n"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What the SDK leaves to the collector is collected here, and not during somebody else's test."""
    yield
    gc.collect()


@LEFT_TO_THE_COLLECTOR
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_a_socket_that_may_not_be_opened_is_told_as_denied_with_the_group_that_may(
    stack: AsyncExitStack, engine: docker.APIClient
) -> None:
    two = await pair(stack, engine)
    stranger = DockerExecutor("edge", DockerSettings(base_url=engine.csm_url))
    stack.push_async_callback(stranger.aclose)
    os.seteuid(65534)
    try:
        with pytest.raises(TargetDenied, match="group that owns the socket"):
            await stranger.agents()
        with pytest.raises(Denied, match="group that owns the socket"):
            await run(stranger, two.broken, ("python3", "-c", ""), limits=QUICK)
    finally:
        os.seteuid(0)


@LEFT_TO_THE_COLLECTOR
async def test_an_engine_that_is_no_longer_there_is_told_as_lost_and_then_as_unreachable(
    stack: AsyncExitStack, engine: docker.APIClient, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    relay = await stack.enter_async_context(unix_relay(engine.csm_url.removeprefix("unix://"), path))
    two = await pair(stack, engine, f"unix://{path}")
    with pytest.raises(ConnectionLost, match="broken") as caught:  # noqa: PT012
        async with converse(two.executor, two.broken, SLEEP, limits=QUICK, stdin=False) as talk:
            assert await talk.expect(re.compile(b"begun"))
            relay.refusing = True
            relay.cut()
            await talk.finish()
    assert not caught.value.ended, "nothing says that it is gone"
    with pytest.raises(Unreachable, match="engine of edge/broken"):
        await two.says(two.broken, "anything")
    with pytest.raises(TargetUnreachable, match="edge cannot be reached"):
        await two.executor.agents()
    relay.refusing = False
    assert await two.says(two.broken, "again") == b"again\n"


@LEFT_TO_THE_COLLECTOR
async def test_an_engine_that_is_stopped_in_the_middle_is_told_and_answers_once_it_is_started() -> None:
    with engines.engine() as engine:
        async with AsyncExitStack() as stack:
            two = await pair(stack, engine)
            with pytest.raises((ConnectionLost, Vanished), match="broken"):  # noqa: PT012 - it stops its containers first
                async with converse(two.executor, two.broken, SLEEP, limits=QUICK, stdin=False) as talk:
                    assert await talk.expect(re.compile(b"begun"))
                    await asyncio.to_thread(engine.csm_stop)
                    await talk.finish()
            with pytest.raises(Unreachable, match="engine of edge/broken"):
                await two.says(two.broken, "anything")
            await asyncio.to_thread(engine.csm_start)
            for agent in await two.executor.agents():
                engine.start(agent.handle)
            assert await two.says(two.broken, "again") == b"again\n"
