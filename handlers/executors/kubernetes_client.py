"""
Client for requests to a cluster's API and for the websockets of its execs. Uses the official client (`kubernetes.aio`),
with its configuration, credentials and TLS, and translates errors in one place.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.stream import WsApiClient

from handlers.errors import (
    Denied,
    ExecError,
    NotReady,
    TargetDenied,
    TargetError,
    TargetUnreachable,
    Throttled,
    Unreachable,
    Vanished,
)
from handlers.executors.settings import KubernetesSettings
from handlers.model import Agent

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
MOST_RETRY_S = 10.0
TRIES = 3


class NotThere(TargetUnreachable):
    """404: the requested object does not exist."""


class Expired(Exception):
    """410: the continue token is too old."""


class KubernetesClient:
    """Client for one cluster's API. Connects on first use."""

    def __init__(self, target: str, settings: KubernetesSettings) -> None:
        self._target = target
        self._settings = settings
        self._api: WsApiClient | None = None
        self._connecting = asyncio.Lock()
        self.server_date = ""
        """The cluster's clock, from its last response (RFC 9110, Date)."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Send a GET; see `call`."""
        return await self.call("GET", path, query=query)

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """
        Send one request, and parse its JSON. The generated models are not used: they cost more to build than the JSON
        to read.

        Raises a `TargetError`, or `Expired` for 410. Waits and tries again after 429, `TRIES` attempts in all.
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
                raise TargetUnreachable(f"{self._target} cannot be reached: {words(error)}") from error
            if answer.status == 429 and attempt < TRIES - 1:
                await asyncio.sleep(_retry_after(answer.headers))
                continue
            if answer.status < 300:
                return read_json(said)
            raise self._refusal(answer.status, _message(said))
        raise AssertionError("the last attempt returns or raises")

    def _refusal(self, status: int, said: str) -> Exception:
        if status in (401, 403):
            return TargetDenied(f"{self._target} answered {status}: {said}")
        if status == 410:
            return Expired()
        if status == 404:
            return NotThere(f"{self._target} answered 404: {said}")
        return TargetUnreachable(f"{self._target} answered {status}: {said}")

    async def exec(self, agent: Agent, path: str, query: Sequence[tuple[str, str]]) -> aiohttp.ClientWebSocketResponse:
        """
        Open the websocket of an exec. Raises an `ExecError`. Waits and tries again after 429, `TRIES` attempts in all.
        """
        for attempt in range(TRIES):
            try:
                api = await self._client()
                # Like the client's own helper, but with `protocols`, so that aiohttp knows which one was negotiated.
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
                raise Unreachable(f"{agent} cannot be reached: {words(error)}") from error
            except TargetError as error:
                raise Unreachable(str(error)) from error
            return socket
        raise AssertionError("the last attempt returns or raises")

    async def aclose(self) -> None:
        """Release the connections. Idempotent."""
        api, self._api = self._api, None
        if api is not None:
            await api.close()

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
        # No limit: with the default of 100, a thousand Agents would wait for one another's connections.
        configuration.connection_pool_maxsize = 0
        if not configuration.proxy:
            configuration.proxy = _proxy_of_the_environment(configuration.host)
        # aiohttp would read the proxies and a .netrc in a thread for each request; reading them once is enough.
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


def _proxy_of_the_environment(url: str) -> str | None:
    """The proxy for a URL by `https_proxy`, `http_proxy` and `no_proxy`, as in `kubectl`."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


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


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "1")
    return min(float(value) if value.replace(".", "", 1).isdigit() else 1.0, MOST_RETRY_S)


def read_json(text: str) -> Mapping[str, Any]:
    """Parse a JSON object; an empty one for any other text."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(body: str) -> str:
    return str(read_json(body).get("message") or body)[:300]


def words(error: BaseException | None) -> str:
    """The text of a library's error for people; at most 300 characters."""
    return f"{type(error).__name__}: {error}"[:300] if error and str(error) else type(error).__name__
