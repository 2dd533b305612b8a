"""`csm selftest` as people start it, in a cluster, with no more rights than it needs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.errors import TargetDenied
from handlers.executors.base import Limits, run
from tests.e2e.deployment import AGENTS, Deployment, cluster


@pytest.fixture
def config(deployment: Deployment, tmp_path: Path) -> Path:
    target = {"kubeconfig": str(deployment.kubeconfig), "namespace": deployment.namespace}
    document = {
        "database_url": f"sqlite:///{tmp_path / 'csm.db'}",
        "targets": {"e2e": {"kubernetes": target}},
        "limits": {"selftest_deadline": "5s"},
    }
    (tmp_path / "csm.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "csm.yaml"


async def csm(config: Path, *arguments: str) -> tuple[int, Any, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, "--config", str(config), "--format", "json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, json.loads(out), err.decode()


async def test_every_agent_has_the_verdict_that_its_evidence_supports(config: Path) -> None:
    status, report, err = await csm(config, "selftest", "e2e")

    assert not err
    assert {agent["agent"]: agent["verdict"] for agent in report["agents"]} == {
        "healthy": "pass",
        "older": "pass",
        "failing": "fail",
        "hanging": "unknown",
    }
    assert (status, report["verdict"]) == (1, "fail")
    codes = {agent["agent"]: [finding["code"] for finding in agent["findings"]] for agent in report["agents"]}
    assert codes == {"healthy": [], "older": [], "failing": ["selftest.rule_failed"], "hanging": ["agent.timeout"]}
    assert {agent["agent"]: agent["agent_version"] for agent in report["agents"]} == {
        name: behaviour.version for name, behaviour in AGENTS.items()
    }


async def test_what_hung_was_ended(config: Path, deployment: Deployment) -> None:
    await csm(config, "selftest", "e2e/hanging")
    # Only what runs there: the stand-in cluster's containers share this machine's processes.
    code = (
        "import os\n"
        "for each in filter(str.isdigit, os.listdir('/proc')):\n"
        " try: seen = [open('/proc/%s/%s' % (each, name)).read() for name in ('environ', 'cmdline')]\n"
        " except OSError: continue\n"
        " if 'STAND_IN_AGENT' in seen[0] and 'self-test' in seen[1] and 'import' not in seen[1]: print(seen[1])"
    )
    async with cluster(deployment) as executor:
        agent = next(agent for agent in await executor.agents() if agent.handle == "hanging")
        done = await run(
            executor, agent, ("python3", "-c", code), container="system-probe", limits=Limits(deadline_s=20)
        )

    assert done.output.stdout == b""
    assert done.exit_status == 0


async def test_the_account_may_not_look_elsewhere(deployment: Deployment) -> None:
    async with cluster(deployment, namespace="kube-system") as executor:
        with pytest.raises(TargetDenied, match="cannot list resource"):
            await executor.agents()
