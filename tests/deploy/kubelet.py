"""
What a cluster does with what was applied to it, as far as csm's own installation needs it: its objects are kept in the
stand-in API, and its StatefulSet's pod is run as a container, as the pod says and as a kubelet would.

The pod's image, arguments, account, rights, environment, mounts and probe are the StatefulSet's; only its network is
this machine's, since the stand-in API and the sandbox's Slack listen on loopback.
"""

from __future__ import annotations

import asyncio
import base64
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from bot.sandbox.kubernetes_api import KubernetesApi
from tests.engine import Engine

KEPT = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ConfigMap": "configmaps",
}
"""What the stand-in API keeps and acts upon."""

NOTED = {"Secret", "StatefulSet"}
"""What is only looked up here, for the pod."""

NOTHING_TO_DO = {"Service", "NetworkPolicy"}
"""What needs a cluster's network. Their form is held to Kubernetes' schemas in test_chart.py."""

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Cluster:
    """The stand-in API with what was applied, and the engine on which its pod runs."""

    def __init__(self, api: KubernetesApi, engine: Engine, folder: Path) -> None:
        self._api = api
        self._engine = engine
        self._folder = folder
        self._noted: dict[tuple[str, str], dict[str, Any]] = {}
        self.pod = ""
        """The container's name, once the StatefulSet was applied."""

    async def apply(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Keep the documents; when the StatefulSet is among them, start its pod and wait for its probe."""
        for document in documents:
            kind, meta = document["kind"], document["metadata"]
            if kind in KEPT:
                self._api.objects.create(KEPT[kind], meta.get("namespace", ""), document)
            elif kind in NOTED:
                self._api.objects.check_namespace(meta["namespace"])
                self._noted[kind, meta["name"]] = dict(document)
            else:
                assert kind in NOTHING_TO_DO, f"nobody says what becomes of a {kind}"
        if not self.pod and (
            stateful := next((o for (kind, _), o in self._noted.items() if kind == "StatefulSet"), None)
        ):
            await self._run(stateful)

    async def _run(self, stateful: Mapping[str, Any]) -> None:
        spec = stateful["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        security = spec["securityContext"]
        claims = [claim["metadata"]["name"] for claim in stateful.get("volumeClaimTemplates", ())]
        claims += [claim["metadata"]["name"] for claim in stateful["spec"].get("volumeClaimTemplates", ())]
        volumes = {volume["name"]: self._volume(volume, security["fsGroup"]) for volume in spec["volumes"]}
        volumes |= {name: self._empty(name, security["fsGroup"]) for name in claims}
        binds = [f"{self._account(stateful['metadata']['namespace'], spec)}:{ACCOUNT}:ro"]
        for mount in container["volumeMounts"]:
            source = volumes[mount["name"]] / mount.get("subPath", "")
            binds.append(f"{source}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}")
        name = f"{stateful['metadata']['name']}-0"
        self._engine.create_container(
            container["image"],
            container.get("args"),
            entrypoint=container.get("command"),
            name=name,
            user=f"{security['runAsUser']}:{security['runAsGroup']}",
            environment=self._environment(name, container),
            host_config=self._engine.create_host_config(
                network_mode="host",
                read_only=container["securityContext"]["readOnlyRootFilesystem"],
                cap_drop=container["securityContext"]["capabilities"]["drop"],
                security_opt=[] if container["securityContext"]["allowPrivilegeEscalation"] else ["no-new-privileges"],
                group_add=[security["fsGroup"]],
                binds=binds,
            ),
        )
        await asyncio.to_thread(self._engine.start, name)
        self.pod = name
        await self._started(container)

    def _environment(self, name: str, container: Mapping[str, Any]) -> dict[str, str]:
        """The container's, and the API's address, which every container gets."""
        api = urlsplit(self._api.url)
        said = {"KUBERNETES_SERVICE_HOST": str(api.hostname), "KUBERNETES_SERVICE_PORT": str(api.port)}
        for source in container["envFrom"]:
            secret = self._noted["Secret", source["secretRef"]["name"]]
            said |= {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        for each in container["env"]:
            if "valueFrom" in each:
                assert each["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
            said[each["name"]] = each.get("value", name)
        return said

    def _volume(self, volume: Mapping[str, Any], group: int) -> Path:
        if "configMap" not in volume:
            assert volume["emptyDir"] == {}
            return self._empty(volume["name"], group)
        folder = self._empty(volume["name"], group)
        config = self._api.objects.get("configmaps", "csm", volume["configMap"]["name"])
        for key, text in config["data"].items():
            (folder / key).write_text(text)
        return folder

    def _empty(self, name: str, group: int) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True)
        os.chown(folder, 0, group)
        folder.chmod(0o2775)
        return folder

    def _account(self, namespace: str, spec: Mapping[str, Any]) -> Path:
        """What every pod gets of its service account."""
        folder = self._empty("service-account", spec["securityContext"]["fsGroup"])
        token = self._api.objects.token(namespace, spec["serviceAccountName"], {})["status"]["token"]
        authority = yaml.safe_load(self._api.write_kubeconfig(self._folder / "kubeconfig").read_text())
        certificate = authority["clusters"][0]["cluster"]["certificate-authority-data"]
        (folder / "ca.crt").write_bytes(base64.b64decode(certificate))
        for name, text in (("token", token), ("namespace", namespace)):
            (folder / name).write_text(text)
            os.chown(folder / name, 0, spec["securityContext"]["fsGroup"])
            (folder / name).chmod(0o640)
        return folder

    async def _started(self, container: Mapping[str, Any]) -> None:
        """Until the start-up probe is content, and then the readiness probe."""
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for kind in ("startupProbe", "readinessProbe"):
            probe = container[kind]["httpGet"]
            await until(lambda: answers(f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}"))  # noqa: B023


async def until(holds: Callable[[], bool], within_s: float = 120) -> None:
    """Ask, as probes do, until it holds."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.2)


def answers(url: str) -> bool:
    """One probe, as a kubelet makes it."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return int(response.status) < 400
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
