"""Advice for the tc check: the number, the key, the file; and patches that change nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from handlers.agent.findings import TC
from handlers.model import Installation, Remediation, Step
from handlers.remediation.tc import TcFacts, VendorAdvice, remediate_tc
from handlers.version import from_tag
from tests.handlers.tc.nodes import agent

VALUES = """
datadog:
  apiKeyExistingSecret: datadog
  securityAgent:
    runtime:
      enabled: true
      syscallMonitor: {enabled: true}
agents:
  tolerations: [{operator: Exists}]
  image: {pullPolicy: Always}
  containers:
    agent: {logLevel: INFO}
    systemProbe:
      resources: {limits: {memory: 500Mi}}
      envDict: {DD_LOG_LEVEL: debug}
"""
DATADOG_AGENT = """
apiVersion: datadoghq.com/v2alpha1
kind: DatadogAgent
metadata: {name: datadog, namespace: datadog}
spec:
  global: {clusterName: prod}
  features: {cws: {enabled: true, network: {enabled: true}}}
  override:
    nodeAgent:
      tolerations: [{operator: Exists}]
      containers:
        system-probe:
          resources: {limits: {memory: 500Mi}}
          env: [{name: DD_LOG_LEVEL, value: debug}]
"""
CONTAINER = """
name: system-probe
image: agent:7
env: [{name: DD_LOG_LEVEL, value: debug}]
"""
SYSTEM_PROBE = """
log_level: debug
runtime_security_config: {enabled: true, policies: {dir: /etc/datadog-agent/runtime-security.d}}
event_monitoring_config: {network: {ingress: {enabled: true}}}
"""
FILES = {
    Installation.HELM: VALUES, Installation.OPERATOR: DATADOG_AGENT,
    Installation.KUBERNETES: CONTAINER, Installation.HOST: SYSTEM_PROBE,
}  # fmt: skip
PLACES = {
    Installation.HELM: ("agents", "containers", "systemProbe", "envDict"),
    Installation.OPERATOR: ("spec", "override", "nodeAgent", "containers", "system-probe", "env"),
    Installation.KUBERNETES: ("env",),
}
FACTS = TcFacts(
    current=10, priority=4, handles=(100, 101), vendors=(VendorAdvice("V", "turn it", "it breaks", "", "a/b#1"),)
)


def merged(file: Any, patch: Any) -> Any:
    """As people apply a patch: maps by key, lists of named things by name, everything else is replaced."""
    if isinstance(file, dict) and isinstance(patch, dict):
        return {**file, **{key: merged(file[key], value) if key in file else value for key, value in patch.items()}}
    if isinstance(file, list) and isinstance(patch, list):
        return [*(each for each in file if each["name"] not in {one["name"] for one in patch}), *patch]
    return patch


def advice(code: str, installation: Installation, version: str = "7.70.1", facts: TcFacts = FACTS) -> Remediation:
    return remediate_tc(code, agent(installation), from_tag(version), facts)


def patches(code: str, installation: Installation, version: str = "7.70.1", facts: TcFacts = FACTS) -> list[Step]:
    return [step for step in advice(code, installation, version, facts).steps if step.language == "yaml"]


@pytest.mark.parametrize("installation", FILES)
@pytest.mark.parametrize("code", ["tc.priority_low", "tc.priority_one", "tc.handle_taken", "tc.tcx_first"])
def test_a_patch_changes_its_keys_and_nothing_else(code: str, installation: Installation) -> None:
    before = yaml.safe_load(FILES[installation])
    for step in patches(code, installation):
        change = yaml.safe_load(step.snippet)
        after = merged(before, change)
        assert after != before
        assert "atch" in step.title or "nvironment" in step.title
        assert _leaves(before) - _leaves(after) <= {
            leaf for leaf in _leaves(before) if leaf[0] in {p for p, _ in _leaves(change)}
        }


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> set[tuple[tuple[str, ...], str]]:
    if isinstance(tree, dict):
        return {leaf for key, value in tree.items() for leaf in _leaves(value, (*path, key))}
    if isinstance(tree, list):
        return {
            leaf
            for number, value in enumerate(tree)
            for leaf in _leaves(
                value, (*path, str(value.get("name", number)) if isinstance(value, dict) else str(value))
            )
        }
    return {(path, str(tree))}


@pytest.mark.parametrize("installation", PLACES)
def test_the_priority_is_an_environment_variable_of_system_probe(installation: Installation) -> None:
    after = merged(
        yaml.safe_load(FILES[installation]), yaml.safe_load(patches("tc.priority_low", installation)[0].snippet)
    )
    place = after
    for key in PLACES[installation]:
        place = place[key]
    variables = place if isinstance(place, dict) else {each["name"]: each["value"] for each in place}

    assert variables == {"DD_LOG_LEVEL": "debug", "DD_EVENT_MONITORING_CONFIG_NETWORK_CLASSIFIER_PRIORITY": "4"}


def test_on_a_host_it_is_a_key_of_system_probe_yaml() -> None:
    (step,) = patches("tc.priority_low", Installation.HOST)
    after = merged(yaml.safe_load(SYSTEM_PROBE), yaml.safe_load(step.snippet))

    assert after["event_monitoring_config"]["network"] == {"ingress": {"enabled": True}, "classifier_priority": 4}
    assert after["runtime_security_config"] == yaml.safe_load(SYSTEM_PROBE)["runtime_security_config"]
    assert "/etc/datadog-agent/system-probe.yaml" in step.title


def test_on_docker_it_is_an_argument_of_docker_run() -> None:
    step = advice("tc.priority_low", Installation.DOCKER).steps[0]

    assert (step.language, step.snippet) == ("shell", "-e DD_EVENT_MONITORING_CONFIG_NETWORK_CLASSIFIER_PRIORITY=4")


@pytest.mark.parametrize(
    ("version", "old_key", "key"),
    [
        ("7.70.1", False, "event_monitoring_config"),
        ("7.50.0", False, "event_monitoring_config"),
        ("7.45.0", False, "runtime_security_config"),
        ("7.70.1", True, "runtime_security_config"),
        ("", False, "runtime_security_config"),
    ],
)
def test_the_key_is_the_one_that_this_agent_reads_first(version: str, old_key: bool, key: str) -> None:
    facts = TcFacts(priority=4, old_key=old_key)

    assert list(yaml.safe_load(patches("tc.priority_low", Installation.HOST, version, facts)[0].snippet)) == [key]


def test_an_agent_whose_priority_is_fixed_is_upgraded_first() -> None:
    found = advice("tc.priority_low", Installation.HELM, "7.39.1")

    assert "upgrade first" in found.summary
    assert yaml.safe_load(found.steps[0].snippet) == {"agents": {"image": {"tag": "7.40.1"}}}


@pytest.mark.parametrize(("version", "names"), [("7.70.1", 2), ("7.55.0", 1)])
def test_both_handles_are_set_where_there_are_two(version: str, names: int) -> None:
    variables = yaml.safe_load(patches("tc.handle_taken", Installation.HELM, version)[0].snippet)["agents"][
        "containers"
    ]["systemProbe"]["envDict"]

    assert len(variables) == len(set(variables.values())) == names


def test_network_detections_are_disabled_in_the_two_ways_of_the_chart() -> None:
    value, variable = patches("tc.priority_one", Installation.HELM)

    assert yaml.safe_load(value.snippet) == {"datadog": {"securityAgent": {"runtime": {"network": {"enabled": False}}}}}
    # The chart's own value is rendered under the older name, which the Agent reads first.
    assert "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED" in variable.snippet


def test_the_operators_switch_alone_is_said_not_to_be_enough() -> None:
    (step,) = patches("tc.priority_one", Installation.OPERATOR)

    assert "features.cws.network.enabled" in step.title
    assert (
        yaml.safe_load(step.snippet)["spec"]["override"]["nodeAgent"]["containers"]["system-probe"]["env"][0]["value"]
        == "false"
    )


def test_the_vendors_own_knob_comes_with_its_danger_and_its_source() -> None:
    found = advice("tc.priority_one", Installation.HELM)
    knob = next(step for step in found.steps if step.platform == "any")

    assert knob.snippet == "V: turn it.\nDanger: it breaks\nSource: a/b#1"
    assert "https://github.com/a/b/issues/1" in found.docs


@pytest.mark.parametrize("installation", list(Installation))
@pytest.mark.parametrize("code", sorted(TC))
@pytest.mark.parametrize("version", ["7.38.0", "7.45.0", "7.70.1", ""])
def test_every_code_has_advice_that_cites_its_document(code: str, installation: Installation, version: str) -> None:
    found = advice(code, installation, version)

    assert found.summary.endswith(".")
    assert "{" not in found.summary
    assert found.docs[0].startswith("https://docs.datadoghq.com/")
    assert all(step.title and step.snippet for step in found.steps)
