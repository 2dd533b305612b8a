"""This host: commands through a real sudo, which lets csm or asks for a password."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from handlers.errors import BinaryMissing, DeadlineExceeded, Denied
from handlers.executors.base import Limits, run
from handlers.executors.host import HostExecutor
from handlers.executors.settings import HostSettings
from handlers.model import Agent, Installation, Platform

AGENT = Agent(target="this-host", name="this-host", platform=Platform.HOST, installation=Installation.HOST)
QUICK = Limits(deadline_s=20, grace_s=0.5)

pytestmark = pytest.mark.needs("sudo", "setpriv", root=True)


@pytest.fixture
def executor() -> HostExecutor:
    return HostExecutor("this-host", HostSettings(sudo=True))


async def test_a_command_runs_through_sudo(executor: HostExecutor) -> None:
    done = await run(executor, AGENT, ("sh", "-c", "echo $SUDO_COMMAND; exit 3"), limits=QUICK)

    assert done.exit_status == 3
    assert b"sh -c" in done.output.stdout


async def test_sudo_that_wants_a_password_is_told_as_such(
    executor: HostExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of root sudo asks nothing; so it is asked as somebody else.
    real = shlex.join(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(shutil.which("sudo"))])
    (tmp_path / "sudo").write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Denied, match="password"):
        await run(executor, AGENT, ("true",), limits=QUICK)


async def test_a_warning_of_sudo_does_not_make_a_command_s_own_failure_a_refusal(
    executor: HostExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sudo").write_text("#!/bin/sh\necho 'sudo: unable to resolve host db-1' >&2\nshift\nexec \"$@\"\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    done = await run(executor, AGENT, ("sh", "-c", "echo no config >&2; exit 1"), limits=QUICK)

    assert (done.exit_status, done.output.stderr) == (1, b"sudo: unable to resolve host db-1\nno config\n")


async def test_a_program_that_sudo_does_not_find_is_said_to_be_missing(executor: HostExecutor) -> None:
    with pytest.raises(BinaryMissing, match="no-such-program"):
        await run(executor, AGENT, ("no-such-program",), limits=QUICK)


async def test_what_runs_through_sudo_is_ended_too(executor: HostExecutor) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await run(executor, AGENT, ("sh", "-c", "echo begun; exec sleep 60"), limits=Limits(deadline_s=1.5, grace_s=1))

    assert caught.value.output.stdout == b"begun\n"
    assert caught.value.ended
