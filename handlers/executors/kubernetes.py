"""
Agents in a Kubernetes cluster, reached by exec in their pods.

Only through the official client (`kubernetes.aio`), whose websocket helper is thin: the exec protocol's
channels, its exit status and its end are read here (kubernetes/kubernetes:
staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go: `v5.channel.k8s.io`, falling back to v4).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.stream import WsApiClient

from handlers.errors import (
    BinaryMissing,
    ConnectionLost,
    Denied,
    ExecError,
    NoExitStatus,
    NotReady,
    TargetDenied,
    TargetError,
    TargetUnreachable,
    Throttled,
    Unreachable,
    Vanished,
)
from handlers.executors.base import Limits, Session, Stream, run
from handlers.executors.cluster import CILIUM, ClusterFacts, DaemonSet
from handlers.executors.ending import PYTHONS, VARIABLE, ending_argv, is_ending, new_mark
from handlers.executors.settings import KubernetesSettings
from handlers.model import Agent, Container, Installation, Platform
from handlers.version import from_image

SELECTORS = ("agent.datadoghq.com/component=agent", "app.kubernetes.io/component=agent")
"""Newer charts and the Operator set the first; the second is also carried by other charts' pods."""

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STATUS_WAIT_S = 5.0
"""How long the status channel may lag behind the end of the streams."""
MOST_RETRY_S = 10.0
TRIES = 3
PAGE = 500
FACTS_GOOD_S = 30.0


@dataclass(frozen=True, slots=True)
class Right:
    """Something that RBAC allows or not. `str(right)` reads like a role's rule: `create pods/exec`."""

    verb: str
    resource: str
    subresource: str = ""
    group: str = ""
    namespace: str = ""
    """The Agents' namespace when empty."""
    name: str = ""
    """One object's; all of them when empty."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f"/{self.subresource}" if self.subresource else "")


NEEDED = (
    Right("list", "pods"),
    # The exec is a GET that becomes a websocket: servers before 1.35 ask for `get`, newer ones for `create` as well.
    Right("get", "pods", "exec"),
    Right("create", "pods", "exec"),
)
"""What csm does in a cluster, and so must be allowed to."""


class KubernetesExecutor:
    """One cluster. Connects when it is first used."""

    platform = Platform.KUBERNETES

    def __init__(self, target: str, settings: KubernetesSettings) -> None:
        self._target = target
        self._settings = settings
        self._api: WsApiClient | None = None
        self._connecting = asyncio.Lock()
        self.server_date = ""
        """The cluster's clock, as its last answer told it (RFC 9110, Date)."""
        self._facts: tuple[float, ClusterFacts] | None = None
        self._asking = asyncio.Lock()

    async def agents(self) -> Sequence[Agent]:
        """The Agents' pods, by node name where that is unique."""
        selectors = (self._settings.selector,) if self._settings.selector else SELECTORS
        for selector in selectors:
            pods = [
                pod for pod in await self._pods(selector) if _is_agent(pod, checked=selector == self._settings.selector)
            ]
            if pods:
                break
        nodes = Counter(pod["spec"].get("nodeName", "") for pod in pods)
        named = [self._agent(pod, unique=nodes[pod["spec"].get("nodeName", "")] == 1) for pod in pods]
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
        socket = await self._connect_exec(agent, path, query)
        session = KubernetesSession(self, agent, argv, container=container, mark=mark, socket=socket)
        try:
            yield session
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(socket.close(), 2)

    @property
    def useful(self) -> Sequence[Right]:
        """What only `tc` uses, and does without: the network plugin's own settings."""
        namespace = self._settings.network_plugin_namespace
        return (
            Right("list", "daemonsets", group="apps", namespace=namespace),
            Right("get", "configmaps", namespace=namespace, name=CILIUM),
        )

    async def may(self, right: Right) -> bool:
        """
        Whether the cluster would let us (SelfSubjectAccessReview, which every account may ask for). Raises a `TargetError`.

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
        answer = await self._call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def cluster_facts(self) -> ClusterFacts:
        """See `KnowsCluster.cluster_facts`."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._facts is None or now >= self._facts[0]:
                self._facts = (now + FACTS_GOOD_S, await self._ask_facts(self._settings.network_plugin_namespace))
            return self._facts[1]

    async def aclose(self) -> None:
        """Release the connections."""
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    # -- how ----------------------------------------------------------------------------------------------

    async def _client(self) -> WsApiClient:
        async with self._connecting:
            if self._api is None:
                self._api = await self._configured()
            return self._api

    async def _configured(self) -> WsApiClient:
        settings, configuration = self._settings, client.Configuration()
        try:
            if settings.in_cluster:
                config.load_incluster_config(client_configuration=configuration)
            else:
                path = str(settings.kubeconfig) if settings.kubeconfig else None
                await config.load_kube_config(path, settings.context, configuration, persist_config=False)
        except (config.ConfigException, OSError) as error:
            raise TargetError(f"The kubeconfig for {self._target} cannot be used: {error}") from error
        # The default of 100 would make a thousand Agents wait for one another.
        configuration.connection_pool_maxsize = 0
        if not configuration.proxy:
            configuration.proxy = _proxy_of_the_environment(configuration.host)
        # aiohttp would look for proxies and a .netrc in a thread, for each request; one look is enough.
        configuration.client_session_kwargs = {"trust_env": False}
        return WsApiClient(configuration, heartbeat=settings.heartbeat_s)

    def _pool(self, api: WsApiClient) -> aiohttp.ClientSession:
        """The client's own session, with its TLS and proxy settings."""
        rest = api.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()  # noqa: SLF001 - as the client's own websocket helper does
        pool: aiohttp.ClientSession = rest.pool_manager
        return pool

    async def _headers(self, api: WsApiClient) -> dict[str, str]:
        headers: dict[str, str] = {}
        await api.update_params_for_auth(headers, [], ["BearerToken"], None, None, None)
        return headers

    async def _ask_facts(self, namespace: str) -> ClusterFacts:
        unseen: list[str] = []

        async def asked(path: str) -> Mapping[str, Any] | None:
            try:
                return await self._get(path, {})
            except _NotThere:
                return {}
            except (TargetError, _Expired) as error:
                unseen.append(str(error))
                return None

        sets = await asked(f"/apis/apps/v1/namespaces/{namespace}/daemonsets")
        cilium = await asked(f"/api/v1/namespaces/{namespace}/configmaps/{CILIUM}")
        return ClusterFacts(
            namespace,
            None if sets is None else tuple(map(_daemon_set, sets.get("items") or ())),
            None if cilium is None else {str(key): str(value) for key, value in (cilium.get("data") or {}).items()},
            tuple(unseen),
        )

    async def _pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        """All pods of a selector, page by page. A token that has expired (410) starts again."""
        for _ in range(TRIES):
            try:
                return [pod async for pod in self._pages(selector)]
            except _Expired:
                continue
        raise TargetUnreachable(f"{self._target} let each listing of its pods expire before it was read.")

    async def _pages(self, selector: str) -> AsyncIterator[Mapping[str, Any]]:
        token = ""
        while True:
            query = {"labelSelector": selector, "limit": str(PAGE), **({"continue": token} if token else {})}
            page = await self._get(f"/api/v1/namespaces/{self._settings.namespace}/pods", query)
            for pod in page.get("items") or []:
                yield pod
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    async def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        return await self._call("GET", path, query=query)

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """
        One request as JSON: the generated models cost more to build than the answer to read.

        Raises a `TargetError`, or `_Expired` for 410. 429 is waited out, a few times.
        """
        for attempt in range(TRIES):
            try:
                api = await self._client()
                headers = await self._headers(api)
                timeout = aiohttp.ClientTimeout(self._settings.request_timeout_s)
                async with self._pool(api).request(
                    method,
                    api.configuration.host + path,
                    params=query,
                    json=body,
                    headers=headers,
                    timeout=timeout,
                    proxy=api.configuration.proxy,
                ) as answer:
                    said = await answer.text(errors="replace")
                    self.server_date = answer.headers.get("Date", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise TargetUnreachable(f"{self._target} cannot be reached: {_words(error)}") from error
            if answer.status == 429 and attempt < TRIES - 1:
                await asyncio.sleep(_retry_after(answer.headers))
                continue
            if answer.status < 300:
                return _json(said)
            raise self._refusal(answer.status, _message(said))
        raise AssertionError("the last attempt returns or raises")

    def _refusal(self, status: int, said: str) -> Exception:
        if status in (401, 403):
            return TargetDenied(f"{self._target} answered {status}: {said}")
        if status == 410:
            return _Expired()
        if status == 404:
            return _NotThere(f"{self._target} answered 404: {said}")
        return TargetUnreachable(f"{self._target} answered {status}: {said}")

    async def _connect_exec(
        self, agent: Agent, path: str, query: Sequence[tuple[str, str]]
    ) -> aiohttp.ClientWebSocketResponse:
        for attempt in range(TRIES):
            try:
                api = await self._client()
                # As the client's own helper does, and with the protocols where aiohttp can tell which was agreed on.
                socket = await self._pool(api).ws_connect(
                    api.configuration.host + path,
                    params=query,
                    headers=await self._headers(api),
                    proxy=api.configuration.proxy,
                    protocols=PROTOCOLS,
                    heartbeat=self._settings.heartbeat_s,
                    max_msg_size=0,
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 429 and attempt < TRIES - 1:
                    await asyncio.sleep(_retry_after(error.headers or {}))
                    continue
                raise _handshake_error(agent, error) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{agent} cannot be reached: {_words(error)}") from error
            except TargetError as error:
                raise Unreachable(str(error)) from error
            return socket
        raise AssertionError("the last attempt returns or raises")

    def _agent(self, pod: Mapping[str, Any], *, unique: bool) -> Agent:
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
        node = spec.get("nodeName", "")
        states = {state["name"]: state for state in status.get("containerStatuses") or []}
        containers = tuple(_container(container, states.get(container["name"])) for container in spec["containers"])
        return Agent(
            target=self._target,
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


class KubernetesSession:
    """One exec. See `handlers.executors.base.Session`."""

    def __init__(
        self,
        executor: KubernetesExecutor,
        agent: Agent,
        argv: Sequence[str],
        *,
        container: str | None,
        mark: str,
        socket: aiohttp.ClientWebSocketResponse,
    ) -> None:
        self._executor = executor
        self._agent = agent
        self._argv = argv
        self._container = container
        self._mark = mark
        self._socket = socket
        self._status: Mapping[str, Any] | None = None
        self._stderr_tail = b""

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next output. The status channel ends it, since it comes after all output."""
        while self._status is None:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                channel, data = message.data[0], message.data[1:]
            elif message.type is aiohttp.WSMsgType.TEXT and message.data:
                channel, data = ord(message.data[0]), message.data[1:].encode()
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
                self._check_close()
                return None
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise ConnectionLost(f"The connection to {self._agent} was lost: {_words(self._socket.exception())}")
            else:
                continue
            if channel == STATUS:
                self._status = _json(data.decode("utf-8", "replace"))
            elif data and channel in (STDOUT, STDERR):
                if channel == STDERR:
                    self._stderr_tail = (self._stderr_tail + data)[-500:]
                return (Stream.STDOUT if channel == STDOUT else Stream.STDERR), data
        return None

    def _check_close(self) -> None:
        """A close without a status: in good order (1000) the status never came, otherwise it was cut."""
        if self._socket.close_code != aiohttp.WSCloseCode.OK:
            raise ConnectionLost(f"The connection to {self._agent} was cut while {self._argv[0]} ran.")

    async def write(self, data: bytes) -> None:
        """Write to stdin."""
        await self._send(bytes([STDIN]) + data)

    async def close_stdin(self) -> None:
        """Close stdin. Version 4 of the protocol cannot; a process that reads to the end then waits for its deadline."""
        if self._socket.protocol == "v5.channel.k8s.io":
            await self._send(bytes([CLOSE, STDIN]))

    async def exit_status(self) -> int:
        """The exit status from the status channel."""
        status = self._status
        if status is None:
            raise NoExitStatus(f"{self._agent} did not say how {self._argv[0]} ended.")
        if status.get("status") == "Success":
            return 0
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
                return self._exited(int(cause["message"]))
        raise _start_error(self._agent, self._argv[0], str(status.get("message", "")))

    def _exited(self, code: int) -> int:
        # `env` found no such program: its own words, on the last line and nothing else.
        tail = self._stderr_tail.decode("utf-8", "replace").strip()
        if code in (126, 127) and tail.startswith(("env: ", "/usr/bin/env: ")) and "\n" not in tail:
            raise BinaryMissing(f"{self._argv[0]} cannot be run on {self._agent}: {tail}")
        return code

    async def end(self, grace_s: float) -> bool:
        """End whatever carries the mark, through a second exec."""
        if self._status is not None:
            return True
        if is_ending(self._argv):
            return False
        limits = Limits(deadline_s=grace_s + 5, max_bytes=4096, grace_s=0)
        for python in PYTHONS:
            try:
                done = await _run_plain(
                    self._executor, self._agent, ending_argv(python, self._mark, grace_s), self._container, limits
                )
            except BinaryMissing:
                continue
            except (ExecError, TargetError):
                return False
            return done == 0
        return False

    async def _send(self, data: bytes) -> None:
        try:
            await self._socket.send_bytes(data)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ConnectionLost(f"The connection to {self._agent} was lost: {_words(error)}") from error


async def _run_plain(
    executor: KubernetesExecutor, agent: Agent, argv: Sequence[str], container: str | None, limits: Limits
) -> int:
    """Run the ending itself. Its own mark is another one, so it does not end itself."""
    return (await run(executor, agent, argv, container=container, limits=limits)).exit_status


class _NotThere(TargetUnreachable):
    """404: what was asked for is not there."""


class _Expired(Exception):
    """410: the continue token is too old."""


def _is_agent(pod: Mapping[str, Any], *, checked: bool) -> bool:
    """The older label is shared with other components; an Agent has a container named `agent`."""
    names = {container["name"] for container in pod["spec"]["containers"]}
    return checked or bool(names & {"agent", "unprivileged-single-agent"})


def _daemon_set(found: Mapping[str, Any]) -> DaemonSet:
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
    )


def _proxy_of_the_environment(url: str) -> str | None:
    """The proxy that `https_proxy`, `http_proxy` and `no_proxy` name for an address, as `kubectl` takes them."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


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


def _handshake_error(agent: Agent, error: aiohttp.WSServerHandshakeError) -> ExecError:
    status, said = error.status, error.message
    if status in (401, 403):
        return Denied(
            f"The cluster answered {status} to an exec in {agent}: csm needs `create` and `get` on `pods/exec` in {agent.namespace}."
        )
    if status in (404, 410):
        return Vanished(f"{agent} is no longer there: the cluster answered {status}.")
    if status == 429:
        return Throttled(f"The cluster had too many requests for an exec in {agent}, also after waiting.")
    if status == 400:
        return NotReady(f"The container of {agent} cannot run commands: the cluster answered 400.")
    return Unreachable(f"The cluster could not start an exec in {agent}: it answered {status} {said}")


def _start_error(agent: Agent, binary: str, said: str) -> ExecError:
    """What the container runtime says when a command did not start."""
    if "executable file not found" in said or "no such file or directory" in said or "permission denied" in said:
        return BinaryMissing(f"{binary} cannot be run on {agent}: {said[:300]}")
    if "container not found" in said or "not found" in said:
        return Vanished(f"The container of {agent} is gone: {said[:300]}")
    if "not running" in said or "not created" in said:
        return NotReady(f"The container of {agent} cannot run commands: {said[:300]}")
    return ConnectionLost(f"{agent} broke off {binary}: {said[:300] or 'without saying why'}")


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "1")
    return min(float(value) if value.replace(".", "", 1).isdigit() else 1.0, MOST_RETRY_S)


def _json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(body: str) -> str:
    return str(_json(body).get("message") or body)[:300]


def _words(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"[:300] if error and str(error) else type(error).__name__
