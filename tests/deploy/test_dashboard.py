"""The dashboard's queries, asked of a real Prometheus that watches the real bot: each panel has something to draw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.world import world
from tests.deploy.test_alerts import BOARD, dashboard_queries
from tests.programs import find, need

pytestmark = pytest.mark.timeout(120)


@contextlib.asynccontextmanager
async def prometheus(folder: Path, watched: str) -> AsyncIterator[str]:
    """Watch the address, ten times a second. Yields Prometheus' own address."""
    need("prometheus")
    scrape = {"job_name": "csm", "scrape_interval": "100ms", "static_configs": [{"targets": [watched]}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    process = await asyncio.create_subprocess_exec(
        str(find("prometheus")), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0", stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    try:
        async with asyncio.timeout(30):
            while not (
                found := re.search(rb'msg="Listening on" address=(127\S+)', line := await process.stderr.readline())
            ):
                assert line, "Prometheus has ended"
        draining = asyncio.create_task(process.stderr.read())
        yield f"http://{found[1].decode()}"
    finally:
        process.terminate()
        await process.wait()
    await draining


async def ask(session: aiohttp.ClientSession, url: str, query: str) -> list[Any]:
    async with session.get(f"{url}/api/v1/query", params={"query": query}) as answer:
        said = await answer.json()
    assert said["status"] == "success", said
    return [each for each in said["data"]["result"] if each["value"][1] != "NaN"]


async def test_every_panel_has_something_to_draw(tmp_path: Path) -> None:
    settings = {"health": {"port": 0}, "limits": {"min_interval": "0s"}}
    pods = [Pod("datadog-1", "node-1", Behaviour())]
    async with world(pods, settings=settings) as made:
        lines = map(json.loads, made.bot.log.read_text().splitlines())
        watched = next(line["address"] for line in lines if line["event"] == "health.listening")
        ana = Driver(made.slack)
        async with prometheus(tmp_path, watched.removeprefix("http://")) as url, aiohttp.ClientSession() as session:
            for number in range(2):
                made.slack.api.faults["chat.getPermalink"] = [500]
                await ana.type("/csm selftest cluster-a")
                await ana.finished(number=number)
                # What is counted before it was seen for the first time has not grown to Prometheus.
                async with asyncio.timeout(20):
                    while not await ask(session, url, f"sum(csm_run_seconds_count) == {number + 1}"):
                        await asyncio.sleep(0.05)
            for query in dashboard_queries():
                filled = query.replace("$__rate_interval", "1m").replace("$instance", ".*")
                assert await ask(session, url, filled), query
            labels = [each for each in BOARD["templating"]["list"] if each["name"] == "instance"]
            assert [each["query"] for each in labels] == ["label_values(csm_build_info, instance)"]
