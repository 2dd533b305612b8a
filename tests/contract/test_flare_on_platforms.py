"""A flare on every platform with its real parts: held, reviewed, answered once, and never uploaded by accident."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from bot.config.settings import TargetSettings
from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.world import world
from handlers.executors.base import Executor, Limits, Stream, run
from handlers.executors.docker import DockerExecutor, DockerSession
from handlers.executors.settings import DockerSettings, HostSettings, KubernetesSettings
from handlers.flare import FlareFailed, FlareRequest, HeldFlare, hold
from handlers.model import Agent, Verdict
from tests import engine as engines
from tests import installed
from tests.contract.holder import executor_of
from tests.handlers.flare.flares import QUICK, REQUEST
from tests.relay import tcp_relay, unix_relay
from tests.sshd import sshd

PLATFORMS = ("host", "ssh", "docker", "kubernetes")
LIMITS = Limits(deadline_s=20)


@dataclass
class Place:
    """One Agent on a platform, with a way to it that can be cut."""

    target: TargetSettings
    executor: Executor
    agent: Agent
    python: str
    tmp: str
    behave: Callable[[Behaviour], object]
    cut: Callable[[], object] | None
    """Cuts the connection; `None` where there is none."""

    def held(self, request: FlareRequest = REQUEST) -> contextlib.AbstractAsyncContextManager[HeldFlare]:
        return hold(self.agent, self.executor, SystemClock(), TemporaryFiles(), request, settings=QUICK)

    async def do(self, *argv: str) -> bytes:
        """Run something beside the Agent."""
        done = await run(self.executor, self.agent, argv, container=self._container, limits=LIMITS)
        assert done.exit_status == 0, done.output.stderr
        return done.output.stdout

    async def told(self, *events: str) -> Sequence[dict[str, object]]:
        """The ledger's entries of these events."""
        ledger = await self.do("cat", f"{self.tmp}/flare-ledger.jsonl")
        return [entry for entry in map(json.loads, ledger.splitlines()) if entry["event"] in events]

    async def is_over(self) -> bool:
        """Wait until no process of a flare is left there."""
        (started,) = await self.told("started")
        code = f"import os, sys; sys.exit(os.path.exists('/proc/{started['pid']}/stat') and ' Z ' not in open('/proc/{started['pid']}/stat').read())"
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            argv = (self.python, "-c", code)
            done = await run(self.executor, self.agent, argv, container=self._container, limits=LIMITS)
            if done.exit_status == 0:
                return True
        return False

    @property
    def _container(self) -> str | None:
        return "agent" if self.target.kubernetes else None


@pytest.fixture(scope="module")
def container(engine: docker.APIClient) -> Iterator[str]:
    made = engines.start(engine, "flares", tag="7.70.1")
    yield made
    engine.remove_container(made, force=True)


@pytest.fixture(params=PLATFORMS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        make = {"host": _host, "ssh": _ssh, "docker": _docker, "kubernetes": _kubernetes}[request.param]
        made = await make(stack, request, tmp_path)
        stack.push_async_callback(made.executor.aclose)
        yield made


async def _host(_: AsyncExitStack, __: pytest.FixtureRequest, folder: Path) -> Place:
    installed.install(folder)
    target = TargetSettings(host=HostSettings(root=folder))
    return await _place(target, sys.executable, str(folder / "tmp"), lambda it: installed.behave(folder, it), None)


async def _ssh(stack: AsyncExitStack, _: pytest.FixtureRequest, folder: Path) -> Place:
    server = await stack.enter_async_context(sshd(folder, seen={"/opt": installed.install(folder)}))
    relay = await stack.enter_async_context(tcp_relay(server.settings.port))
    known = folder / "known_by_relay"
    known.write_text(server.settings.known_hosts.read_text().replace(f":{server.settings.port} ", f":{relay.port} "))
    target = TargetSettings(ssh=server.settings.model_copy(update={"port": relay.port, "known_hosts": known}))
    behave = lambda it: installed.behave(folder, it)  # noqa: E731
    return await _place(target, sys.executable, str(folder / "tmp"), behave, relay.cut)


async def _docker(stack: AsyncExitStack, request: pytest.FixtureRequest, folder: Path) -> Place:
    client, container = request.getfixturevalue("engine"), request.getfixturevalue("container")
    relay = await stack.enter_async_context(unix_relay(client.csm_url.removeprefix("unix://"), folder / "relay.sock"))
    target = TargetSettings(docker=DockerSettings(base_url=f"unix://{folder}/relay.sock"))
    behave = lambda it: engines.behave(client, container, it.to_json())  # noqa: E731
    made = await _place(target, "python3", "/tmp", behave, relay.cut)
    await made.do("rm", "-f", "/tmp/flare-ledger.jsonl")
    return made


async def _kubernetes(stack: AsyncExitStack, _: pytest.FixtureRequest, folder: Path) -> Place:
    pod = Pod("datadog-1", "node-1")
    api = await stack.enter_async_context(KubernetesApi([pod], tls=True))
    target = TargetSettings(kubernetes=KubernetesSettings(kubeconfig=api.write_kubeconfig(folder / "kubeconfig")))
    behave = lambda it: setattr(pod, "behaviour", it)  # noqa: E731
    return await _place(target, "python3", str(api.tmp(pod.name)), behave, lambda: api.cut(pod.name))


async def _place(
    target: TargetSettings,
    python: str,
    tmp: str,
    behave: Callable[[Behaviour], object],
    cut: Callable[[], object] | None,
) -> Place:
    executor = executor_of(target)
    agents = await executor.agents()
    agent = next(agent for agent in agents if agent.name in {"t", "flares", "node-1"})
    made = Place(target, executor, agent, python, tmp, behave, cut)
    await asyncio.to_thread(made.behave, Behaviour())
    return made


async def test_an_approved_archive_is_uploaded_once_and_is_the_reviewed_one(place: Place) -> None:
    async with place.held() as held:
        assert not await place.told("answered", "uploaded")
        result = await held.approve()

    (uploaded,) = await place.told("uploaded")
    assert uploaded["sha256"] == held.review.sha256
    assert (uploaded["case"], uploaded["email"]) == ("1234567", "ana@example.com")
    assert (result.verdict, result.reason) == (Verdict.PASS, "Datadog has the archive, as case 1234567.")
    assert held.review.name.startswith("datadog-agent-")
    assert held.review.argv[0].endswith("security-agent")
    assert result.agent_version == "7.70.1"


async def test_a_declined_archive_is_not_uploaded_and_stays(place: Place) -> None:
    async with place.held() as held:
        result = await held.decline("Declined by sam.")

    assert [entry["answer"] for entry in await place.told("answered", "uploaded")] == ["n"]
    assert result.verdict is Verdict.SKIPPED
    assert await place.do("cat", held.review.path)


@pytest.mark.parametrize(
    ("change", "code"),
    [("open(sys.argv[1], 'ab').write(b'x')", "flare.changed"), ("os.unlink(sys.argv[1])", "flare.vanished")],
)
async def test_an_archive_that_changed_or_vanished_is_not_uploaded(place: Place, change: str, code: str) -> None:
    async with place.held() as held:
        await place.do(place.python, "-c", f"import os, sys; {change}", held.review.path)
        result = await held.approve()

    assert result.findings[0].code == code
    assert [entry["answer"] for entry in await place.told("answered", "uploaded")] == ["n"]


async def test_a_connection_that_is_cut_uploads_nothing(place: Place) -> None:
    if place.cut is None:
        return  # a process of this host has no connection; see the one that is killed
    async with place.held() as held:
        place.cut()
        result = await asyncio.wait_for(held.ended(), 20)

    # Docker's engine closes the command's input, and still knows how it ended.
    ended = {"flare.lost_waiting"} | ({"flare.ended_waiting"} if place.target.docker else set())
    assert result.findings[0].code in ended
    assert result.flare is not None
    assert result.flare.outcome.kind == "not_uploaded"
    assert not await place.told("uploaded")
    assert await place.is_over()


async def test_a_cancelled_wait_uploads_nothing_and_leaves_no_process(place: Place) -> None:
    waiting = asyncio.Event()

    async def wait() -> None:
        async with place.held() as held:
            waiting.set()
            await held.ended()

    task = asyncio.create_task(wait())
    await asyncio.wait_for(waiting.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not await place.told("uploaded")
    assert await place.is_over()


async def test_a_killed_csm_uploads_nothing_and_leaves_no_process(place: Place) -> None:
    arguments = (place.target.model_dump_json(exclude_none=True), place.agent.model_dump_json())
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.holder", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await asyncio.wait_for(holder.stdout.readline(), 60) == b"held\n"
    holder.kill()
    await holder.wait()

    assert await place.is_over()
    assert not await place.told("uploaded")
    assert [entry["answer"] for entry in await place.told("answered")] in ([], [""])


async def test_a_process_that_is_killed_there_is_told(place: Place) -> None:
    async with place.held() as held:
        (started,) = await place.told("started")
        await place.do(place.python, "-c", f"import os; os.kill({started['pid']}, 9)")
        result = await asyncio.wait_for(held.ended(), 20)

    assert result.findings[0].code == "flare.ended_waiting"
    assert "137" in result.reason
    assert not await place.told("uploaded")


async def test_where_no_security_agent_runs_the_agents_own_flare_is_full(place: Place) -> None:
    await asyncio.to_thread(place.behave, Behaviour(fault="flare_security_down"))
    async with place.held() as held:
        result = await held.approve()

    # In a cluster the container is there and ready, so that its silence is worth a warning.
    in_a_cluster = place.target.kubernetes is not None
    assert held.review.local is in_a_cluster
    assert result.verdict is (Verdict.WARN if in_a_cluster else Verdict.PASS)
    assert held.review.argv[0].rsplit("/", 1)[-1] == ("security-agent" if in_a_cluster else "agent")
    assert len(await place.told("uploaded")) == 1
    assert {entry["answer"] for entry in await place.told("answered")} <= {"y", "n", ""}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("flare_local", "flare.local"),
        ("flare_refused", "flare.refused"),
        ("flare_swapped", "flare.changed_during_upload"),
    ],
)
async def test_what_the_agent_says_of_an_upload_is_told_as_it_was(place: Place, fault: str, code: str) -> None:
    await asyncio.to_thread(place.behave, Behaviour(fault=fault))
    async with place.held() as held:
        result = await held.approve()

    assert result.findings[0].code == code


@pytest.mark.parametrize("fault", ["flare_email_asked", "flare_new_wording"])
async def test_what_was_not_expected_is_not_answered(place: Place, fault: str) -> None:
    await asyncio.to_thread(place.behave, Behaviour(fault=fault))
    with pytest.raises(FlareFailed) as caught:
        async with place.held():
            pass

    assert caught.value.result.findings[0].code.startswith("flare.")
    assert not await place.told("uploaded")
    assert await place.is_over()


@pytest.mark.needs("dockerd", root=True)
async def test_a_silent_connection_to_an_engine_over_tcp_is_probed(engine: docker.APIClient, container: str) -> None:
    async with AsyncExitStack() as stack:
        address = engine.csm_url.removeprefix("unix://")
        relay = await stack.enter_async_context(tcp_relay(lambda: asyncio.open_unix_connection(address)))
        executor = DockerExecutor("edge", DockerSettings(base_url=f"tcp://127.0.0.1:{relay.port}"))
        stack.push_async_callback(executor.aclose)
        agent = next(agent for agent in await executor.agents() if agent.handle == container)
        session = await stack.enter_async_context(executor.open(agent, ("cat",), stdin=True))
        assert isinstance(session, DockerSession)
        connection = session._socket

        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 20
        await session.write(b"still there\n")
        assert await session.read() == (Stream.STDOUT, b"still there\n")
        await session.end(0.5)


@pytest.mark.timeout(120)
async def test_the_bot_uploads_what_sam_approves_and_no_more(place: Place) -> None:
    """From the typed line to the Agent's ledger: the real bot, Slack's stand-in, and this platform's real parts."""
    settings = {
        "targets": {"t": place.target.model_dump(mode="json", exclude_none=True)},
        "approvals": {"flare": {"by": ["@security"]}},
    }
    async with world([], settings=settings) as made:
        ana, sam = Driver(made.slack), Driver(made.slack, user="sam")
        await ana.type(f"/csm flare t/{place.agent.name} 1234567")
        card = await ana.card()
        assert not await place.told("answered", "uploaded")
        await sam.click(card, "flare.approve")
        root = await ana.finished()

    assert "Uploaded" in root["text"]
    (uploaded,) = await place.told("uploaded")
    assert uploaded["sha256"] in str(card)
    assert await place.is_over()
