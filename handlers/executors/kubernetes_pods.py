"""Convert pods of the API to Agents, and DaemonSets to facts. Pure: JSON in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from handlers.executors.cluster import DaemonSet
from handlers.model import Agent, Container, Installation, Platform
from handlers.version import from_image


def is_agent(pod: Mapping[str, Any], *, checked: bool) -> bool:
    """
    Whether a pod is an Agent. Always, if `checked` (its selector is configured); else by its containers' names, because
    pods of other components have the older label too.
    """
    names = {container["name"] for container in pod["spec"]["containers"]}
    return checked or bool(names & {"agent", "unprivileged-single-agent"})


def agent_of(pod: Mapping[str, Any], target: str, *, unique: bool) -> Agent:
    """Convert a pod to an Agent. Its name is the node's if the pod is the only one there (`unique`)."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    node = spec.get("nodeName", "")
    states = {state["name"]: state for state in status.get("containerStatuses") or []}
    containers = tuple(_container(container, states.get(container["name"])) for container in spec["containers"])
    return Agent(
        target=target,
        name=node if node and unique else metadata["name"],
        platform=Platform.KUBERNETES,
        installation=_installation(metadata.get("labels") or {}),
        containers=containers,
        node=node,
        phase="Terminating" if metadata.get("deletionTimestamp") else status.get("phase", "Unknown"),
        version=_version(containers),
        namespace=metadata["namespace"],
        handle=metadata["name"],
    )


def daemon_set_of(found: Mapping[str, Any]) -> DaemonSet:
    """A DaemonSet's name and images."""
    template = (found.get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or ()
    name = str((found.get("metadata") or {}).get("name", ""))
    return DaemonSet(name, tuple(str(each.get("image", "")) for each in containers))


def _container(spec: Mapping[str, Any], status: Mapping[str, Any] | None) -> Container:
    state = (status or {}).get("state") or {}
    if "running" in state:
        words = "running"
    elif waiting := state.get("waiting"):
        words = f"waiting: {waiting.get('reason', 'unknown')}"
    elif ended := state.get("terminated"):
        words = f"terminated: {ended.get('reason', 'unknown')} ({ended.get('exitCode', '?')})"
    else:
        words = "state unknown"
    ready = bool((status or {}).get("ready"))
    return Container(
        name=spec["name"],
        image=spec.get("image", ""),
        ready=ready,
        state=words if words != "running" or ready else "running, not ready",
        started_at=_time((state.get("running") or {}).get("startedAt")),
    )


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _installation(labels: Mapping[str, str]) -> Installation:
    if "agent.datadoghq.com/name" in labels:
        return Installation.OPERATOR
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        return Installation.HELM
    return Installation.KUBERNETES


def _version(containers: Sequence[Container]) -> str | None:
    for name in ("system-probe", "agent", "unprivileged-single-agent"):
        for container in containers:
            if container.name == name and (version := from_image(container.image)):
                return str(version)
    return None
