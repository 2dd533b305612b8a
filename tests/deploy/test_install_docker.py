"""
docs/install.md for a Docker engine, walked through word by word with Docker's own compose, to a self-test in Slack.

The engine is Debian's, in a mount namespace where /srv and /var/run/docker.sock are its own, and the image is what
`make image` builds. An override file says the two things that a reader's machine does not need: the container shares
this machine's network, since the sandbox's Slack listens on loopback (so the published port is left out, and the health
check's is one that is free), and the address of that Slack.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.driver import Driver
from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from tests import engine as engines
from tests.deploy import page
from tests.deploy.conftest import ROOT
from tests.deploy.kubelet import answers, until
from tests.programs import need

COMPOSE = ROOT / "build" / "tools" / "docker-compose"
OVERRIDE = """\
services:
  csm:
    network_mode: host
    ports: !reset []
    environment: {{SLACK_API_URL: "{slack}", CSM_HEALTH: "http://127.0.0.1:{port}/livez"}}
"""

pytestmark = [pytest.mark.needs("dockerd", root=True), pytest.mark.timeout(900)]


@pytest.fixture
def engine(image: Path) -> Iterator[engines.Engine]:
    """A machine's engine with csm's image, and two Agents that run there."""
    with engines.engine(storage="overlay2", own_machine=True) as engine:
        with image.open("rb") as file:
            engine.load_image(file)
        for name in ("datadog-agent-1", "datadog-agent-2"):
            engines.start(engine, name)
        yield engine


def compose(folder: Path) -> str:
    """A Docker configuration in which `docker compose` is there."""
    need("docker", "docker-compose")
    (folder / "docker" / "cli-plugins").mkdir(parents=True)
    (folder / "docker" / "cli-plugins" / "docker-compose").symlink_to(COMPOSE)
    return str(folder / "docker")


async def test_installed_word_by_word_beside_an_engine_it_runs_a_self_test(
    engine: engines.Engine, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = page.configuration("2.", "3b.")
    assert "port: 9090" in config
    (tmp_path / "csm.yaml").write_text(config.replace("port: 9090", f"port: {port}"))
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (block,) = page.blocks("3b.", "sh")
    bring_up = "docker compose --project-directory /srv/csm up"
    before, found, after = block.partition(bring_up)
    assert found
    override = f"cp {tmp_path}/override.yaml /srv/csm/compose.override.yaml\n"
    (tmp_path / "steps").write_text(f"set -eux\ncd {tmp_path}\n{before}{override}{found}{after}")
    async with LocalSlack(MANIFEST) as slack:
        (tmp_path / "override.yaml").write_text(OVERRIDE.format(slack=slack.api_url, port=port))
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")},
            "DOCKER_CONFIG": compose(tmp_path),
            "IMAGE": "csm",
            "TAG": "test",
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
        }
        process = await asyncio.create_subprocess_exec(
            *engine.csm_inside, "bash", str(tmp_path / "steps"), env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said[-4000:]
        (container,) = engine.containers(filters={"label": "com.docker.compose.service=csm"})
        await until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        ana = Driver(slack)
        await ana.type(page.first_command("edge"))
        root = await ana.finished(within_s=120)
        await asyncio.to_thread(engine.stop, container["Id"], 30)
        ended = engine.inspect_container(container["Id"])["State"]["ExitCode"]

    assert "✅ target.edge" in said
    assert "✅ 2 pass" in root["text"]
    assert ended == 0
