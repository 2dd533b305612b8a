"""The collector sent through executors: to this host, and into containers of a real engine."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from bot.runtime.clock import SystemClock
from bot.sandbox import image
from bot.sandbox.fake import FakeExecutor
from handlers.executors.docker import DockerExecutor
from handlers.executors.host import HostExecutor
from handlers.executors.settings import DockerSettings, HostSettings
from handlers.model import Agent, Container, Installation, Platform
from handlers.tc.collect import Collected, CollectSettings, collect
from tests import engine as engines
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


@pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
async def test_a_host_is_collected(node: Netns, tmp_path: Path) -> None:
    (tmp_path / "opt" / "datadog-agent").mkdir(parents=True)
    executor = HostExecutor("this-host", HostSettings(root=tmp_path))
    (agent,) = await executor.agents()

    collected = await collect(agent, executor, SystemClock())

    assert ingress(collected, node, "eni1") == ["tcx_ingress", "handle_ingress"]
    assert [each.argv[0] for each in collected.invocations][-1] == "python3"


AGENTS_LIFE = """
import time
open("/proc/self/comm", "w").write("system-probe")
while True: time.sleep(3600)
"""
"""A process with the name of the Agent's, for as long as its container runs."""
PYTHON = f"/{image.EMBEDDED}"
RIGHTS = {
    "cap_add": ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "NET_BROADCAST", "NET_RAW", "IPC_LOCK", "CHOWN"],
    "security_opt": ["apparmor=unconfined"],
}
"""What the documentation gives the Agent's container, but for SYS_RESOURCE, which not every machine has to give."""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.APIClient]:
    with engines.engine() as client:
        client.import_image_from_data(tools_image(), repository=engines.IMAGE, tag="no-python")
        yield client


def tools_image() -> bytes:
    """A file system with `tc`, `ip` and `bpftool`, and no Python."""

    def fill(tar: tarfile.TarFile) -> None:
        tar.add("/bin/busybox", "bin/busybox")
        for name in ("uname", "readlink", "env"):
            image.link(tar, f"usr/bin/{name}", "/bin/busybox")
        for name in ("tc", "ip", "bpftool"):
            program = Path(os.path.realpath(shutil.which(name) or name))
            image.add_programs(tar, [program])
            if str(program) != f"/usr/bin/{name}":
                image.link(tar, f"usr/bin/{name}", str(program))

    return image.file_system(fill)


async def agent_of(client: docker.APIClient, container: str) -> tuple[DockerExecutor, Agent]:
    executor = DockerExecutor("edge", DockerSettings(base_url=client.csm_url))
    return executor, next(agent for agent in await executor.agents() if agent.handle == container)


@pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
@pytest.mark.needs("dockerd", root=True)
async def test_a_container_with_the_rights_of_an_agent_sees_its_node(engine: docker.APIClient, node: Netns) -> None:
    command = (PYTHON, "-Ic", AGENTS_LIFE)
    container = engines.start(engine, "with-rights", command=command, pid_mode="host", **RIGHTS)
    settings = b"event_monitoring_config:\n  network:\n    classifier_priority: 3\n"
    put(engine, container, "/etc", {"datadog-agent/system-probe.yaml": settings})
    put(engine, container, "/opt", {"datadog-agent/version-manifest.json": b'{"build_version": "7.70.1"}'})
    executor, agent = await agent_of(engine, container)
    await asyncio.to_thread(wait_for_its_name, engine.inspect_container(container)["State"]["Pid"])

    collected = await collect(agent, executor, SystemClock())
    await executor.aclose()

    assert ingress(collected, node, "eni1") == ["tcx_ingress", "handle_ingress"]
    seen = collected.evidence.agent if collected.evidence else None
    assert seen is not None
    assert seen.version == "7.70.1"
    priority = seen.settings["network.classifier_priority"]
    assert (priority.value, priority.source) == ("3", "/etc/datadog-agent/system-probe.yaml")
    assert seen.settings_seen
    assert not seen.unseen


@pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
@pytest.mark.needs("dockerd", root=True)
async def test_a_container_without_rights_says_what_it_cannot_see(engine: docker.APIClient, node: Netns) -> None:
    executor, agent = await agent_of(engine, engines.start(engine, "without-rights"))

    collected = await collect(agent, executor, SystemClock())
    await executor.aclose()

    assert collected.evidence is not None
    assert any("The host's processes cannot be seen" in each for each in collected.evidence.unseen)
    assert any("host's is not known" in each for each in collected.evidence.unseen)
    assert node.inode not in {each.inode for each in collected.evidence.namespaces}
    assert not any(each.host for each in collected.evidence.namespaces)


@pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
@pytest.mark.needs("dockerd", root=True)
async def test_without_python_the_tools_tell_what_they_can(engine: docker.APIClient, lab: Lab) -> None:
    container = engines.start(engine, "no-python", tag="no-python", **RIGHTS)
    inside = lab.of_process(engine.inspect_container(container)["State"]["Pid"])
    inside.veth("eni1", "eth0")
    inside.filter("eni1", "ingress", lab.returning(OK, "handle_ingress"), pref=1, handle=1, name="by its vendor")
    inside.plain_filter(
        "eni1", "egress", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "lo"
    )
    inside.tcx("eni1", "ingress", lab.returning(OK, "cil_from_contai"))
    executor, agent = await agent_of(engine, container)

    collected = await collect(agent, executor, SystemClock())
    await executor.aclose()

    evidence = collected.evidence
    assert evidence is not None, (collected.code, collected.detail, collected.said)
    assert evidence.collector == "tools"
    assert evidence.kernel == os.uname().release
    (namespace,) = evidence.namespaces
    assert namespace.inode == inside.inode
    device = next(each for each in namespace.devices if each.name == "eni1")
    (entry,) = [entry for entry in device.ingress or () if entry.pref is not None]
    assert (entry.pref, entry.handle, entry.name, entry.direct_action) == (1, 1, "by its vendor", True)
    assert evidence.programs[entry.program or 0].name == "handle_ingress"
    assert evidence.programs[entry.program or 0].instructions is None
    assert [entry.actions for entry in device.egress or ()] == [("mirred egress redirect stolen",)]
    # Debian 12's bpftool does not list tcx: then it was not seen, and is said to be.
    shown = any(entry.attachment == "tcx" for entry in device.ingress or ())
    assert device.tcx_seen is shown
    assert shown or any("tcx" in each for each in evidence.unseen)
    assert evidence.agent.settings_seen is False


def wait_for_its_name(pid: int) -> None:
    while Path(f"/proc/{pid}/comm").read_text() != "system-probe\n":
        time.sleep(0.01)


def put(client: docker.APIClient, container: str, folder: str, contents: dict[str, bytes]) -> None:
    """Put files into a container."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    client.put_archive(container, folder, buffer.getvalue())


def pod(*containers: Container) -> Agent:
    return Agent(
        target="cluster-a",
        name="node-1",
        platform=Platform.KUBERNETES,
        installation=Installation.HELM,
        containers=containers,
    )


@pytest.mark.parametrize(
    ("containers", "chosen"),
    [
        ([Container(name="agent"), Container(name="security-agent"), Container(name="system-probe")], "system-probe"),
        ([Container(name="agent"), Container(name="security-agent")], "security-agent"),
        (
            [
                Container(name="agent"),
                Container(name="system-probe", ready=False, state="waiting: CrashLoopBackOff"),
            ],
            "agent",
        ),
        (
            [Container(name="agent"), Container(name="system-probe", ready=False, state="running, not ready")],
            "system-probe",
        ),
        ([Container(name="datadog-agent")], None),
    ],
)
async def test_it_runs_in_the_container_with_the_most_rights(containers: list[Container], chosen: str | None) -> None:
    agent = pod(*containers)
    executor = FakeExecutor([agent], programs=saying('print(\'{"schema": "csm.tc-evidence/1"}\')'))

    collected = await collect(agent, executor, SystemClock())

    assert collected.evidence is not None
    assert [each.container for each in collected.invocations] == [chosen]


async def test_no_container_that_runs_is_said() -> None:
    agent = pod(Container(name="agent", ready=False, state="waiting: ImagePullBackOff"))

    collected = await collect(agent, FakeExecutor([agent]), SystemClock())

    assert (collected.evidence, collected.code) == (None, "agent.container_not_ready")
    assert "ImagePullBackOff" in collected.detail


NOTHING = dict.fromkeys(("python3", "tc"), ("/nonexistent",))


def saying(program: str) -> dict[str, tuple[str, ...]]:
    """An Agent's Python that ignores what it is given, and does something else; there is no other, and no `tc`."""
    return {**NOTHING, PYTHON: (sys.executable, "-c", program)}


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("print('not JSON')", "tc.unreadable", "Invalid JSON"),
        ("pass", "tc.unreadable", "empty"),
        ('print(\'{"schema": "csm.tc-evidence/1", "namespaces": [{\')', "tc.unreadable", "Invalid JSON"),
        ('print(\'{"schema": "csm.tc-evidence/2"}\')', "tc.unreadable", "csm.tc-evidence/1"),
        ("print('x' * 3_000_000)", "agent.output_limit", "bytes"),
        ("import time; time.sleep(60)", "agent.timeout", "still running"),
        ("raise SystemExit('there is no module named _ctypes')", "tc.unreadable", "ended with 1"),
    ],
)
async def test_what_is_no_evidence_is_a_coded_failure(program: str, code: str, words: str) -> None:
    executor = FakeExecutor([HOST], programs=saying(program))

    collected = await collect(
        HOST, executor, SystemClock(), settings=CollectSettings(deadline_s=3, max_bytes=2_000_000)
    )

    assert (collected.evidence, collected.code) == (None, code)
    assert words in collected.detail
    assert all("\n" not in line for line in collected.said)


async def test_neither_python_nor_tools_is_a_coded_failure() -> None:
    collected = await collect(HOST, FakeExecutor([HOST], programs=NOTHING), SystemClock())

    assert (collected.evidence, collected.code) == (None, "agent.binary_missing")
    assert "neither a Python" in collected.detail
