"""
Settings of a target, by platform: the entries of the configuration. Imports no client library, unlike the executors.
"""

from __future__ import annotations

from pathlib import Path

from handlers.model import Frozen


class KubernetesSettings(Frozen):
    """A Kubernetes cluster, and where its Agents run."""

    context: str | None = None
    """Context of the kubeconfig; by default its current context."""
    kubeconfig: Path | None = None
    """Path of the kubeconfig; by default `$KUBECONFIG` or `~/.kube/config`."""
    in_cluster: bool = False
    """Use the service account of the pod that csm runs in, and no kubeconfig."""
    namespace: str = "datadog"
    """Namespace of the Agents."""
    selector: str | None = None
    """Label selector for the Agents' pods; by default the labels of the Helm chart and of the Operator."""
    network_plugin_namespace: str = "kube-system"
    """Namespace of the network plugin's DaemonSets and of `cilium-config`; `tc` reads them if csm has the right."""
    request_timeout_s: float = 20.0
    """How long the API server may take to answer a request. Commands have their own limits."""
    heartbeat_s: float = 20.0
    """
    Interval between pings on a command's connection, because load balancers cut a connection that is silent for a
    minute. Without an answer within half the interval, the connection counts as lost.
    """


class DockerSettings(Frozen):
    """A Docker engine. The Agent's container is found by its image and label."""

    base_url: str = "unix:///var/run/docker.sock"
    """Address of the engine."""
    image: str = r"(^|/)(datadog/agent|agent|datadog-agent)([:@]|$)"
    """Regular expression that is searched for in the container's image reference."""
    label: str = ""
    """Label that the container must have, with or without `=value`."""


class HostSettings(Frozen):
    """The host that csm runs on."""

    sudo: bool = False
    """Run the Agent's programs through `sudo -n`; deploy/sudoers allows exactly those."""
    root: Path = Path("/")
    """
    Folder that contains the Agent's /opt/datadog-agent. csm looks for the Agent there, and runs its programs from
    there.
    """


class SshSettings(Frozen):
    """A host over SSH. Its host key must be in `known_hosts`; this check cannot be turned off."""

    address: str
    """Name or address of the host."""
    user: str
    """Account to log in with."""
    known_hosts: Path
    """File with the host's key, in OpenSSH's format."""
    port: int = 22
    """Port of the SSH server."""
    client_keys: tuple[Path, ...] = ()
    """Private keys; when empty, the keys of the user's SSH agent and the default keys."""
    sudo: bool = False
    """Run the Agent's programs through `sudo -n` on that host."""
    connect_timeout_s: float = 15.0
    """How long connecting and logging in may take."""
