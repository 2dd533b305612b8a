"""How to reach a target, by platform: the entries of the configuration. Light to import, unlike the executors."""

from __future__ import annotations

from pathlib import Path

from handlers.model import Frozen


class KubernetesSettings(Frozen):
    """A cluster, and where in it the Agents are."""

    context: str | None = None
    """A context of the kubeconfig; its current one when not given."""
    kubeconfig: Path | None = None
    """The kubeconfig's file; `$KUBECONFIG` or `~/.kube/config` when not given."""
    in_cluster: bool = False
    """Use the account of the pod that csm runs in, and no kubeconfig."""
    namespace: str = "datadog"
    """Where the Agents are."""
    selector: str | None = None
    """A label selector for the Agents' pods; the chart's and the Operator's labels when not given."""
    network_plugin_namespace: str = "kube-system"
    """Where the DaemonSets of the network plugin are, and `cilium-config`: read by `tc` if csm may."""
    request_timeout_s: float = 20.0
    """How long the API server may take to answer a request; commands have their own limits."""
    heartbeat_s: float = 20.0
    """How often a command's connection is pinged, so that nothing on the way takes it for dead: load balancers
    cut what was silent for a minute. No answer within half of it, and the connection is lost."""


class DockerSettings(Frozen):
    """A Docker engine. The Agent's container is discovered by its image and labels."""

    base_url: str = "unix:///var/run/docker.sock"
    """The engine's address."""
    image: str = r"(^|/)(datadog/agent|agent|datadog-agent)([:@]|$)"
    """A pattern that an image reference must match."""
    label: str = ""
    """A label that a container must have, with or without `=value`."""


class HostSettings(Frozen):
    """The host that csm runs on."""

    sudo: bool = False
    """Run the Agent's programs through `sudo -n`; deploy/sudoers allows exactly those."""
    root: Path = Path("/")
    """The folder below which the Agent's /opt/datadog-agent is looked for, and its programs are run from."""


class SshSettings(Frozen):
    """A host over SSH. Its key must be in `known_hosts`; there is no way to ignore it."""

    address: str
    """Its name or address."""
    user: str
    """The account to log in with."""
    known_hosts: Path
    """A file with the host's key, as OpenSSH writes it."""
    port: int = 22
    """Where its SSH server listens."""
    client_keys: tuple[Path, ...] = ()
    """Private keys; the user's agent and default keys when empty."""
    sudo: bool = False
    """Run the Agent's programs through `sudo -n` there."""
    connect_timeout_s: float = 15.0
    """How long connecting and logging in may take."""
