"""
Parse the runtime security module's settings: whether it is enabled, and where its sockets are.

`system-probe config` prints what the running system-probe uses, file and environment merged, as YAML without secrets
(DataDog/datadog-agent:cmd/system-probe/subcommands/config/command.go@0b07af9b). Whether it has this section depends on
the version (cmd/system-probe/modules/eventmonitor.go@02078961). The fallback is the file system-probe.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import re2

_SECTION = "runtime_security_config"
_MOST_LINES = 100_000
_LINE = re2.compile(r"( *)([A-Za-z0-9_.-]{1,100}):(?:\s+(.*?))?\s*")
_SOCKET = re2.compile(r"/[A-Za-z0-9._/-]{1,200}")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True, slots=True)
class ModuleSettings:
    """The module's settings in the Agent's configuration; `None` or empty where they are not set."""

    enabled: bool | None = None
    self_test: bool | None = None
    """Whether self-tests are enabled."""
    ebpfless: bool | None = None
    socket: str = ""
    cmd_socket: str = ""
    """The socket for commands in newer Agents; in the folder of `socket` by default."""

    @property
    def sockets(self) -> tuple[str, ...]:
        """The paths at which the module may listen. A socket without a path (vsock) is left out."""
        if not self.socket:
            return (self.cmd_socket,) if self.cmd_socket else ()
        folder, _, name = self.socket.rpartition("/")
        return (self.socket, self.cmd_socket or f"{folder}/cmd-{name}")


def read_module_settings(text: str) -> ModuleSettings | None:
    """Parse the YAML that the Agent prints, or its file; `None` when there is no such section. Linear; never raises."""
    found = _scalars(text)
    if not any(path[0] == _SECTION for path in found):
        return None

    def flag(*path: str) -> bool | None:
        value = found.get((_SECTION, *path), "").lower()
        return True if value in _TRUE else False if value in _FALSE else None

    def socket(key: str) -> str:
        value = found.get((_SECTION, key), "").removeprefix("unix://")
        return value if _SOCKET.fullmatch(value) and "/../" not in value else ""

    return ModuleSettings(
        enabled=flag("enabled"),
        self_test=flag("self_test", "enabled"),
        ebpfless=flag("ebpfless", "enabled"),
        socket=socket("socket"),
        cmd_socket=socket("cmd_socket"),
    )


def _scalars(text: str) -> Mapping[tuple[str, ...], str]:
    """The values of `key: value` lines, by the path of their nested keys. Lists and long strings are skipped."""
    found: dict[tuple[str, ...], str] = {}
    open_keys: list[tuple[int, str]] = []
    for line in text.splitlines()[:_MOST_LINES]:
        match = _LINE.fullmatch(line[:2000])
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2], _unquoted(match[3] or "")
        while open_keys and open_keys[-1][0] >= indent:
            open_keys.pop()
        if len(open_keys) >= 20:  # deeper than any setting
            continue
        open_keys.append((indent, key))
        found[tuple(name for _, name in open_keys)] = value
    return found


def _unquoted(value: str) -> str:
    if value[:1] in {'"', "'"}:
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip() if not value.startswith("#") else ""
