"""
Executor for Agents in a Kubernetes cluster, by exec in their pods.

    kubernetes_client    requests and websockets, through the official client
    kubernetes_session   one exec: channels, exit status, ending the process
    kubernetes_pods      pods as Agents
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from handlers.errors import TargetError, TargetUnreachable
from handlers.executors.base import Session
from handlers.executors.cluster import CILIUM, ClusterFacts
from handlers.executors.kill import VARIABLE, new_mark
from handlers.executors.kubernetes_client import TRIES, Expired, KubernetesClient, NotThere
from handlers.executors.kubernetes_pods import agent_of, daemon_set_of, is_agent
from handlers.executors.kubernetes_session import KubernetesSession
from handlers.executors.settings import KubernetesSettings
from handlers.model import Agent, Platform

SELECTORS = ("agent.datadoghq.com/component=agent", "app.kubernetes.io/component=agent")
"""Newer charts and the Operator set the first; pods of other charts carry the second too."""

PAGE = 500
FACTS_GOOD_S = 30.0


@dataclass(frozen=True, slots=True)
class Right:
    """A permission in RBAC. `str(right)` reads like a role's rule: `create pods/exec`."""

    verb: str
    resource: str
    subresource: str = ""
    group: str = ""
    namespace: str = ""
    """The Agents' namespace when empty."""
    name: str = ""
    """The name of one object; all objects when empty."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f"/{self.subresource}" if self.subresource else "")


NEEDED = (
    Right("list", "pods"),
    # The exec is a GET that becomes a websocket: servers before 1.35 ask for `get`, newer ones for `create` as well.
    Right("get", "pods", "exec"),
    Right("create", "pods", "exec"),
)
"""The permissions that csm needs in a cluster."""


class KubernetesExecutor:
    """Executor for one cluster. Connects on first use."""

    platform = Platform.KUBERNETES

    def __init__(self, target: str, settings: KubernetesSettings) -> None:
        self._target = target
        self._settings = settings
        self._client = KubernetesClient(target, settings)
        self._facts: tuple[float, ClusterFacts] | None = None
        self._asking = asyncio.Lock()

    async def agents(self) -> Sequence[Agent]:
        """The Agents' pods, named by their node where it has only one."""
        selectors = (self._settings.selector,) if self._settings.selector else SELECTORS
        for selector in selectors:
            pods = [
                pod for pod in await self._pods(selector) if is_agent(pod, checked=selector == self._settings.selector)
            ]
            if pods:
                break
        nodes = Counter(pod["spec"].get("nodeName", "") for pod in pods)
        named = [agent_of(pod, self._target, unique=nodes[pod["spec"].get("nodeName", "")] == 1) for pod in pods]
        return sorted(named, key=lambda agent: agent.name)

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        """See `Executor.open`. The command runs as `env CSM_EXEC=<mark> argv…`."""
        mark = new_mark()
        path = f"/api/v1/namespaces/{agent.namespace}/pods/{agent.handle}/exec"
        query = [("command", word) for word in ("env", f"{VARIABLE}={mark}", *argv)]
        query += [("stdout", "true"), ("stderr", "true"), ("stdin", "true" if stdin else "false")]
        query += [("container", container)] if container else []
        socket = await self._client.exec(agent, path, query)
        session = KubernetesSession(self, agent, argv, container=container, mark=mark, socket=socket)
        try:
            yield session
        finally:
            with contextlib.suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
                await asyncio.wait_for(socket.close(), 2)

    @property
    def useful(self) -> Sequence[Right]:
        """Optional permissions, which only `tc` uses: to read the network plugin's DaemonSets and settings."""
        namespace = self._settings.network_plugin_namespace
        return (
            Right("list", "daemonsets", group="apps", namespace=namespace),
            Right("get", "configmaps", namespace=namespace, name=CILIUM),
        )

    async def may(self, right: Right) -> bool:
        """
        Whether csm has a permission (SelfSubjectAccessReview, which every account may ask for). Raises a `TargetError`.

        kubernetes/kubernetes: staging/src/k8s.io/api/authorization/v1/types.go
        """
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": right.resource,
            "subresource": right.subresource,
        }
        attributes |= {"namespace": right.namespace or self._settings.namespace, "name": right.name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self._client.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def cluster_facts(self) -> ClusterFacts:
        """See `KnowsCluster.cluster_facts`."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._facts is None or now >= self._facts[0]:
                self._facts = (now + FACTS_GOOD_S, await self._ask_facts(self._settings.network_plugin_namespace))
            return self._facts[1]

    @property
    def server_date(self) -> str:
        """The cluster's clock, from its last response (RFC 9110, Date)."""
        return self._client.server_date

    async def aclose(self) -> None:
        """Release the connections."""
        await self._client.aclose()

    async def _ask_facts(self, namespace: str) -> ClusterFacts:
        unseen: list[str] = []

        async def asked(path: str) -> Mapping[str, Any] | None:
            try:
                return await self._client.get(path)
            except NotThere:
                return {}
            except (TargetError, Expired) as error:
                unseen.append(str(error))
                return None

        sets = await asked(f"/apis/apps/v1/namespaces/{namespace}/daemonsets")
        cilium = await asked(f"/api/v1/namespaces/{namespace}/configmaps/{CILIUM}")
        return ClusterFacts(
            namespace,
            None if sets is None else tuple(map(daemon_set_of, sets.get("items") or ())),
            None if cilium is None else {str(key): str(value) for key, value in (cilium.get("data") or {}).items()},
            tuple(unseen),
        )

    async def _pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        """
        All pods of a selector, page by page. Starts again when the continue token has expired (410), `TRIES` attempts
        in all.
        """
        for _ in range(TRIES):
            try:
                return [pod async for pod in self._pages(selector)]
            except Expired:
                continue
        raise TargetUnreachable(f"{self._target} let each listing of its pods expire before it was read.")

    async def _pages(self, selector: str) -> AsyncIterator[Mapping[str, Any]]:
        token = ""
        while True:
            query = {"labelSelector": selector, "limit": str(PAGE), **({"continue": token} if token else {})}
            page = await self._client.get(f"/api/v1/namespaces/{self._settings.namespace}/pods", query)
            for pod in page.get("items") or []:
                yield pod
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return
