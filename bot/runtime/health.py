"""
Liveness, readiness and metrics over HTTP, served from a thread of their own.

The thread is there so that a probe is answered even when the event loop is stuck. `/livez` fails when a restart
helps (the loop is stuck, Slack's socket stays dead), `/readyz` when this process can do nothing useful right now.
`/metrics` is for Prometheus.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot.runtime import metrics
from handlers.errors import ConfigurationError

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1.0
STUCK_S = 30.0
"""The event loop counts as stuck when it has not run for this many seconds."""

Check = Callable[[], str]
"""Returns what is wrong, as a sentence, or an empty string. Called from another thread."""


class Health:
    """The liveness checks, readiness checks and metrics of the process, and the answers to HTTP paths."""

    def __init__(self) -> None:
        self._alive: list[Check] = []
        self._ready: list[Check] = [lambda: "" if self.serving else "It is starting or stopping."]
        self._measured: list[Callable[[], None]] = []
        self.serving = False
        """Whether the bot takes commands."""

    def alive_if(self, check: Check) -> None:
        """Add a liveness check, for a fault that only a restart fixes."""
        self._alive.append(check)

    def ready_if(self, check: Check) -> None:
        """Add a readiness check. `/readyz` runs the liveness checks as well."""
        self._ready.append(check)

    def measure(self, measure: Callable[[], None]) -> None:
        """Add a function to call before metrics are shown, such as one that sets a gauge."""
        self._measured.append(measure)

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Return the status, content type and body for a path."""
        match path.split("?", maxsplit=1)[0]:
            case "/livez":
                return _verdict(self._alive)
            case "/readyz":
                return _verdict([*self._alive, *self._ready])
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, self._metrics()
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", b"/livez, /readyz and /metrics are here.\n"

    def _metrics(self) -> bytes:
        for measure in self._measured:
            with contextlib.suppress(Exception):  # an unreachable database must not hide the other metrics
                measure()
        return generate_latest(metrics.REGISTRY)


class HealthServer:
    """HTTP server of a `Health`. An async context manager; enter it in the event loop that it watches."""

    def __init__(self, health: Health, host: str, port: int, *, stuck_s: float = STUCK_S) -> None:
        self._stuck_s = stuck_s
        self._beat = time.monotonic()
        health.alive_if(self._stuck)
        health.measure(lambda: metrics.LOOP_LAG.set(max(0.0, time.monotonic() - self._beat - HEARTBEAT_S)))
        self._server = _server(health, host, port)
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )

    @property
    def address(self) -> str:
        """The address where the server listens: `http://127.0.0.1:9090`."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat_on(), name="heartbeat")
        self._thread.start()
        log.info("health.listening", address=self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._beating.cancel()
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()

    def _stuck(self) -> str:
        late = time.monotonic() - self._beat
        return f"The event loop has not turned for {late:.0f} s." if late > self._stuck_s else ""

    async def _beat_on(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(min(HEARTBEAT_S, self._stuck_s / 3))


def _verdict(checks: Iterable[Check]) -> tuple[HTTPStatus, str, bytes]:
    wrong = [said for check in checks if (said := _said(check))]
    status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
    return status, "text/plain; charset=utf-8", "".join(f"{line}\n" for line in wrong or ["ok"]).encode()


def _said(check: Check) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that fails is a fault by itself
        return f"A check failed: {type(error).__name__}."


def _server(health: Health, host: str, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            status, kind, body = health.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: probes come every few seconds."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def handle_error(self, _request: object, client_address: object) -> None:
            """Log at debug level when the client closes the connection early; the base class prints a traceback."""
            log.debug("health.not_answered", client=client_address)

    try:
        return Server((host, port), Handler)
    except OSError as error:
        raise ConfigurationError(
            [f"nothing can listen at {host}:{port}: {error.strerror}. Give another `health` address."], source="health"
        ) from error
