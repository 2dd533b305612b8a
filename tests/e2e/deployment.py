"""
csm's least-privileged account and stand-in Agents in a cluster, made by the official client and removed again.

Works on any cluster whose kubeconfig's user may make a namespace. The image needs `env` and Python 3.8 or newer as
`python3`; the stand-in Agent comes into it as a mounted file, so that any Python image will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import stat
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client import ApiException

from bot.sandbox import agent as stand_in
from bot.sandbox.agent import Behaviour
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings

PROGRAM = Path(stand_in.__file__)
ACCOUNT = "csm"
CONTAINERS = ("agent", "security-agent", "system-probe")
READY_S = 300.0
REMOVED_S = 180.0
RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]},
]
"""All that csm needs."""

AGENTS: Mapping[str, Behaviour] = {
    "healthy": Behaviour(version="7.70.1", installation="kubernetes"),
    "older": Behaviour(version="7.60.1", installation="kubernetes"),
    "failing": Behaviour(version="7.70.1", installation="kubernetes", fault="rule_failed"),
    "hanging": Behaviour(version="7.60.1", installation="kubernetes", fault="hang"),
}


@dataclass(frozen=True)
class Deployment:
    """What was made."""

    namespace: str
    kubeconfig: Path
    """For csm's own account, which may list pods and run commands in this namespace, and no more."""


@contextlib.asynccontextmanager
async def deployed(kubeconfig: Path, context: str | None, image: str, folder: Path) -> AsyncIterator[Deployment]:
    """A namespace with csm's account and the Agents, running; all of it is removed at the end, whatever happens."""
    configuration = client.Configuration()
    await config.load_kube_config(str(kubeconfig), context, configuration, persist_config=False)
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        namespace = f"csm-e2e-{secrets.token_hex(4)}"
        await core.create_namespace({"metadata": {"name": namespace}})
        try:
            token = await _account(api, namespace)
            await _agents(core, namespace, image)
            written = _kubeconfig(configuration, token, folder / "csm.kubeconfig")
            yield Deployment(namespace, written)
        finally:
            await core.delete_namespace(namespace)
            await _removed(core, namespace)


@contextlib.asynccontextmanager
async def cluster(made: Deployment, *, namespace: str = "") -> AsyncIterator[KubernetesExecutor]:
    """The cluster as csm's account sees it."""
    settings = KubernetesSettings(kubeconfig=made.kubeconfig, namespace=namespace or made.namespace)
    executor = KubernetesExecutor("e2e", settings)
    try:
        yield executor
    finally:
        await executor.aclose()
        # TLS connections take a moment to say goodbye, and the test's loop ends with the test (aiohttp: Graceful Shutdown).
        await asyncio.sleep(0.1)


async def _account(api: client.ApiClient, namespace: str) -> str:
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    metadata = {"metadata": {"name": ACCOUNT}}
    await core.create_namespaced_service_account(namespace, metadata)
    await rbac.create_namespaced_role(namespace, {**metadata, "rules": RULES})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}]
    await rbac.create_namespaced_role_binding(namespace, {**metadata, "roleRef": role, "subjects": subjects})
    request = {"spec": {"audiences": [], "expirationSeconds": 3600}}
    made = await core.create_namespaced_service_account_token(ACCOUNT, namespace, request)
    return str(made.status.token)


async def _agents(core: client.CoreV1Api, namespace: str, image: str) -> None:
    data = {"agent": PROGRAM.read_text("utf-8")}  # noqa: ASYNC240 - a small file
    await core.create_namespaced_config_map(namespace, {"metadata": {"name": "stand-in-agent"}, "data": data})
    for name, behaviour in AGENTS.items():
        await core.create_namespaced_pod(namespace, _pod(name, behaviour, image))
    give_up = time.monotonic() + READY_S
    for name in AGENTS:
        while not _is_ready(pod := await core.read_namespaced_pod(name, namespace)):
            assert time.monotonic() < give_up, f"{name} is not ready: {pod.status}"
            await asyncio.sleep(0.2)


def _pod(name: str, behaviour: Behaviour, image: str) -> dict[str, Any]:
    mounts = [
        {"name": "program", "mountPath": f"/usr/local/bin/{binary}", "subPath": "agent", "readOnly": True}
        for binary in CONTAINERS
    ]
    containers = [
        {
            "name": container,
            "image": image,
            "command": ["python3", "-c", "import signal; signal.sigwait({signal.SIGTERM})"],
            "env": [{"name": "STAND_IN_AGENT", "value": behaviour.to_json()}],
            "volumeMounts": mounts,
        }
        for container in CONTAINERS
    ]
    volume = {"name": "program", "configMap": {"name": "stand-in-agent", "defaultMode": stat.S_IRWXU | 0o055}}
    labels = {"agent.datadoghq.com/component": "agent"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": containers, "volumes": [volume], "terminationGracePeriodSeconds": 1},
    }


def _is_ready(pod: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())


def _kubeconfig(configuration: client.Configuration, token: str, path: Path) -> Path:
    """The same cluster, by the account's token alone."""
    authority = {"certificate-authority": configuration.ssl_ca_cert} if configuration.ssl_ca_cert else {}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": configuration.host, **authority}}],
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": ACCOUNT}}],
        "current-context": "e2e",
    }
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return path


async def _removed(core: client.CoreV1Api, namespace: str) -> None:
    give_up = time.monotonic() + REMOVED_S
    while time.monotonic() < give_up:
        try:
            await core.read_namespace(namespace)
        except ApiException as error:
            if error.status == 404:
                return
            raise
        await asyncio.sleep(0.5)
    raise AssertionError(f"{namespace} is still there")
