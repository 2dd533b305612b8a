"""The sudoers example allows what csm runs on a host, and nothing that only looks like it: asked of the real sudo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from handlers.agent.commands import (
    as_text,
    clock_command,
    look_for_sockets,
    selftest_commands,
    settings_commands,
    status_commands,
    version_command,
    with_socket,
)
from handlers.agent.flare_commands import flare_commands, locally
from handlers.model import Agent, Installation, Platform
from handlers.remediation import remediate
from handlers.version import AgentVersion
from tests.deploy.conftest import ROOT
from tests.programs import need, need_mount_namespace

SUDOERS = ROOT / "deploy" / "sudoers" / "csm"
ARCHIVE = "/tmp/datadog-agent-2026-11-24T10-11-12Z-info.zip"
MARK = ("env", "CSM_EXEC=0123456789abcdef")
"""What csm puts before each command over SSH."""
VERSIONS = [None, *(AgentVersion(7, minor, 0) for minor in (34, 50, 60, 66, 70, 78))]

ASK = """
import json, os, subprocess, sys
from tests.programs import need, need_mount_namespace
sudoers, lines = sys.argv[1], json.load(sys.stdin)
subprocess.run(["mount", "-t", "tmpfs", "none", "/opt"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/etc/sudoers.d"], check=True)
for program in {line[0] for line in lines if line[0].startswith("/opt/")}:
    os.makedirs(os.path.dirname(program), exist_ok=True)
    open(program, "w").close()
    os.chmod(program, 0o755)
with open("/etc/sudoers.d/csm", "w") as file:
    file.write(sudoers)
os.chmod("/etc/sudoers.d/csm", 0o440)
allowed = [subprocess.run(["sudo", "-n", "-l", "-U", "nobody", *line], capture_output=True).returncode == 0 for line in lines]
json.dump(allowed, sys.stdout)
"""
"""Runs in a mount namespace of its own, so that this machine's sudoers are not touched."""


def commands() -> Iterator[Sequence[str]]:
    """Every argument vector that csm runs on a host for a self-test or a flare."""
    agent = Agent(target="this-host", name="this-host", platform=Platform.HOST, installation=Installation.HOST)
    yield version_command(agent).argv
    for version in VERSIONS:
        flares = [
            c for case in ("", "1234567") for c in flare_commands(agent, version, case, "ana.b+c@mail.example.com")
        ]
        triggers = selftest_commands(agent, version) if version else ()
        statuses = status_commands(agent, version)
        moved = [with_socket(choice, "/run/moved/runtime-security.sock", "moved") for choice in triggers]
        for choice in (*triggers, *moved, *statuses, *map(as_text, statuses), *settings_commands(agent), *flares):
            yield choice.argv
        yield from (local.argv for choice in flares if (local := locally(choice)))
    yield look_for_sockets(agent, ["/run/moved/rs.sock", "/run/moved/cmd-rs.sock"]).argv
    yield clock_command(agent).argv
    yield ("cat", ARCHIVE)
    yield ("sha256sum", ARCHIVE)


REFUSED = [
    ("ls", "-la", "/root"),
    ("ls", "-d", "/run/a.sock", "/run/b.sock", "/run/c.sock"),
    ("date", "--set", "2026-01-01"),
    ("cat", "/etc/datadog-agent/datadog.yaml"),
    (
        "env",
        "DD_RUNTIME_SECURITY_CONFIG_SOCKET=/x LD_PRELOAD=/tmp/x.so",
        "/opt/datadog-agent/embedded/bin/system-probe",
        "runtime",
        "self-test",
    ),
    ("env", "DD_RUNTIME_SECURITY_CONFIG_SOCKET=/x", "/opt/datadog-agent/embedded/bin/system-probe", "config"),
    ("/opt/datadog-agent/bin/agent/agent", "config"),
    ("/opt/datadog-agent/bin/agent/agent", "status", "--cfgpath", "/tmp/mine.yaml"),
    ("/opt/datadog-agent/bin/agent/agent", "flare", "1", "--email", "a@b.c", "--send", "--no-color"),
    ("/opt/datadog-agent/bin/agent/agent", "flare", "1 --send", "--email", "a@b.c", "--no-color"),
    ("/opt/datadog-agent/bin/agent/agent", "flare", "--email", "a@b.c --send", "--no-color"),
    ("/opt/datadog-agent/bin/agent/agent", "flare", "--email", "a@b.c", "--cfgpath", "/tmp/x", "--no-color"),
    ("/opt/datadog-agent/bin/agent/agent", "flare", "../1", "--email", "a@b.c", "--no-color"),
    ("/opt/datadog-agent/embedded/bin/security-agent", "runtime", "policy", "reload"),
    ("/opt/datadog-agent/embedded/bin/system-probe",),
    ("/opt/datadog-agent/embedded/bin/python3", "-c", "1"),
    ("env", "LD_PRELOAD=/tmp/mine.so", "/opt/datadog-agent/bin/agent/agent", "version"),
    ("env", "/opt/datadog-agent/bin/agent/agent", "version"),
    ("cat", "/etc/shadow"),
    ("cat", "/tmp/datadog-agent-x", "/etc/shadow", "/y.zip"),
    ("cat", ARCHIVE, "/etc/shadow"),
    ("cat", "/tmp/datadog-agent-../../etc/shadow.zip"),
    ("sha256sum", "/etc/shadow"),
    ("/bin/sh", "-c", "id"),
]


@pytest.fixture(params=["file", "advice"])
def sudoers(request: pytest.FixtureRequest) -> str:
    """The example, and what a thread shows when csm was denied something on a host: they must not differ."""
    if request.param == "file":
        return SUDOERS.read_text()
    agent = Agent(target="db-1", name="db-1", platform=Platform.HOST, installation=Installation.HOST)
    return "".join(step.snippet for step in remediate("agent.denied", agent, None).steps)


def allowed(sudoers: str, lines: Sequence[Sequence[str]]) -> list[bool]:
    """What the real sudo says of each, for a user that only this file speaks of."""
    need("sudo")
    need_mount_namespace()
    text = sudoers.replace("csm ALL=", "nobody ALL=")
    line = ["unshare", "--mount", sys.executable, "-c", ASK, text]
    done = subprocess.run(
        line, input=json.dumps([list(each) for each in lines]), check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_visudo_takes_it(sudoers: str, tmp_path: Path) -> None:
    need("visudo")
    (tmp_path / "csm").write_text(sudoers)
    done = subprocess.run(["visudo", "-cf", tmp_path / "csm"], check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("before", [(), MARK], ids=["host", "ssh"])
def test_everything_that_csm_runs_for_a_selftest_or_a_flare_is_allowed(sudoers: str, before: tuple[str, ...]) -> None:
    lines = [(*before, *line) for line in dict.fromkeys(map(tuple, commands()))]

    assert [line for line, may in zip(lines, allowed(sudoers, lines), strict=True) if not may] == []


@pytest.mark.parametrize("before", [(), MARK, ("env", "CSM_EXEC=1 LD_PRELOAD=/tmp/x.so")], ids=["host", "ssh", "more"])
def test_nothing_else_is_allowed(sudoers: str, before: tuple[str, ...]) -> None:
    lines = [(*before, *line) for line in REFUSED]

    assert [line for line, may in zip(lines, allowed(sudoers, lines), strict=True) if may] == []
