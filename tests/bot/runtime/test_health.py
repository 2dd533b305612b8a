"""Alive, ready, measured: told over HTTP, also when the event loop is stuck."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import pytest

from bot.runtime import metrics
from bot.runtime.health import Health, HealthServer
from handlers.errors import ConfigurationError


@pytest.fixture
def health() -> Health:
    made = Health()
    made.serving = True
    return made


class Clock:
    """Stands, until a test moves it: how busy the machine is decides nothing."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("bot.runtime.health.time", made)
    return made


@pytest.fixture
async def server(health: Health, clock: Clock) -> AsyncIterator[HealthServer]:
    async with HealthServer(health, "127.0.0.1", 0, stuck_s=0.3) as made:
        yield made


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(server.address + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_a_process_that_works_is_alive_and_ready(server: HealthServer) -> None:
    assert await asyncio.to_thread(get, server, "/livez") == (200, "ok\n")
    assert await asyncio.to_thread(get, server, "/readyz") == (200, "ok\n")
    assert (await asyncio.to_thread(get, server, "/"))[0] == 404


async def test_a_stuck_loop_is_told_while_it_is_stuck(server: HealthServer, clock: Clock) -> None:
    clock.now += 1
    status, text = get(server, "/livez")  # blocks the loop, as a library might
    assert status == 503
    assert "event loop has not turned" in text

    while (await asyncio.to_thread(get, server, "/livez"))[0] != 200:
        await asyncio.sleep(0.01)  # until it has turned


async def test_who_does_not_wait_for_the_answer_leaves_no_line_in_the_log(
    health: Health, server: HealthServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, gone = threading.Event(), threading.Event()

    def slow() -> str:
        asked.set()
        assert gone.wait(30)
        return ""

    over = threading.Event()
    close = server._server.shutdown_request
    monkeypatch.setattr(server._server, "shutdown_request", lambda request: (close(request), over.set()))
    health.ready_if(slow)
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
        probe.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert await asyncio.to_thread(asked.wait, 30)
    gone.set()
    assert await asyncio.to_thread(over.wait, 30)

    assert "Traceback" not in capfd.readouterr().err


async def test_what_only_a_restart_mends_is_a_matter_of_life_and_the_rest_of_readiness(
    health: Health, server: HealthServer
) -> None:
    wrong = ""
    health.ready_if(lambda: wrong)
    wrong = "The database cannot be used."
    assert (await asyncio.to_thread(get, server, "/livez"))[0] == 200
    assert await asyncio.to_thread(get, server, "/readyz") == (503, "The database cannot be used.\n")

    health.alive_if(lambda: "Nothing has been heard of Slack for 200 s.")
    assert (await asyncio.to_thread(get, server, "/livez"))[0] == 503


async def test_a_process_that_is_starting_or_stopping_is_alive_and_not_ready(
    health: Health, server: HealthServer
) -> None:
    health.serving = False
    assert (await asyncio.to_thread(get, server, "/livez"))[0] == 200
    assert (await asyncio.to_thread(get, server, "/readyz"))[0] == 503


async def test_a_check_that_fails_is_a_fault_and_a_measure_that_fails_hides_nothing(
    health: Health, server: HealthServer
) -> None:
    def broken() -> str:
        raise OSError

    health.ready_if(broken)
    health.measure(lambda: int(broken()))
    assert "A check failed: OSError" in (await asyncio.to_thread(get, server, "/readyz"))[1]
    status, text = await asyncio.to_thread(get, server, "/metrics")
    assert status == 200
    assert "csm_build_info" in text


async def test_metrics_are_measured_when_they_are_asked_for(health: Health, server: HealthServer) -> None:
    health.measure(lambda: metrics.RUNS_OPEN.set(7))
    assert "csm_runs_open 7.0" in (await asyncio.to_thread(get, server, "/metrics"))[1]


async def test_an_address_that_is_taken_is_a_fault_of_the_configuration(health: Health, server: HealthServer) -> None:
    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(ConfigurationError, match=f"nothing can listen at 127.0.0.1:{port}"):
        HealthServer(health, "127.0.0.1", port)
