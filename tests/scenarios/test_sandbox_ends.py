"""However `csm sandbox` is ended, nothing of it is left: no process, no file. Killed, its files stay until the next one starts."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox import orphans

SANDBOX = (sys.executable, "-m", "bot", "sandbox", "--agents", "2")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a folder for temporary files that is this test's own, and no Docker engine."""
    return {**os.environ, "TMPDIR": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}


@pytest.fixture
def sandbox(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*SANDBOX, "--json"], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def announced(sandbox: subprocess.Popen[str]) -> dict[str, Any]:
    assert sandbox.stdout is not None
    found: dict[str, Any] = json.loads(sandbox.stdout.readline())
    return found


def post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["ok"]


def belonging_to(folder: Path) -> list[int]:
    """Pidfds of the processes that carry the folder's name; such a one can be read when its process has ended."""
    mark = f"{orphans.VARIABLE}={orphans.name_of(folder)}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(os.pidfd_open(int(process.name)))
    return found


def have_ended(processes: list[int]) -> bool:
    give_up = time.monotonic() + 20
    ended = [each for each in processes if select.select([each], [], [], max(0, give_up - time.monotonic()))[0]]
    for each in processes:
        os.close(each)
    return ended == processes


def is_gone(group: int) -> bool:
    """Whether no process of the group is left. One that has ended is there until whoever inherited it has noticed."""
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_it_is_told_to_end(
    sandbox: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    said = announced(sandbox)
    assert said["url"].startswith("http://127.0.0.1:")
    assert said["targets"] == {"cluster-a": "Kubernetes, 2 Agents", "this-host": "this host, one Agent"}
    assert "no Docker engine answers" in said["absent"]["edge"]
    assert list(tmp_path.iterdir())

    sandbox.send_signal(number)

    assert sandbox.wait(20) == 0
    assert is_gone(sandbox.pid)
    assert list(tmp_path.iterdir()) == []


def test_it_may_be_told_to_end_before_it_is_up(sandbox: subprocess.Popen[str], tmp_path: Path) -> None:
    while not list(tmp_path.glob("csm-sandbox-*/bot.log")):
        assert sandbox.poll() is None

    sandbox.send_signal(signal.SIGINT)

    assert sandbox.wait(20) == 130
    assert is_gone(sandbox.pid)
    assert list(tmp_path.iterdir()) == []


def test_the_bot_ends_with_a_sandbox_that_is_killed_and_the_next_one_removes_its_files(
    sandbox: subprocess.Popen[str], environment: dict[str, str], tmp_path: Path
) -> None:
    announced(sandbox)
    (left,) = tmp_path.iterdir()
    processes = belonging_to(left)
    assert processes

    sandbox.kill()

    assert have_ended(processes)
    assert left.is_dir()
    next_one = [*SANDBOX, "--once", "/csm targets"]
    assert subprocess.run(next_one, env=environment, capture_output=True, check=False, timeout=60).returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_bot_was_running_ends_with_the_sandbox(sandbox: subprocess.Popen[str], tmp_path: Path) -> None:
    url = announced(sandbox)["url"]
    (folder,) = tmp_path.iterdir()
    post(f"{url}/sandbox/faults", {"fault": "agent", "agent": "this-host", "is": "hang"})
    bot = belonging_to(folder)
    post(f"{url}/sandbox/commands", {"user": "ana", "channel": "#incident-42", "text": "/csm selftest this-host"})
    while len(processes := belonging_to(folder)) == len(bot):
        for each in processes:
            os.close(each)
    post(f"{url}/sandbox/faults", {"fault": "kill_bot"})
    assert have_ended(bot)

    sandbox.send_signal(signal.SIGINT)

    assert sandbox.wait(20) == 0
    assert have_ended(processes)
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_its_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    """As when the window is closed in which `make demo` runs: the session's leader has it as its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(SANDBOX[0], [*SANDBOX, "--once", "/csm targets", "--stay"], environment)
    shown = b""
    while b"Ctrl-C ends it" not in shown:
        shown += os.read(terminal, 65536)
    assert b"cluster-a" in shown

    os.close(terminal)

    os.waitpid(pid, 0)
    assert is_gone(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_said_in_words(sandbox: subprocess.Popen[str], environment: dict[str, str]) -> None:
    port = announced(sandbox)["url"].rpartition(":")[2]

    second = subprocess.run(
        [*SANDBOX, "--port", port], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert second.returncode == 2
    assert second.stderr.strip() == f"Port {port} is taken. Choose another with --port, or leave it out."
