"""The stand-in cluster's pods, as the API lists them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.agent import Behaviour, Module
from bot.sandbox.kubernetes_objects import made_metadata

TOOLS = ("cat", "sha256sum")
"""Programs in the Agent's image, other than the Agent's own, that csm uses."""


@dataclass
class Pod:
    """A pod of the stand-in cluster. All fields may be changed while it runs."""

    name: str
    node: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    module: Module = field(default_factory=Module)
    """The state of the module since its container was started."""
    namespace: str = "datadog"
    containers: tuple[str, ...] = ("agent", "security-agent", "system-probe")
    network: str = "none"
    """The network of the pod's node: a name of `bot.sandbox.nodes.NETWORKS`."""
    phase: str = "Running"
    not_ready: Mapping[str, str] = field(default_factory=dict)
    """Containers that are not ready, and the reason for each."""
    tools: Sequence[str] = TOOLS
    """Programs in the image, other than the Agent's own."""
    binaries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Programs that run as a real process, and its command. The stand-in Agent answers all others in this process."""
    fault: str = ""
    """What the API does wrong for this pod: a name of `FAULTS`, or empty for none."""
    manifest: Mapping[str, Any] | None = None
    """The manifest with which the pod was created through the API."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any], namespace: str) -> Pod:
        """
        Return a pod that was created through the API, not yet running.

        A real cluster would start the image. Here the containers are the stand-in Agent that STAND_IN_AGENT
        describes, the variable that the stand-in's program reads too.
        """
        containers = manifest["spec"]["containers"]
        variables = {each["name"]: each.get("value", "") for each in containers[0].get("env") or ()}
        name = str(manifest["metadata"]["name"])
        return cls(
            name,
            "stand-in-node",
            Behaviour.from_json(variables.get("STAND_IN_AGENT", "{}")),
            namespace=namespace,
            containers=tuple(each["name"] for each in containers),
            phase="Pending",
            manifest={**manifest, "metadata": made_metadata(manifest["metadata"], namespace)},
        )

    def as_json(self) -> dict[str, Any]:
        """The pod as the API lists it."""
        if self.manifest is not None:
            return self._created()
        labels = {"agent.datadoghq.com/component": "agent", "app.kubernetes.io/component": "agent"}
        if self.behaviour.installation == "operator":
            labels["agent.datadoghq.com/name"] = "datadog"
        elif self.behaviour.installation == "helm":
            labels["app.kubernetes.io/managed-by"] = "Helm"
        image = f"registry.example/agent:{self.behaviour.version}"
        return {
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels, "uid": self.name},
            "spec": {"nodeName": self.node, "containers": [{"name": name, "image": image} for name in self.containers]},
            "status": {
                "phase": self.phase,
                "containerStatuses": [self._container(name, image) for name in self.containers],
            },
        }

    def _created(self) -> dict[str, Any]:
        assert self.manifest is not None
        spec: Mapping[str, Any] = self.manifest["spec"]
        running = self.phase == "Running"
        statuses = [self._container(each["name"], each["image"]) for each in spec["containers"]] if running else []
        conditions = [{"type": "Ready", "status": "True" if running and not self.not_ready else "False"}]
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": self.manifest["metadata"],
            "spec": {**spec, **({"nodeName": self.node} if running else {})},
            "status": {"phase": self.phase, "containerStatuses": statuses, "conditions": conditions},
        }

    def _container(self, name: str, image: str) -> dict[str, Any]:
        waiting = self.not_ready.get(name)
        self.module.start(self.behaviour, time.time())
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.module.started_at))
        state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": started}}
        return {
            "name": name,
            "image": image,
            "imageID": "",
            "ready": not waiting,
            "restartCount": 0,
            "state": state,
        }


FAULTS = {
    "vanish": "the node vanishes: its exec answers 404",
    "never": "the exec's connection never opens",
    "cut": "the connection is cut in the middle of a command",
    "no_status": "the streams end and the status never comes",
    **{f"http_{status}": f"the exec is answered with {status}" for status in (401, 403, 404, 410, 429, 500)},
}
