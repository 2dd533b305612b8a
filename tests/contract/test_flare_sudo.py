"""The advice for sudo, on a real sudo: it allows what a flare needs, and nothing that looks like it."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.agent.flare_commands import flare_commands, locally
from handlers.model import Agent, Installation, Platform
from handlers.remediation.flare import SUDOERS
from handlers.version import from_tag

pytestmark = pytest.mark.skipif(not shutil.which("sudo"), reason="there is no sudo (Debian: sudo)")

HOST = Agent(target="t", name="t", platform=Platform.HOST, installation=Installation.HOST)
ENV = ("env", "CSM_EXEC=0123456789abcdef")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines as they are advised, for a user that is there."""
    folder = tmp_path_factory.mktemp("sudoers")
    (folder / "csm").write_text(SUDOERS.replace("csm ALL", "nobody ALL"))
    (folder / "csm").chmod(0o440)
    return folder


@pytest.fixture(scope="module")
def archive() -> Iterator[str]:
    path = Path(f"/tmp/datadog-agent-{uuid.uuid4().hex}-info.zip")
    path.write_bytes(b"zip")
    path.chmod(0o600)
    yield str(path)
    path.unlink()


def allowed(rules: Path, *argv: str) -> bool:
    """Whether sudo lets that user run it, in a mount namespace that sees these rules."""
    script = 'mount --bind "$1" /etc/sudoers.d && shift && exec setpriv --reuid=nobody --regid=nogroup --clear-groups sudo -n "$@"'
    line = ("unshare", "--mount", "sh", "-c", script, "sh", str(rules), *argv)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return "a password is required" not in done.stderr


@pytest.mark.parametrize("before", [(), ENV], ids=["host", "ssh"])
def test_what_a_flare_runs_is_allowed(rules: Path, archive: str, before: tuple[str, ...]) -> None:
    commands = [
        choice.argv
        for case in ("", "1234567")
        for choice in flare_commands(HOST, from_tag("7.70.1"), case, "ana.b+c@example.com")
    ]
    local = locally(flare_commands(HOST, from_tag("7.78.0"), "", "ana@example.com")[0])
    assert local is not None
    for argv in (*commands, local.argv, ("cat", archive), ("sha256sum", archive)):
        assert allowed(rules, *before, *argv), argv


@pytest.mark.parametrize("before", [(), ENV], ids=["host", "ssh"])
@pytest.mark.parametrize(
    "argv",
    [
        ("cat", "/etc/shadow"),
        ("cat", "/tmp/datadog-agent-x", "/etc/shadow", "/y.zip"),
        ("cat", "/tmp/datadog-agent-x/../../etc/shadow.zip"),
        ("sh", "-c", "id"),
        ("/opt/datadog-agent/bin/agent/agent", "flare", "--email", "a@b.c", "--cfgpath", "/tmp/x", "--no-color"),
        ("/opt/datadog-agent/bin/agent/agent", "flare", "1", "--email", "a@b.c", "--no-color", "--send"),
        ("/opt/datadog-agent/bin/agent/agent", "run"),
    ],
)
def test_nothing_else_is_allowed(rules: Path, argv: tuple[str, ...], before: tuple[str, ...]) -> None:
    assert not allowed(rules, *before, *argv)
