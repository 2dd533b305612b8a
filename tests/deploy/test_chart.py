"""The Helm chart: valid, least in its rights, and what csm itself can read."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bot.config.settings import load
from tests.deploy.conftest import KUBERNETES, ROOT, Render

ONE = yaml.safe_load((ROOT / "deploy" / "manifests" / "values.yaml").read_text())
REPLICAS = {
    **ONE,
    "replicas": 3,
    "database": {"postgresql": {"url": "postgresql://csm@db.example.com/csm", "secret": "csm-database"}},
    "kubeconfigs": {"secret": "csm-kubeconfigs"},
    "ssh": {"secret": "csm-ssh"},
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "agentNamespaces": ["datadog", "monitoring"],
    "podLabels": {"team": "security"},
    "podAnnotations": {"note": "x"},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + "0" * 64},
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 8443, "protocol": "TCP"}]}]},
}
VALUES = pytest.mark.parametrize("values", [ONE, REPLICAS], ids=["one replica", "everything"])
CUSTOM = {"ServiceMonitor"}
"""Kinds of other projects, which the Kubernetes schemas do not have."""


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


@VALUES
def test_every_document_is_valid_for_kubernetes(render: Render, values: dict[str, Any]) -> None:
    for document in render(values):
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


@VALUES
def test_its_configuration_is_one_that_csm_reads(render: Render, values: dict[str, Any], tmp_path: Path) -> None:
    (config,) = of_kind(render(values), "ConfigMap")
    file = tmp_path / "csm.yaml"
    file.write_text(config["data"]["csm.yaml"])

    assert load(file).database_url.startswith("postgresql://" if "replicas" in values else "sqlite:////var/lib/csm/")


@VALUES
def test_the_pod_fits_pod_security_restricted(render: Render, values: dict[str, Any]) -> None:
    """kubernetes.io: docs/concepts/security/pod-security-standards, "restricted"."""
    (stateful,) = of_kind(render(values), "StatefulSet")
    spec = stateful["spec"]["template"]["spec"]

    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {
        "configMap",
        "emptyDir",
        "secret",
        "persistentVolumeClaim",
        "projected",
    }
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount"} & context.keys()


@VALUES
def test_its_rights_are_these_and_no_other(render: Render, values: dict[str, Any]) -> None:
    documents = render(values)
    rules = {
        (role["metadata"]["namespace"], resource, name): set(rule["verbs"])
        for role in of_kind(documents, "Role")
        for rule in role["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    agents = {
        (namespace, resource, ""): verbs
        for namespace in values.get("agentNamespaces", ["datadog"])
        for resource, verbs in (("pods", {"get", "list"}), ("pods/exec", {"create", "get"}))
    }
    plugin = {
        ("kube-system", "daemonsets", ""): {"get", "list"},
        ("kube-system", "configmaps", "cilium-config"): {"get"},
    }

    assert rules == agents | plugin
    assert not of_kind(documents, "ClusterRole") + of_kind(documents, "ClusterRoleBinding")
    (account,) = of_kind(documents, "ServiceAccount")
    for binding in of_kind(documents, "RoleBinding"):
        assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]


@VALUES
def test_secrets_come_by_reference_only(render: Render, values: dict[str, Any]) -> None:
    documents = render(values)
    (stateful,) = of_kind(documents, "StatefulSet")
    container = stateful["spec"]["template"]["spec"]["containers"][0]

    assert not of_kind(documents, "Secret")
    assert container["envFrom"] == [{"secretRef": {"name": "csm-slack"}}]
    assert all("PASSWORD" not in each["name"] or "valueFrom" in each for each in container["env"])


def test_every_replica_has_a_name_of_its_own_to_find_its_runs_again(render: Render) -> None:
    (stateful,) = of_kind(render(REPLICAS), "StatefulSet")
    env = {each["name"]: each for each in stateful["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert env["CSM_REPLICA"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "more than one needs database.postgresql.url"),
        ({"database": {"postgresql": {"url": "postgresql://csm@db/csm"}}}, "the Secret that holds the password"),
        ({"database": {"postgresql": {"url": "postgresql://csm:hunter2@db/csm", "secret": "x"}}}, "/database/postgresql/url"),
        ({"database": {"postgresql": {"url": "postgresql://csm@db/csm?password=hunter2", "secret": "x"}}}, "/database/postgresql/url"),
        ({"replica": 2}, "replica"),
        ({"replicas": 11}, "/replicas"),
        ({"config": "targets: {}\n"}, "/config"),
        ({"config": "targets:\npolicy: []\n"}, "/config"),
        ({"config": "targets:\n  a: {host: {}}\nhealth: {port: 1}\n"}, "/config"),
        ({"slack": {"secret": ""}}, "/slack/secret"),
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(render: Render, values: dict[str, Any], said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render({**ONE, **values})

    assert said in caught.value.stderr


@pytest.mark.parametrize(
    "config",
    ["targets: {a: {host: {}}}", "targets: # ours\n\n  # the first\n  'a': {host: {}}", "policy: []\ntargets:\n  a:\n    host: {}"],
)  # fmt: skip
def test_targets_may_be_written_as_yaml_lets_them(render: Render, config: str, tmp_path: Path) -> None:
    (made,) = of_kind(render({**ONE, "config": config}), "ConfigMap")
    (tmp_path / "csm.yaml").write_text(made["data"]["csm.yaml"])
    assert list(load(tmp_path / "csm.yaml").targets) == ["a"]


@pytest.mark.parametrize(
    ("url", "port"),
    [("postgresql://csm@db/csm", 5432), ("postgresql://csm@db:6432/csm?sslmode=verify-full#x", 6432), ("postgresql://db:1", 1)],
)  # fmt: skip
def test_the_database_may_be_reached_on_the_port_that_its_address_names(
    render: Render, url: str, port: int, tmp_path: Path
) -> None:
    documents = render({**ONE, "database": {"postgresql": {"url": url, "secret": "x"}}})
    (policy,) = of_kind(documents, "NetworkPolicy")
    (config,) = of_kind(documents, "ConfigMap")
    (tmp_path / "csm.yaml").write_text(config["data"]["csm.yaml"])

    assert {"ports": [{"port": port, "protocol": "TCP"}]} in policy["spec"]["egress"]
    assert load(tmp_path / "csm.yaml").database_url == url


def test_the_manifests_are_what_the_chart_renders(render: Render) -> None:
    kept = yaml.safe_load_all((ROOT / "deploy" / "manifests" / "csm.yaml").read_text())

    assert [document for document in kept if document] == render(ONE), "run `make manifests`"
