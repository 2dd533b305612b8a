"""The image, built on a real engine from a Debian root file system, started and probed as it would be run."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from bot.sandbox.driver import Driver
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from tests import engine as engines

MEGABYTE = 1_000_000
SHELLS_AND_TOOLS = {
    "sh",
    "bash",
    "dash",
    "busybox",
    "apt",
    "apt-get",
    "dpkg",
    "pip",
    "pip3",
    "perl",
    "cc",
    "gcc",
    "env",
    "sudo",
    "su",
}

pytestmark = [pytest.mark.needs("dockerd", root=True), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.APIClient]:
    with engines.engine(storage="overlay2") as engine:
        yield engine


@pytest.fixture(scope="module")
def image(image: Path, engine: docker.APIClient) -> str:
    """The image's name, in the engine."""
    with image.open("rb") as file:
        engine.load_image(file)
    return "csm:test"


def create(engine: docker.APIClient, image: str, command: Sequence[str], **options: Any) -> str:
    """A container as the chart and the compose file run it: read-only, no capability, no new privilege."""
    host = engine.create_host_config(
        read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"], tmpfs={"/tmp": ""}, **options.pop("host", {"network_mode": "none"})
    )  # fmt: skip
    return str(engine.create_container(image, list(command), host_config=host, **options)["Id"])


def run(engine: docker.APIClient, image: str, *command: str) -> tuple[int, str]:
    container = create(engine, image, command)
    engine.start(container)
    status = engine.wait(container)["StatusCode"]
    said = engine.logs(container).decode()
    engine.remove_container(container)
    return status, said


def test_it_is_small_and_holds_no_shell_and_no_tools(engine: docker.APIClient, image: str) -> None:
    container = create(engine, image, ["help"])
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.export(container)))) as tar:
        names = tar.getnames()
    engine.remove_container(container)

    assert engine.inspect_image(image)["Size"] < 200 * MEGABYTE
    assert not [name for name in names if "/bin/" in f"/{name}" and name.rsplit("/", 1)[-1] in SHELLS_AND_TOOLS]


def test_it_runs_as_nobody_special_and_says_what_it_can_do(engine: docker.APIClient, image: str) -> None:
    status, said = run(engine, image, "help")

    assert engine.inspect_image(image)["Config"]["User"] == "65532:65532"
    assert status == 0
    assert "csm selftest <target>" in said


def test_without_a_configuration_it_says_so_and_ends(engine: docker.APIClient, image: str) -> None:
    status, said = run(engine, image, "serve")

    assert status == 2
    assert "/etc/csm/csm.yaml" in said


def test_it_brings_what_traces_need(engine: docker.APIClient, image: str) -> None:
    program = "from bot.runtime import tracing\nwith tracing.traced(): print(tracing._tracer)"
    container = create(
        engine,
        image,
        [],
        entrypoint=["/usr/local/bin/python3", "-c", program],
        environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    )
    engine.start(container)
    status = engine.wait(container)["StatusCode"]
    said = engine.logs(container).decode()
    engine.remove_container(container)
    assert (status, "opentelemetry.sdk.trace.Tracer" in said) == (0, True), said


async def test_it_works_and_is_healthy_and_stops_when_told(
    engine: docker.APIClient, image: str, tmp_path: Path
) -> None:
    async with LocalSlack(MANIFEST) as slack, KubernetesApi([Pod("datadog-1", "node-1")]) as cluster:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "targets": {"cluster-a": {"kubernetes": {"kubeconfig": "/etc/csm/kubeconfig"}}},
            "policy": [{"who": ["@sre"], "may": ["*"], "on": ["*"], "in": ["*"]}],
            "health": {"port": port},
        }
        (tmp_path / "csm.yaml").write_text(yaml.safe_dump(settings))
        kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        os.chown(kubeconfig, 65532, 65532)
        environment = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_API_URL": slack.api_url,
        }
        environment["CSM_HEALTH"] = f"http://127.0.0.1:{port}/livez"
        mounts = [f"{tmp_path}/csm.yaml:/etc/csm/csm.yaml:ro", f"{kubeconfig}:/etc/csm/kubeconfig:ro"]
        connected = asyncio.create_task(slack.socket_mode.hello.wait())
        container = create(
            engine, image, ["serve"], environment=environment, host={"network_mode": "host", "binds": mounts}
        )
        await asyncio.to_thread(engine.start, container)
        try:
            done, _ = await asyncio.wait({connected}, timeout=60)
            assert done, (await asyncio.to_thread(engine.logs, container)).decode()
            ana = Driver(slack)
            await ana.type("/csm selftest cluster-a")
            root = await ana.finished()
            assert "pass" in root["text"]
            probe = await asyncio.to_thread(_probe, engine, container)
            assert probe == 0
        finally:
            connected.cancel()
            await asyncio.to_thread(engine.stop, container, 15)
            state = await asyncio.to_thread(lambda: engine.inspect_container(container)["State"])
            await asyncio.to_thread(engine.remove_container, container, force=True)
        assert state["ExitCode"] == 0


def _probe(engine: docker.APIClient, container: str) -> int:
    """Run the image's own health check; its exit status."""
    check = engine.inspect_container(container)["Config"]["Healthcheck"]["Test"][1:]
    command = engine.exec_create(container, check)["Id"]
    engine.exec_start(command)
    return int(engine.exec_inspect(command)["ExitCode"])
