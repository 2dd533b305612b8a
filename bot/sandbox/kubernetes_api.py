"""
The stand-in Kubernetes API: lists pods and runs commands in them, as an API server and its kubelets do.

It implements the real protocols: list with selectors and pages, exec over websockets (v5 and v4), TLS, tokens, and
RBAC's answers. So only the official client is used with it. The pods are in `kubernetes_pods`, the commands that run
in them in `kubernetes_exec`, all other objects in `kubernetes_objects`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from bot.sandbox import flare_agent
from bot.sandbox.certificate import server_context
from bot.sandbox.kubernetes_exec import Exec, Kubelet
from bot.sandbox.kubernetes_objects import NAMESPACED, Conflict, Missing, Objects
from bot.sandbox.kubernetes_pods import FAULTS, Pod

START_S = 0.2
"""Seconds until a pod that was created runs."""


class KubernetesApi:
    """The stand-in API server. An async context manager; `write_kubeconfig` writes its address and token."""

    def __init__(self, pods: Iterable[Pod] = (), *, port: int = 0, tls: bool = False) -> None:
        self.pods = {pod.name: pod for pod in pods}
        self.list_fault = 0
        """The HTTP status with which to answer list requests; 0 for no fault."""
        self.exec_fault = 0
        """The same for exec requests, for all pods."""
        self.objects = Objects()
        """All objects other than pods."""
        self.admin_token = secrets.token_urlsafe(24)
        """The token of an account that may do everything."""
        self.token = secrets.token_urlsafe(24)
        self.rights = {"list pods", "get pods/exec", "create pods/exec"}
        """What csm's account may do in the Agents' namespace, as in a role's rules; `*` is everything."""
        self.plugin_rights = {"list daemonsets", "get configmaps"}
        """The same in `kube-system`, the network plugin's namespace."""
        self._tls = tls
        self._authority = b""
        self.execs = 0
        """The number of exec requests, kill commands included."""
        self._kubelet = Kubelet()
        self.on_exec: Callable[[], Awaitable[None]] | None = None
        """Called before each command runs. Tests block here."""
        self._port = port
        self._execs: set[Exec] = set()
        self.idle_limit_s: float | None = None
        """How long an exec's connection may be silent in both directions before it is closed, as load balancers do."""
        self.url = ""

    async def __aenter__(self) -> KubernetesApi:  # noqa: PYI034 - not meant to be subclassed
        self._kubelet.start()
        app = web.Application()
        self._add_objects(app.router)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods", self._list)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/exec", self._exec)
        app.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        context = None
        if self._tls:
            with tempfile.TemporaryDirectory(prefix="csm-tls-") as folder:
                context, self._authority = server_context(Path(folder))
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048, ssl_context=context)
        await site.start()
        assert self._runner.addresses
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kubelet.end()
        await self._runner.cleanup()
        await self._kubelet.remove()

    def tmp(self, pod: str) -> Path:
        """The temporary directory that all containers of a pod share."""
        return self._kubelet.tmp(pod)

    def ledger(self, pod: str) -> Sequence[Mapping[str, Any]]:
        """The events of the flares of a pod's Agent, in order; see `flare_agent.read_ledger`."""
        return flare_agent.read_ledger(str(self.tmp(pod)))

    def install_network_plugin(self, name: str, *images: str, cilium: Mapping[str, str] | None = None) -> None:
        """Create a DaemonSet in `kube-system` with these images, and Cilium's settings if given."""
        with contextlib.suppress(Conflict):
            self.objects.create("namespaces", "", {"metadata": {"name": "kube-system"}})
        containers = [{"name": f"{name}-{number}", "image": image} for number, image in enumerate(images)]
        spec = {"template": {"spec": {"containers": containers}}}
        self.objects.create("daemonsets", "kube-system", {"metadata": {"name": name}, "spec": spec})
        if cilium is not None:
            settings = {"metadata": {"name": "cilium-config"}, "data": dict(cilium)}
            self.objects.create("configmaps", "kube-system", settings)

    def cut(self, pod: str) -> None:
        """Abort all exec connections to a pod. Its commands continue, without input."""
        for exec_ in [each for each in self._execs if each.pod.name == pod]:
            exec_.abort()

    @property
    def commands(self) -> list[tuple[str, tuple[str, ...]]]:
        """Pod and argument vector of each command that was run, without kill commands."""
        return self._kubelet.commands

    @property
    def still_running(self) -> int:
        """The number of commands that have not ended."""
        return len(self._kubelet.inline) + len(self._kubelet.processes)

    async def quiet(self, within_s: float = 5.0) -> bool:
        """Wait until no command runs. Returns False when one still runs; a process counts until it is reaped."""
        return await self._kubelet.quiet(within_s)

    def write_kubeconfig(self, path: Path, *, admin: bool = False) -> Path:
        """
        Write a kubeconfig with one context, `stand-in`, for csm's account.

        With `admin`, it is for an account that may do everything.
        """
        authority = {"certificate-authority-data": base64.b64encode(self._authority).decode()} if self._tls else {}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.url, **authority}}],
            "users": [{"name": "csm", "user": {"token": self.admin_token if admin else self.token}}],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "csm"}}],
            "current-context": "stand-in",
        }
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    # -- requests -------------------------------------------------------------------------------------------

    async def _unknown(self, request: web.Request) -> web.Response:
        return _status(404, "NotFound", f"the server could not find the requested resource: {request.path}")

    def _refusal(self, request: web.Request, verb: str, resource: str) -> web.Response | None:
        """
        The error answer of authentication and RBAC, or `None` when the request is allowed.

        Source: kubernetes: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters.
        """
        namespace = request.match_info.get("namespace", "")
        allowed = self._may(request, verb, resource, namespace, request.match_info.get("name", ""))
        if allowed is None:
            return _status(401, "Unauthorized", "Unauthorized")
        if allowed:
            return None
        name = f' "{request.match_info["pod"]}"' if "pod" in request.match_info else ""
        return _status(
            403,
            "Forbidden",
            f'{resource.split("/", maxsplit=1)[0]}{name} is forbidden: User "{self._account(request)}" cannot {verb} resource "{resource}" in API group "" in the namespace "{namespace}"',
        )

    async def _review(self, request: web.Request) -> web.Response:
        """SelfSubjectAccessReview: whether the account may do something. Every account may send it."""
        review = await request.json()
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, [asked["resource"], asked.get("subresource")]))
        allowed = self._may(request, asked["verb"], resource, asked["namespace"], asked.get("name") or "")
        if allowed is None:
            return _status(401, "Unauthorized", "Unauthorized")
        return web.json_response(review | {"status": {"allowed": allowed}}, status=201)

    def _account(self, request: web.Request) -> str:
        return str(self.objects.account(_token(request)) or "csm")

    def _may(self, request: web.Request, verb: str, resource: str, namespace: str, name: str) -> bool | None:
        """Whether RBAC allows it for the request's account; `None` for an unknown token."""
        token = _token(request)
        if token == self.admin_token:
            return True
        if token == self.token and namespace == "kube-system":
            return bool({f"{verb} {resource}", "*"} & self.plugin_rights)
        if token == self.token:
            in_its_own = namespace in {pod.namespace for pod in self.pods.values()} or not self.pods
            return in_its_own and bool({f"{verb} {resource}", "*"} & self.rights)
        account = self.objects.account(token)
        return None if account is None else self.objects.allows(account, verb, resource, namespace, name)

    # -- objects --------------------------------------------------------------------------------------------

    def _add_objects(self, router: web.UrlDispatcher) -> None:
        within = "/{group:api/v1|apis/apps/v1|apis/rbac.authorization.k8s.io/v1}/namespaces/{namespace}"
        kind = "{kind:" + "|".join((*NAMESPACED, "pods")) + "}"
        answered = self._answered
        router.add_post("/api/v1/{kind:namespaces}", answered("create", self._create))
        router.add_get("/api/v1/{kind:namespaces}/{name}", answered("get", self._get))
        router.add_delete("/api/v1/{kind:namespaces}/{name}", answered("delete", self._delete))
        router.add_post(f"{within}/serviceaccounts/{{name}}/token", answered("create", self._token))
        router.add_post(f"{within}/{kind}", answered("create", self._create))
        router.add_get(f"{within}/{{kind:daemonsets}}", answered("list", self._list_objects))
        router.add_get(f"{within}/{kind}/{{name}}", answered("get", self._get))
        router.add_delete(f"{within}/{kind}/{{name}}", answered("delete", self._delete))

    def _answered(
        self, verb: str, work: Callable[[web.Request, str, str], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            kind = request.match_info.get("kind", "serviceaccounts/token")
            if refusal := self._refusal(request, verb, kind):
                return refusal
            try:
                made = await work(request, kind, request.match_info.get("namespace", ""))
            except Conflict as error:
                return _status(409, "AlreadyExists", str(error))
            except Missing as error:
                return _status(404, "NotFound", str(error))
            return web.json_response(made, status=201 if verb == "create" else 200)

        return answer

    async def _create(self, request: web.Request, kind: str, namespace: str) -> dict[str, Any]:
        manifest = await request.json()
        if kind != "pods":
            return self.objects.create(kind, namespace, manifest)
        self.objects.check_namespace(namespace)
        pod = Pod.of(manifest, namespace)
        if pod.name in self.pods:
            raise Conflict(f'pods "{pod.name}" already exists')
        self.pods[pod.name] = pod
        asyncio.get_running_loop().call_later(START_S, setattr, pod, "phase", "Running")
        return pod.as_json()

    async def _get(self, request: web.Request, kind: str, namespace: str) -> dict[str, Any]:
        name = request.match_info["name"]
        return self._pod(namespace, name).as_json() if kind == "pods" else self.objects.get(kind, namespace, name)

    async def _list_objects(self, _request: web.Request, kind: str, namespace: str) -> dict[str, Any]:
        return self.objects.list(kind, namespace)

    async def _delete(self, request: web.Request, kind: str, namespace: str) -> dict[str, Any]:
        name = request.match_info["name"]
        if kind == "pods":
            gone = self._pod(namespace, name).as_json()
            del self.pods[name]
            return gone
        gone = self.objects.delete(kind, namespace, name)
        if kind == "namespaces":
            for pod in [pod for pod in self.pods.values() if pod.namespace == name]:
                del self.pods[pod.name]
        return gone

    async def _token(self, request: web.Request, _kind: str, namespace: str) -> dict[str, Any]:
        return self.objects.token(namespace, request.match_info["name"], await request.json())

    def _pod(self, namespace: str, name: str) -> Pod:
        pod = self.pods.get(name)
        if pod is None or pod.namespace != namespace:
            raise Missing(f'pods "{name}" not found')
        return pod

    # -- pods -------------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, "list", "pods"):
            return refusal
        if self.list_fault:
            return _http_fault(
                self.list_fault,
                f'pods is forbidden: User "csm" cannot list resource "pods" in API group "" in the namespace "{request.match_info["namespace"]}"',
            )
        wanted = _selector(request.query.get("labelSelector", ""))
        found = [
            pod
            for pod in (pod.as_json() for pod in self.pods.values() if pod.namespace == request.match_info["namespace"])
            if all(pod["metadata"]["labels"].get(key) == value for key, value in wanted.items())
        ]
        start = int(request.query.get("continue") or 0)
        limit = int(request.query.get("limit") or len(found) or 1)
        metadata = {"resourceVersion": "1"} | ({"continue": str(start + limit)} if start + limit < len(found) else {})
        return web.json_response(
            {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": found[start : start + limit]}
        )

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        self.execs += 1
        if self.on_exec:
            await self.on_exec()
        # As API servers do since 1.35: the GET needs `get`, and a websocket needs `create` as well.
        for verb in ("get", "create"):
            if refusal := self._refusal(request, verb, "pods/exec"):
                return refusal
        pod = self.pods.get(request.match_info["pod"])
        if pod is None or pod.namespace != request.match_info["namespace"] or pod.fault == "vanish":
            return _status(404, "NotFound", f'pods "{request.match_info["pod"]}" not found')
        if pod.fault.startswith("http_"):
            return _http_fault(
                int(pod.fault.removeprefix("http_")),
                f'pods "{pod.name}" is forbidden: User "csm" cannot create resource "pods/exec"',
            )
        if self.exec_fault:
            return _http_fault(
                self.exec_fault, f'pods "{pod.name}" is forbidden: User "csm" cannot create resource "pods/exec"'
            )
        if pod.fault == "never":
            await asyncio.Event().wait()
        container = request.query.get("container") or pod.containers[0]
        if container not in pod.containers:
            return _status(400, "BadRequest", f"container {container} is not valid for pod {pod.name}")
        socket = web.WebSocketResponse(
            protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"), max_msg_size=0, autoping=False
        )
        await socket.prepare(request)
        exec_ = Exec(self._kubelet, pod, container, socket, wants_stdin=request.query.get("stdin") == "true")
        self._execs.add(exec_)
        idling = asyncio.create_task(exec_.cut_when_idle(self.idle_limit_s)) if self.idle_limit_s else None
        try:
            with contextlib.suppress(ConnectionError):
                await exec_.run(request.query.getall("command"))
        finally:
            if idling is not None:
                idling.cancel()
            self._execs.discard(exec_)
        return socket


def _selector(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.replace("==", "=").split(",") if "=" in part)


def _http_fault(status: int, forbidden: str) -> web.Response:
    """An error answer with an API server's text (k8s.io/apimachinery: pkg/api/errors). For 403, that is `forbidden`."""
    said = {
        401: ("Unauthorized", "Unauthorized"),
        403: ("Forbidden", forbidden),
        404: ("NotFound", "the server could not find the requested resource"),
        410: ("Expired", "The provided continue parameter is too old to display a consistent list result."),
        429: ("TooManyRequests", "Too many requests, please try again later."),
    }
    answer = _status(status, *said.get(status, ("InternalError", "Internal error occurred: it was asked to fail")))
    if status == 429:
        answer.headers["Retry-After"] = "0.05"
    return answer


def _token(request: web.Request) -> str:
    """
    The bearer token of a request; empty without one.

    The scheme is case-insensitive (RFC 9110, 11.1): the official client writes `bearer` in a cluster.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code},
        status=code,
    )


@contextlib.asynccontextmanager
async def cluster(pods: Iterable[Pod], kubeconfig: Path) -> AsyncIterator[KubernetesApi]:
    """Run a stand-in cluster, and write its kubeconfig."""
    async with KubernetesApi(pods) as api:
        api.write_kubeconfig(kubeconfig)
        yield api


__all__ = ["FAULTS", "KubernetesApi", "Pod", "cluster"]
