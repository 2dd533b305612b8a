"""`/csm tc`, from the line that is typed to what stands in the thread and in its files."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from bot.sandbox.driver import Driver
from bot.sandbox.world import World
from handlers.model import Report


async def test_a_mixed_cluster_is_judged_node_by_node(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm tc cluster-a")
    root = await ana.finished()

    assert "4 fail" in root["text"]
    assert "1 unknown" in root["text"]
    assert "7 pass" in root["text"]
    assert "Cilium with tcx (cil_from_netdev, cil_from_contai)" in root["text"]
    assert "AWS network policy agent (handle_ingress, handle_egress)" in root["text"]

    report = Report.model_validate(json.loads(ana.file(".json")))
    found = {result.agent: sorted(finding.code for finding in result.findings) for result in report.agents}
    assert found["node-1"] == []
    assert found["node-2"] == ["tc.removed", "tc.tcx_first"]
    assert found["node-3"] == ["tc.priority_one"]
    assert found["node-12"] == ["tc.unseen"]


async def test_the_thread_has_a_table_for_each_kind_of_device_then_the_advice(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm tc cluster-a")
    posts = [str(message["blocks"]) for message in ana.thread(await ana.finished())[1:] if message.get("blocks")]

    tables = next(number for number, post in enumerate(posts) if "Can return" in post)
    advice = next(number for number, post in enumerate(posts) if "bpf.enableTCX" in post)
    assert tables < advice
    assert "16 devices on 2 Agents" in posts[tables]
    assert "OK, SHOT" in posts[tables]
    assert len(posts) <= 7


async def test_the_evidence_is_a_file_that_is_judged_again_without_any_target(
    sandbox: World, ana: Driver, tmp_path: Path
) -> None:
    await ana.type("/csm tc cluster-a/node-2")
    await ana.finished()
    saved = tmp_path / "node-2.evidence.json"
    saved.write_text(ana.file(".evidence.json"))
    line = [sys.executable, "-m", "bot", "tc", "--evidence", str(saved), "--installation", "helm", "--format", "json"]
    ended = await asyncio.to_thread(
        subprocess.run, line, check=False, capture_output=True, timeout=60, cwd=Path(__file__).parents[2]
    )

    assert ended.returncode == 1, ended.stderr
    (again,) = Report.model_validate_json(ended.stdout).agents
    (before,) = Report.model_validate(json.loads(ana.file(".json"))).agents
    assert again.findings[0].code == "tc.tcx_first"
    assert (again.reason, again.tables) == (before.reason, before.tables)


async def test_asking_again_asks_the_kernel_again(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm tc cluster-a/node-2")
    first = await ana.finished()
    sandbox.cluster.pods["datadog-0002"].network = "none"
    await ana.click(first, "run.again")
    second = await ana.finished(number=1)

    assert "1 fail" in first["text"]
    assert "1 pass" in second["text"]


async def test_a_node_that_cannot_be_asked_is_unknown_and_says_why(sandbox: World, ana: Driver) -> None:
    sandbox.cluster.pods["datadog-0002"].fault = "http_403"
    await ana.type("/csm tc cluster-a/node-2")
    root = await ana.finished()

    assert "1 unknown" in root["text"]
    assert json.loads(ana.file(".json"))["agents"][0]["findings"][0]["code"] == "agent.denied"


async def test_somebody_without_rights_is_refused(sandbox: World, eve: Driver) -> None:
    await eve.type("/csm tc cluster-a")

    (answer,) = eve.messages()
    assert answer["is_ephemeral"]
    assert not sandbox.cluster.commands
