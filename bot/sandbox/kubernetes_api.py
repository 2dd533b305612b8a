"""
The stand-in Kubernetes API: lists pods and runs commands in them, as an API server and its kubelets do.

It speaks the real protocols (list with selectors and pages; exec over websockets, v5 and v4; TLS, tokens and the
answers of RBAC), so only the official client is ever pointed at it. A pod's commands are real processes, which live on when a connection
closes, as in a real cluster; or, for fleets of a thousand, the stand-in Agent's answers given in this process.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

from bot.sandbox import flare_agent, nodes
from bot.sandbox.agent import NAMES, Behaviour, Reply, reply
from bot.sandbox.certificate import server_context
from bot.sandbox.kubernetes_objects import NAMESPACED, Conflict, Missing, Objects, made_metadata
from handlers.executors.ending import PYTHONS, VARIABLE
from handlers.executors.host import close_pipes

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
CHUNK = 32 * 1024
TOOLS = ("cat", "sha256sum")
"""What the Agent's image has besides the Agent, as far as csm uses it."""
START_S = 0.2
"""How long a pod that is created takes to run."""


@dataclass
class Pod:
    """A pod of the stand-in cluster. Everything may be changed while it runs."""

    name: str
    node: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    namespace: str = "datadog"
    containers: tuple[str, ...] = ("agent", "security-agent", "system-probe")
    network: str = "none"
    """What its node's network is made of: a name of `bot.sandbox.nodes.NETWORKS`."""
    phase: str = "Running"
    not_ready: Mapping[str, str] = field(default_factory=dict)
    """Containers that are not ready, and the reason why they wait."""
    tools: Sequence[str] = TOOLS
    """What its image has besides the Agent."""
    binaries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What a program's name runs as a real process. Others are answered by the stand-in Agent, in this process."""
    fault: str = ""
    """What the API does wrong for this pod: a name of `FAULTS`."""
    manifest: Mapping[str, Any] | None = None
    """As it was created through the API."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any], namespace: str) -> Pod:
        """
        A pod that was created through the API, not yet running.

        A cluster would start the image; here its containers play the stand-in Agent that STAND_IN_AGENT describes, as
        that program does where it is run.
        """
        containers = manifest["spec"]["containers"]
        variables = {each["name"]: each.get("value", "") for each in containers[0].get("env") or ()}
        name = str(manifest["metadata"]["name"])
        return cls(
            name,
            "stand-in-node",
            Behaviour.from_json(variables.get("STAND_IN_AGENT", "{}")),
            namespace,
            tuple(each["name"] for each in containers),
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
        state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": "2026-11-24T00:00:00Z"}}
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


@dataclass
class _Inline:
    """A command that is answered in this process. `ended` is what a signal would be."""

    mark: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class KubernetesApi:
    """The server. Use as a context; `write_kubeconfig` says how to reach it."""

    def __init__(self, pods: Iterable[Pod] = (), *, port: int = 0, tls: bool = False) -> None:
        self.pods = {pod.name: pod for pod in pods}
        self.list_fault = 0
        """An HTTP status with which listing is answered; 0 for none."""
        self.exec_fault = 0
        """The same for commands, in every pod."""
        self.objects = Objects()
        """What was created beside pods."""
        self.admin_token = secrets.token_urlsafe(24)
        """Of an account that may do everything."""
        self.token = secrets.token_urlsafe(24)
        self.rights = {"list pods", "get pods/exec", "create pods/exec"}
        """What the account may do in the Agents' namespace, as a role's rules would say it; `*` is everything."""
        self.plugin_rights = {"list daemonsets", "get configmaps"}
        """The same in `kube-system`, where the network plugin is."""
        self._tls = tls
        self._authority = b""
        self.execs = 0
        """How many commands were asked for, endings included."""
        self.commands: list[tuple[str, tuple[str, ...]]] = []
        """Pod and argument vector of each command that was run, endings left out."""
        self.on_exec: Callable[[], Awaitable[None]] | None = None
        """Called before each command is run; tests stop time here."""
        self._port = port
        self._processes: set[asyncio.subprocess.Process] = set()
        self._outliving: set[asyncio.Task[int]] = set()
        self._inline: dict[str, _Inline] = {}
        self._execs: set[_Exec] = set()
        self.idle_limit_s: float | None = None
        """How long an exec's connection may be silent in both directions before it is cut, as load balancers do."""
        self._folder = Path()
        self.url = ""

    async def __aenter__(self) -> KubernetesApi:  # noqa: PYI034 - not meant to be subclassed
        self._folder = Path(tempfile.mkdtemp(prefix="csm-pods-", dir="/tmp"))
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
        for inline in self._inline.values():
            inline.ended.set()
        for process in list(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if self._outliving:
            await asyncio.wait(self._outliving)
        await self._runner.cleanup()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def tmp(self, pod: str) -> Path:
        """The temporary directory that all containers of a pod share."""
        folder = self._folder / pod
        folder.mkdir(exist_ok=True)
        return folder

    def ledger(self, pod: str) -> Sequence[Mapping[str, Any]]:
        """What the flares of a pod's Agent were told, in order: see `flare_agent.read_ledger`."""
        return flare_agent.read_ledger(str(self.tmp(pod)))

    def install_network_plugin(self, name: str, *images: str, cilium: Mapping[str, str] | None = None) -> None:
        """Give the cluster a DaemonSet in `kube-system`, and perhaps Cilium's settings."""
        with contextlib.suppress(Conflict):
            self.objects.create("namespaces", "", {"metadata": {"name": "kube-system"}})
        containers = [{"name": f"{name}-{number}", "image": image} for number, image in enumerate(images)]
        spec = {"template": {"spec": {"containers": containers}}}
        self.objects.create("daemonsets", "kube-system", {"metadata": {"name": name}, "spec": spec})
        if cilium is not None:
            settings = {"metadata": {"name": "cilium-config"}, "data": dict(cilium)}
            self.objects.create("configmaps", "kube-system", settings)

    def cut(self, pod: str) -> None:
        """Cut every exec's connection to a pod. What runs there goes on, without an input."""
        for exec_ in [each for each in self._execs if each.pod.name == pod]:
            exec_.abort()

    @property
    def still_running(self) -> int:
        """How many commands have neither ended nor been ended."""
        return len(self._inline) + len(self._processes)

    def write_kubeconfig(self, path: Path, *, admin: bool = False) -> Path:
        """Write a kubeconfig with one context, `stand-in`, for csm's account or for one that may do everything."""
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
        """What authentication and RBAC answer (kubernetes: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters)."""
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
        """SelfSubjectAccessReview: what the account may do, which every account may ask."""
        review = await request.json()
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, [asked["resource"], asked.get("subresource")]))
        allowed = self._may(request, asked["verb"], resource, asked["namespace"], asked.get("name") or "")
        if allowed is None:
            return _status(401, "Unauthorized", "Unauthorized")
        return web.json_response(review | {"status": {"allowed": allowed}}, status=201)

    def _account(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return str(self.objects.account(token) or "csm")

    def _may(self, request: web.Request, verb: str, resource: str, namespace: str, name: str) -> bool | None:
        """What RBAC says of the account behind a request; `None` when it is nobody."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
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
        # As API servers do since 1.35: the GET asks for `get`, and a websocket for `create` as well.
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
            return _http_fault(self.exec_fault, "the API answers so to every command")
        if pod.fault == "never":
            await asyncio.Event().wait()
        container = request.query.get("container") or pod.containers[0]
        if container not in pod.containers:
            return _status(400, "BadRequest", f"container {container} is not valid for pod {pod.name}")
        socket = web.WebSocketResponse(
            protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"), max_msg_size=0, autoping=False
        )
        await socket.prepare(request)
        exec_ = _Exec(self, pod, container, socket, wants_stdin=request.query.get("stdin") == "true")
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


class _Exec:
    """One command in a container."""

    def __init__(
        self, api: KubernetesApi, pod: Pod, container: str, socket: web.WebSocketResponse, *, wants_stdin: bool
    ) -> None:
        self._api = api
        self._pod = pod
        self._container = container
        self._socket = socket
        self._wants_stdin = wants_stdin
        self._unread = 0
        """Bytes of its input that a command of this process still wants to read."""
        self._has_read = asyncio.Event()
        self._seen = time.monotonic()

    @property
    def pod(self) -> Pod:
        """The pod that it runs in."""
        return self._pod

    async def cut_when_idle(self, limit_s: float) -> None:
        """Cut the connection once nothing, pings included, has passed for that long."""
        while (idle := time.monotonic() - self._seen) < limit_s:  # noqa: ASYNC110 - until a time, not until an event
            await asyncio.sleep(limit_s - idle)
        self.abort()

    async def run(self, command: Sequence[str]) -> None:
        """Run it, and tell how it ended."""
        argv, env = _without_env(command)
        if argv[0] in PYTHONS and argv[-2].startswith(f"{VARIABLE}="):
            await self._end(argv)
        elif any(nodes.MARK in word for word in argv) and argv[0] not in self._pod.binaries:
            self._api.commands.append((self._pod.name, tuple(argv)))
            self._unread = nodes.length_of_input(argv)
            document = nodes.evidence(self._pod.network, self._pod.behaviour.version)
            await self._answer(env, Reply(json.dumps(document) + "\n", delay_s=self._pod.behaviour.delay_s))
        elif argv[0] in self._pod.binaries or argv[0] in PYTHONS:
            self._api.commands.append((self._pod.name, tuple(argv)))
            await self._process([*self._pod.binaries.get(argv[0], [sys.executable]), *argv[1:]], env)
        elif argv[0] in self._pod.tools:
            self._api.commands.append((self._pod.name, tuple(argv)))
            await self._process(argv, env)
        elif argv[1:2] == ["flare"] and self._has_flare(argv[0]):
            self._api.commands.append((self._pod.name, tuple(argv)))
            stand_in = {"STAND_IN_AGENT": self._pod.behaviour.to_json(), "TMPDIR": str(self._api.tmp(self._pod.name))}
            await self._process([sys.executable, "-S", flare_agent.__file__, *argv], {**env, **stand_in})
        elif argv[0].rsplit("/", 1)[-1] in NAMES:
            self._api.commands.append((self._pod.name, tuple(argv)))
            await self._answer(env, reply(argv, env, self._pod.behaviour))
        elif command[0] == "env":
            await self._send(STDERR, f"env: ‘{argv[0]}’: No such file or directory\n".encode())
            await self._finish(127)
        else:
            text = f'exec: "{argv[0]}": executable file not found in $PATH'
            await self._finish(0, failure=f"command terminated: failed to start exec: {text}: unknown")

    def _has_flare(self, binary: str) -> bool:
        return binary in flare_agent.NAMES and (binary != "security-agent" or self._pod.behaviour.security_agent)

    async def _end(self, argv: Sequence[str]) -> None:
        """The ending, for commands answered in this process; real ones are ended by really running it."""
        inline = self._api._inline.get(argv[-2])  # noqa: SLF001 - one module
        if inline is not None:
            inline.ended.set()
            await self._finish(0)
        else:
            await self._process([sys.executable, *argv[1:]], {})

    async def _answer(self, env: Mapping[str, str], answer: Reply) -> None:
        mark = f"{VARIABLE}={env.get(VARIABLE, '')}"
        inline = self._api._inline[mark] = _Inline(mark)  # noqa: SLF001
        reading = asyncio.create_task(self._feed())
        try:
            if self._unread > 0:
                await self._has_read.wait()
            if self._pod.fault == "cut":
                await self._send(STDOUT, answer.stdout_bytes[: len(answer.stdout_bytes) // 2])
                self.abort()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(inline.ended.wait(), None if answer.hang else answer.delay_s)
                await self._finish(143)
                return
            await self._send(STDOUT, answer.stdout_bytes)
            await self._send(STDERR, answer.stderr.encode())
            if answer.exit_status == 127 and answer.stderr.startswith("exec:"):
                await self._finish(
                    0, failure=f"failed to start exec: {answer.stderr.strip()}: executable file not found"
                )
            else:
                await self._finish(answer.exit_status)
        finally:
            reading.cancel()
            del self._api._inline[mark]  # noqa: SLF001

    async def _process(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if self._wants_stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", ""), **env},
            start_new_session=True,
        )
        self._api._processes.add(process)  # noqa: SLF001
        waiting = asyncio.create_task(self._outlive(process))
        self._api._outliving.add(waiting)  # noqa: SLF001
        waiting.add_done_callback(self._api._outliving.discard)  # noqa: SLF001
        assert process.stdout is not None
        assert process.stderr is not None
        tasks = [
            asyncio.create_task(self._pump(process.stdout, STDOUT)),
            asyncio.create_task(self._pump(process.stderr, STDERR)),
        ]
        feeding = asyncio.create_task(self._feed(process))
        try:
            if self._pod.fault == "cut":
                await asyncio.sleep(0.05)
                self.abort()
                return
            printing: asyncio.Future[Any] = asyncio.ensure_future(asyncio.gather(*tasks))
            printing.add_done_callback(lambda done: done.cancelled() or done.exception())
            ends: set[asyncio.Future[Any]] = {printing, feeding}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not printing.done():  # the client is gone, and a kubelet closes the input then
                return
            printing.result()
            await self._finish(await asyncio.shield(waiting))
        finally:
            for task in (*tasks, feeding):
                task.cancel()
            await close_pipes(process)

    async def _outlive(self, process: asyncio.subprocess.Process) -> int:
        """A process lives as long as it wants, whatever becomes of the connection."""
        code = await process.wait()
        self._api._processes.discard(process)  # noqa: SLF001
        return 128 - code if code < 0 else code

    async def _pump(self, stream: asyncio.StreamReader, channel: int) -> None:
        while data := await stream.read(CHUNK):
            await self._send(channel, data)

    async def _feed(self, process: asyncio.subprocess.Process | None = None) -> None:
        """Read what the client sends: pings, and the command's input."""
        while True:
            message = await self._socket.receive()
            self._seen = time.monotonic()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                self._has_read.set()
                return
            if message.type is not WSMsgType.BINARY:
                continue
            if process is None or process.stdin is None:
                self._unread -= len(message.data) - 1
                if self._unread <= 0:
                    self._has_read.set()
                continue
            if message.data[0] == STDIN:
                # One that ends without reading, or while it is written to, still ends in good order.
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(message.data[1:])
                    await process.stdin.drain()
            elif message.data[0] == CLOSE and self._socket.ws_protocol == "v5.channel.k8s.io":
                process.stdin.close()

    async def _send(self, channel: int, data: bytes) -> None:
        self._seen = time.monotonic()
        if data:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def _finish(self, code: int, *, failure: str = "") -> None:
        if self._pod.fault != "no_status":
            await self._send(STATUS, json.dumps(_exec_status(code, failure)).encode())
        await self._socket.close()

    def abort(self) -> None:
        """Cut the connection."""
        transport = self._socket._req.transport if self._socket._req else None  # noqa: SLF001 - aiohttp has no public way to cut
        if transport is not None:
            transport.abort()


def _exec_status(code: int, failure: str) -> dict[str, Any]:
    """What comes on the status channel (kubernetes: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand)."""
    if failure:
        return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": failure, "code": 500}
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with non-zero exit code: exit status {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": message,
        "details": {"causes": causes},
    }


def _without_env(command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    argv, env = list(command), {}
    while argv and argv[0] == "env":
        argv.pop(0)
        while argv and "=" in argv[0]:
            name, _, value = argv.pop(0).partition("=")
            env[name] = value
    return argv, env


def _selector(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.replace("==", "=").split(",") if "=" in part)


def _http_fault(status: int, message: str) -> web.Response:
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}
    answer = _status(status, reasons.get(status, "InternalError"), message)
    if status == 429:
        answer.headers["Retry-After"] = "0.05"
    return answer


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code},
        status=code,
    )


@contextlib.asynccontextmanager
async def cluster(pods: Iterable[Pod], kubeconfig: Path) -> AsyncIterator[KubernetesApi]:
    """A running stand-in cluster, and its kubeconfig written."""
    async with KubernetesApi(pods) as api:
        api.write_kubeconfig(kubeconfig)
        yield api
