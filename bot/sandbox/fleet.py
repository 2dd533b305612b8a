"""The fleet of the sandbox's target `cluster-a`: Agents of several versions, two of them with faults."""

from __future__ import annotations

from collections.abc import Iterator

from bot.sandbox import agent, flare_agent
from bot.sandbox.agent import Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod

AGENT_FAULTS = {**agent.FAULTS, **flare_agent.FAULTS}
"""All faults of a stand-in Agent, flare included: name and description."""

VERSIONS = ("7.70.1", "7.66.0", "7.60.1", "7.50.3", "7.72.4", "7.78.0")

NETWORKS = (
    "none",
    "cilium-tcx",
    "aws",
    "none",
    "none",
    "cilium-tcx",
    "none",
    "aws",
    "none",
    "none",
    "none",
    "unprivileged",
)
"""
The networks of twelve nodes, repeated in larger fleets.

No single cluster mixes them. They show the result of a tc check for each.
"""


def install_network_plugins(cluster: KubernetesApi) -> None:
    """Install the DaemonSets and settings that the cluster lists for the networks of `NETWORKS`."""
    cluster.install_network_plugin("cilium", "registry.example/cilium:v1.17.2", cilium={"enable-tcx": "true"})
    cluster.install_network_plugin(
        "aws-node", "registry.example/amazon-k8s-cni:v1.19.0", "registry.example/aws-network-policy-agent:v1.2.0"
    )


def fleet(agents: int) -> Iterator[Pod]:
    """
    Generate the pods of `agents` Agents.

    In each hundred, Agent 5 fails a rule and the module of Agent 9 is down. The Agents of the newest version have no
    security-agent, a setup that the chart allows.
    """
    for number in range(1, agents + 1):
        version = VERSIONS[(number - 1) % len(VERSIONS)]
        fault = {5: "rule_failed", 9: "module_down"}.get(number % 100, "")
        security_agent = version != "7.78.0"
        containers = ("agent", "security-agent", "system-probe") if security_agent else ("agent", "system-probe")
        behaviour = Behaviour(version=version, security_agent=security_agent, fault=fault)
        network = NETWORKS[(number - 1) % len(NETWORKS)]
        yield Pod(f"datadog-{number:04d}", f"node-{number}", behaviour, containers=containers, network=network)
