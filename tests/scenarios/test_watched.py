"""The real bot as those who operate it see it: health, metrics, logs and traces, without a secret in any of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.world import World, world

SECRET = "0123456789abcdef" * 2
"""What a hostile stand-in Agent prints as its API key."""


class Collector:
    """An OpenTelemetry collector that keeps the spans' names and attributes."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict[str, str]]] = []
        self.raw = b""
        self.endpoint = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {each.key: each.value.string_value for each in span.attributes}
                    self.spans.append((span.name, attributes))
        return web.Response()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def sandbox(collector: Collector) -> AsyncIterator[World]:
    pods = [Pod("datadog-1", "node-1", Behaviour()), Pod("datadog-2", "node-2", Behaviour(fault="hostile"))]
    settings = {"health": {"port": 0}, "limits": {"min_interval": "1s", "selftest_deadline": "5s"}}
    async with world(pods, settings=settings, start_bot=False) as made:
        made.bot.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
        await made.bot.start()
        yield made


def address(log: Path) -> str:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return str(next(line["address"] for line in lines if line["event"] == "health.listening"))


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


def value(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, flags=re.MULTILINE)
    assert found, f"{sample} is not in:\n{text}"
    return float(found[1])


async def test_a_run_is_seen_in_metrics_logs_and_traces_and_no_secret_with_it(
    sandbox: World, collector: Collector
) -> None:
    ana, eve = Driver(sandbox.slack), Driver(sandbox.slack, user="eve")
    url = address(sandbox.bot.log)
    assert await get(f"{url}/livez") == (200, "ok\n")
    async with asyncio.timeout(10):
        while (await get(f"{url}/readyz"))[0] != 200:
            await asyncio.sleep(0.05)
    await eve.type("/csm selftest cluster-a")
    sandbox.slack.api.faults["chat.getPermalink"] = [500]
    await ana.type("/csm selftest cluster-a")
    await ana.finished()
    _, text = await get(f"{url}/metrics")
    await sandbox.bot.stop()

    assert value(text, 'csm_commands_total{command="selftest",outcome="accepted"}') == 1
    assert value(text, 'csm_commands_total{command="selftest",outcome="refused"}') == 1
    assert value(text, 'csm_ack_seconds_count{kind="command"}') == 2
    assert value(text, "csm_queue_wait_seconds_count") == 2
    assert value(text, 'csm_agent_seconds_count{command="selftest",platform="kubernetes"}') == 2
    assert value(text, 'csm_verdicts_total{command="selftest",platform="kubernetes",verdict="pass"}') >= 1
    assert value(text, 'csm_slack_calls_total{answer="ok",method="chat.postMessage"}') >= 1
    assert value(text, 'csm_slack_calls_total{answer="not JSON",method="chat.getPermalink"}') == 1
    assert value(text, 'csm_slack_waited_seconds_total{method="chat_getPermalink"}') > 0
    assert value(text, "csm_progress_changes_total") >= value(text, "csm_progress_updates_total")
    assert 0 <= value(text, "csm_socket_quiet_seconds") < 30

    log = sandbox.bot.log.read_text()
    waiting = next(line for line in map(json.loads, log.splitlines()) if line["event"] == "slack.waiting")
    assert waiting["run"].startswith("r-")

    names = [name for name, _ in collector.spans]
    assert {"run", "agent", "slack"} <= set(names)
    assert {a["csm.agent"] for name, a in collector.spans if name == "agent"} == {
        "cluster-a/node-1",
        "cluster-a/node-2",
    }

    secrets = (SECRET, sandbox.slack.bot_token, sandbox.slack.app_token, sandbox.cluster.token)
    for place in (log, text, collector.raw.decode("latin-1")):
        assert not [secret for secret in secrets if secret in place]
