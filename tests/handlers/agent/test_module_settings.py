"""The module's settings, as the Agent prints them and as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.agent.module_settings import read_module_settings


def test_settings_are_read_by_their_path() -> None:
    found = read_module_settings(
        "system_probe_config:\n  enabled: false\n  socket: /wrong.sock\n"
        "runtime_security_config:\n  enabled: true\n  self_test:\n    enabled: false\n  ebpfless:\n    enabled: false\n"
        "  socket: /run/x/rs.sock\nother:\n  socket: /wrong.sock\n"
    )
    assert found is not None
    assert (found.enabled, found.self_test, found.ebpfless, found.socket) == (True, False, False, "/run/x/rs.sock")
    assert found.sockets == ("/run/x/rs.sock", "/run/x/cmd-rs.sock")


@pytest.mark.parametrize(
    "line",
    [
        "  socket: /a/b.sock",
        '  socket: "/a/b.sock"',
        "  socket: '/a/b.sock'   # ours",
        "  socket: /a/b.sock # ours",
        "  socket: /a/b.sock\r",
        "  socket: unix:///a/b.sock",
    ],
)
def test_a_socket_is_read_as_people_write_it(line: str) -> None:
    found = read_module_settings(f"# by hand\nruntime_security_config:\n{line}\n")
    assert found is not None
    assert found.socket == "/a/b.sock"


@pytest.mark.parametrize(
    "value", ["vsock:5020", "localhost:3335", "../x", "/a b", "/a/../../etc/shadow", "-rf", "", "/" + "a" * 300]
)
def test_what_is_no_plain_path_is_never_handed_to_a_command(value: str) -> None:
    found = read_module_settings(f"runtime_security_config:\n  socket: {value}\n")
    assert found is not None
    assert found.socket == ""
    assert found.sockets == ()


@pytest.mark.parametrize(
    "text", ["", "enabled: true\n", "system_probe_config:\n  enabled: true\n", "Error: no such command\n"]
)
def test_text_without_the_section_tells_nothing(text: str) -> None:
    assert read_module_settings(text) is None


@given(st.text())
def test_nothing_that_is_printed_raises(text: str) -> None:
    read_module_settings(text)
    read_module_settings("runtime_security_config:\n" + text)
