"""Facts about a cluster's network, read without any exec. Only the Kubernetes executor provides them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

CILIUM = "cilium-config"
"""The ConfigMap with the settings of Cilium's agents (docs.cilium.io: network/kubernetes/configuration)."""


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """A DaemonSet, with the images of its containers."""

    name: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """
    Facts about a cluster. Each is `None` when it was not seen, and `unseen` says why: a missing right of csm is no
    error.
    """

    namespace: str
    daemon_sets: tuple[DaemonSet, ...] | None = None
    cilium: Mapping[str, str] | None = None
    """Cilium's settings; empty when there are none."""
    unseen: tuple[str, ...] = ()


@runtime_checkable
class KnowsCluster(Protocol):
    """An executor that can also query the cluster itself."""

    async def cluster_facts(self) -> ClusterFacts:
        """
        The DaemonSets and Cilium's settings in the network plugin's namespace. Raises nothing: what cannot be read is
        `None`.

        The facts are cached for half a minute, so that checking each Agent of a cluster costs one query.
        """
        ...
