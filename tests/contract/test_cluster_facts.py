"""What Kubernetes' executor asks the cluster itself, and that a right that is missing is no error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.runtime.clock import SystemClock
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.executors.cluster import KnowsCluster
from handlers.executors.host import HostExecutor
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import HostSettings, KubernetesSettings
from handlers.tc.collect import collect
from handlers.tc.evidence import Cluster

PYTHON = "/opt/datadog-agent/embedded/bin/python3"
ANSWER = 'print(\'{"schema": "csm.tc-evidence/1"}\')'


@pytest.fixture
async def api() -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(
        [Pod("datadog-1", "node-1", binaries={PYTHON: ("/usr/bin/python3", "-c", ANSWER)})]
    ) as made:
        yield made


@pytest.fixture
async def executor(api: KubernetesApi, tmp_path: Path) -> AsyncIterator[KubernetesExecutor]:
    made = KubernetesExecutor("cluster-a", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "kubeconfig")))
    yield made
    await made.aclose()


async def cluster(executor: KubernetesExecutor) -> Cluster:
    (agent,) = await executor.agents()
    collected = await collect(agent, executor, SystemClock())
    assert collected.evidence is not None, collected
    assert collected.evidence.cluster is not None
    return collected.evidence.cluster


async def test_the_network_plugin_and_ciliums_settings_are_evidence(
    api: KubernetesApi, executor: KubernetesExecutor
) -> None:
    settings = {
        "enable-tcx": "true",
        "bpf-filter-priority": "2",
        "identity-allocation-mode": "crd",
        "devices": "e\x1b\nth",
    }
    api.install_network_plugin("cilium", "quay.example/cilium/cilium:v1.17.2", cilium=settings)
    api.install_network_plugin(
        "aws-node", "ecr.example/amazon-k8s-cni:v1.19.0", "ecr.example/aws-network-policy-agent:v1.2.0"
    )

    seen = await cluster(executor)

    assert [(each.name, each.images[-1]) for each in seen.daemon_sets or ()] == [
        ("cilium", "quay.example/cilium/cilium:v1.17.2"),
        ("aws-node", "ecr.example/aws-network-policy-agent:v1.2.0"),
    ]
    assert seen.cilium == {"enable-tcx": "true", "bpf-filter-priority": "2", "devices": "e th"}
    assert seen.unseen == ()


async def test_a_cluster_without_cilium_has_no_settings_of_it(executor: KubernetesExecutor) -> None:
    seen = await cluster(executor)

    assert (seen.daemon_sets, seen.cilium, seen.unseen) == ((), {}, ())


@pytest.mark.parametrize(("right", "unseen"), [("list daemonsets", "daemon_sets"), ("get configmaps", "cilium")])
async def test_what_the_role_does_not_allow_is_not_seen(
    api: KubernetesApi, executor: KubernetesExecutor, right: str, unseen: str
) -> None:
    api.install_network_plugin("cilium", "quay.example/cilium/cilium:v1.17.2", cilium={})
    api.plugin_rights.discard(right)

    seen = await cluster(executor)

    assert {name for name in ("daemon_sets", "cilium") if getattr(seen, name) is None} == {unseen}
    (why,) = seen.unseen
    assert "403" in why
    assert right.split()[1] in why


async def test_an_account_may_do_what_its_role_names(api: KubernetesApi, tmp_path: Path) -> None:
    api.install_network_plugin("cilium", "quay.example/cilium/cilium:v1.17.2", cilium={"enable-tcx": "false"})
    objects = api.objects
    objects.create("serviceaccounts", "kube-system", {"metadata": {"name": "csm"}})
    rules = [
        {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["another"], "verbs": ["get"]},
    ]
    objects.create("roles", "kube-system", {"metadata": {"name": "csm"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "csm", "namespace": "kube-system"}
    binding = {"metadata": {"name": "csm"}, "roleRef": {"name": "csm"}, "subjects": [subject]}
    objects.create("rolebindings", "kube-system", binding)
    token = objects.token("kube-system", "csm", {})["status"]["token"]
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    kubeconfig.write_text(kubeconfig.read_text().replace(api.token, token))
    executor = KubernetesExecutor("cluster-a", KubernetesSettings(kubeconfig=kubeconfig))

    facts = await executor.cluster_facts()
    await executor.aclose()

    assert [each.name for each in facts.daemon_sets or ()] == ["cilium"]
    assert facts.cilium is None


async def test_many_agents_cost_one_question(api: KubernetesApi, executor: KubernetesExecutor) -> None:
    first = await executor.cluster_facts()
    api.install_network_plugin("cilium", "quay.example/cilium/cilium:v1.17.2")

    assert await executor.cluster_facts() is first


def test_only_a_cluster_knows_a_cluster(executor: KubernetesExecutor) -> None:
    assert isinstance(executor, KnowsCluster)
    assert not isinstance(HostExecutor("host", HostSettings()), KnowsCluster)
