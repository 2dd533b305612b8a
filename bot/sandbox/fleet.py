"""The sandbox's fleet: `cluster-a`, Agents of mixed versions, two of them with faults."""

from __future__ import annotations

from collections.abc import Iterator

from bot.sandbox import agent, flare_agent
from bot.sandbox.agent import Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod

AGENT_FAULTS = {**agent.FAULTS, **flare_agent.FAULTS}
"""All that can be wrong with a stand-in Agent, in words."""

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
"""Of a dozen nodes, as no single cluster has them: to show what a tc check says of each."""


def install_network_plugins(cluster: KubernetesApi) -> None:
    """What these networks are made by, as the cluster itself lists it."""
    cluster.install_network_plugin("cilium", "registry.example/cilium:v1.17.2", cilium={"enable-tcx": "true"})
    cluster.install_network_plugin(
        "aws-node", "registry.example/amazon-k8s-cni:v1.19.0", "registry.example/aws-network-policy-agent:v1.2.0"
    )


def fleet(agents: int) -> Iterator[Pod]:
    """
    That many Agents, by the hundred like the first dozen: one fails a rule, one has its module down.

    The newest ones have no security-agent, as the chart can be told.
    """
    for number in range(1, agents + 1):
        version = VERSIONS[(number - 1) % len(VERSIONS)]
        fault = {5: "rule_failed", 9: "module_down"}.get(number % 100, "")
        security_agent = version != "7.78.0"
        containers = ("agent", "security-agent", "system-probe") if security_agent else ("agent", "system-probe")
        behaviour = Behaviour(version=version, security_agent=security_agent, fault=fault)
        network = NETWORKS[(number - 1) % len(NETWORKS)]
        yield Pod(f"datadog-{number:04d}", f"node-{number}", behaviour, containers=containers, network=network)
