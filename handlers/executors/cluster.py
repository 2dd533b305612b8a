"""What a cluster tells of its network without any exec. Only Kubernetes' executor knows a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

CILIUM = "cilium-config"
"""The ConfigMap in which Cilium's agents find their settings (docs.cilium.io: network/kubernetes/configuration)."""


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """What runs on every node, with the images of its containers."""

    name: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Each fact is `None` when it was not seen, and `unseen` says why: a right that csm lacks is no error."""

    namespace: str
    daemon_sets: tuple[DaemonSet, ...] | None = None
    cilium: Mapping[str, str] | None = None
    """Cilium's settings; empty when there are none."""
    unseen: tuple[str, ...] = ()


@runtime_checkable
class KnowsCluster(Protocol):
    """An executor that can also ask the cluster itself."""

    async def cluster_facts(self) -> ClusterFacts:
        """
        What the network plugin's namespace holds. Raises nothing: what cannot be asked was not seen.

        An answer is kept for half a minute, so that asking for each Agent of a cluster costs one question.
        """
        ...
