"""Whose something is that a sandbox has left on the machine, and whether it may be taken away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox import orphans

NAMED = "from bot.sandbox import orphans; print(orphans.new_name(), flush=True); input()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """A process that says a name of its own, and lives until it is killed."""
    with subprocess.Popen([sys.executable, "-c", NAMED], stdin=-1, stdout=-1, text=True) as process:
        yield process
        process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_a_living_process_made_is_not_left_behind(other: subprocess.Popen[str]) -> None:
    assert not orphans.is_left_behind(said(other))
    assert not orphans.is_left_behind(orphans.new_name())


def test_what_a_process_made_is_left_behind_once_it_is_killed(other: subprocess.Popen[str]) -> None:
    name = said(other)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert orphans.is_left_behind(name), "while whoever started it has not noticed yet"

    other.wait()

    assert orphans.is_left_behind(name)


def test_the_same_number_given_to_a_later_process_is_another_owner(other: subprocess.Popen[str]) -> None:
    namespace, process, started, token = said(other).split("-")

    assert orphans.is_left_behind(f"{namespace}-{process}-{int(started) - 1}-{token}")


@pytest.mark.parametrize("name", ["", "abcdefgh", "1-2-3", "4026531836-x-1-ab", "1-999999999-1-ab"])
def test_what_cannot_be_told_is_left_alone(name: str) -> None:
    assert not orphans.is_left_behind(name), "another name, or another place's process ids"


def test_a_new_folder_takes_the_place_of_those_left_behind_and_ends_what_ran_for_them(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    name = said(other)
    dead = tmp_path / f"csm-test-{name}"
    (dead / "inner").mkdir(parents=True)
    foreign = tmp_path / "csm-test-abcdefgh"
    foreign.mkdir()
    mine = orphans.new_folder("test", str(tmp_path))
    assert dead.exists()
    environment = {**os.environ, orphans.VARIABLE: name}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=-1) as orphan:
        other.kill()
        other.wait()

        new = orphans.new_folder("test", str(tmp_path))

        assert orphan.wait(10) == -9
    assert set(tmp_path.iterdir()) == {foreign, mine, new}
    assert new.stat().st_mode & 0o777 == 0o700
