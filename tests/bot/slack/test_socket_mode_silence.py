"""When Slack counts as dead: opening the connection anew is no sign of life, a pong is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.runtime import metrics
from bot.slack.socket_mode import DEAD_S, QUIET_S, SocketModeConnection


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr("bot.slack.socket_mode.time", made)
    return made


def opened(socket: Any, at: float, pong: float | None) -> None:
    """As if a connection had been opened, on which a pong came or not."""
    socket._opened_at = at
    socket._handler = SimpleNamespace(client=SimpleNamespace(last_ping_pong_time=pong))


def test_a_connection_that_is_opened_again_and_again_without_a_pong_is_dead(time: Time) -> None:
    socket = SocketModeConnection(cast("AsyncApp", None), "")
    opened(socket, 1000.0, 1001.0)
    assert socket.fault(QUIET_S) == ""
    for at in range(1030, 1300, 30):
        time.now = at
        opened(socket, at, None)

    assert socket.quiet_for_s == 0
    assert socket.fault(QUIET_S)
    assert "Nothing has been heard of Slack for" in socket.fault(DEAD_S)


def test_a_pong_brings_it_back_to_life(time: Time) -> None:
    socket = SocketModeConnection(cast("AsyncApp", None), "")
    time.now = 2000.0
    opened(socket, 1990.0, None)
    assert socket.fault(DEAD_S)
    opened(socket, 1990.0, 1999.0)

    assert socket.fault(QUIET_S) == ""
    socket.measure()
    assert metrics.REGISTRY.get_sample_value("csm_socket_age_seconds") == 10
    assert metrics.REGISTRY.get_sample_value("csm_socket_quiet_seconds") == 1
