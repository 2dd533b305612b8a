"""With the chart's roles the three commands work; without any one of their rules, the command that needs it names it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from bot.sandbox.agent import Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.errors import TargetDenied
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.flare import FlareFailed, FlareRequest, hold
from handlers.model import AgentResult, Verdict
from handlers.selftest import check_agent as selftest
from handlers.tc.examine import examine as tc
from tests.deploy.conftest import ROOT

KINDS = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}
CLOCK = SystemClock()


def chart_documents() -> Iterator[dict[str, Any]]:
    """What the chart grants. The rendered manifests are held to the chart in test_chart.py."""
    text = (ROOT / "deploy" / "manifests" / "csm.yaml").read_text()
    yield from (document for document in yaml.safe_load_all(text) if document and document["kind"] in KINDS)


@contextlib.asynccontextmanager
async def as_the_chart_allows(folder: Path, *, without: str = "") -> AsyncIterator[KubernetesExecutor]:
    """A cluster in which csm has the chart's rights, but for the rule on one resource."""
    async with KubernetesApi([Pod("datadog-1", "node-1", Behaviour())]) as cluster:
        cluster.install_network_plugin("cilium", "cilium/cilium:v1.16.2", cilium={"enable-tcx": "true"})
        for namespace in ("datadog", "csm"):
            cluster.objects.create("namespaces", "", {"metadata": {"name": namespace}})
        for document in chart_documents():
            if document["kind"] == "Role":
                document["rules"] = [rule for rule in document["rules"] if without not in rule["resources"]]
            namespace = document["metadata"]["namespace"]
            cluster.objects.create(KINDS[document["kind"]], namespace, document)
        cluster.token = str(cluster.objects.token("csm", "csm", {})["status"]["token"])
        settings = KubernetesSettings(kubeconfig=cluster.write_kubeconfig(folder / "kubeconfig"))
        # From here on it is a service account's token like any other, not the stand-in's own.
        cluster.token = ""
        executor = KubernetesExecutor("cluster-a", settings)
        try:
            yield executor
        finally:
            await executor.aclose()


async def flare(executor: KubernetesExecutor) -> AgentResult:
    """Build and review a flare, and decline it."""
    (agent,) = await executor.agents()
    request = FlareRequest(email="ana@example.com")
    async with hold(agent, executor, CLOCK, TemporaryFiles(), request) as held:
        return await held.decline("not needed")


async def test_with_the_chart_s_roles_every_command_works(tmp_path: Path) -> None:
    async with as_the_chart_allows(tmp_path) as executor:
        (agent,) = await executor.agents()
        result = await selftest(agent, executor, CLOCK)
        declined = await flare(executor)
        facts = await executor.cluster_facts()

        assert result.verdict is Verdict.PASS
        assert declined.flare is not None
        assert declined.flare.outcome.kind == "declined"
        assert facts.unseen == ()
        assert [plugin.name for plugin in facts.daemon_sets or ()] == ["cilium"]
        assert facts.cilium == {"enable-tcx": "true"}


async def test_without_the_rule_on_pods_no_agent_is_found_and_the_right_is_named(tmp_path: Path) -> None:
    async with as_the_chart_allows(tmp_path, without="pods") as executor:
        with pytest.raises(TargetDenied, match=r'cannot list resource "pods" .* in the namespace "datadog"'):
            await executor.agents()


async def test_without_the_rule_on_exec_every_command_names_it(tmp_path: Path) -> None:
    async with as_the_chart_allows(tmp_path, without="pods/exec") as executor:
        (agent,) = await executor.agents()
        results = [await selftest(agent, executor, CLOCK), await tc(agent, executor, CLOCK)]
        with pytest.raises(FlareFailed) as failed:
            await flare(executor)

        for result in (*results, failed.value.result):
            (finding,) = result.findings
            assert finding.code == "agent.denied"
            assert any("pods/exec" in line for line in finding.evidence)
            assert finding.remediation is not None
            assert any("pods/exec" in step.snippet for step in finding.remediation.steps)


@pytest.mark.parametrize(("resource", "fact"), [("daemonsets", "daemon_sets"), ("configmaps", "cilium")])
async def test_without_a_rule_on_the_network_plugin_tc_says_what_it_did_not_see_and_which_right_is_missing(
    tmp_path: Path, resource: str, fact: str
) -> None:
    async with as_the_chart_allows(tmp_path, without=resource) as executor:
        facts = await executor.cluster_facts()

        assert getattr(facts, fact) is None
        assert any(f'resource "{resource}"' in line and "kube-system" in line for line in facts.unseen), facts.unseen


def test_every_rule_of_the_chart_was_left_out_once() -> None:
    resources = {
        resource
        for document in chart_documents()
        for rule in document.get("rules", ())
        for resource in rule["resources"]
    }

    assert resources == {"pods", "pods/exec", "daemonsets", "configmaps"}
