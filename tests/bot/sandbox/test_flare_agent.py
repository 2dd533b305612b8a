"""The stand-in Agent's flare behaves at its input as the real one does: one scanner for each prompt."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.sandbox import flare_agent
from bot.sandbox.agent import Behaviour
from bot.sandbox.flare_agent import CONFIRMATION, read_ledger

EMAIL = ("--email", "a@b.c")


def start(folder: Path, *arguments: str, fault: str = "") -> subprocess.Popen[bytes]:
    env = {"STAND_IN_AGENT": Behaviour(fault=fault).to_json(), "TMPDIR": str(folder), "PATH": os.environ["PATH"]}
    line = (sys.executable, "-S", flare_agent.__file__, "agent", "flare", *arguments)
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)


def answered(folder: Path, said: bytes, *arguments: str) -> tuple[int, str]:
    """Its exit status and its stdout, after all that it is told at once and an end of input."""
    process = start(folder, *arguments)
    stdout, _ = process.communicate(said, timeout=20)
    return process.returncode, stdout.decode()


def uploads(folder: Path) -> int:
    return sum(entry["event"] == "uploaded" for entry in read_ledger(str(folder)))


@pytest.mark.parametrize("answer", [b"y\n", b"Y\n", b"  y \r\n", b"y"])
def test_y_is_a_yes(tmp_path: Path, answer: bytes) -> None:
    status, said = answered(tmp_path, answer, "1234567", *EMAIL)

    assert (status, uploads(tmp_path)) == (0, 1)
    assert said.endswith("internal case id is 1234567\n")


@pytest.mark.parametrize("answer", [b"", b"\n", b"yes\n", b"YES\n", b"o\n", b"n\n", b"\ny\n", b"y" * 70_000 + b"\n"])
def test_everything_else_is_a_no(tmp_path: Path, answer: bytes) -> None:
    status, said = answered(tmp_path, answer, *EMAIL)

    assert (status, uploads(tmp_path)) == (0, 0)
    assert "Aborting. (You can still use " in said
    assert list(tmp_path.glob("*.zip"))


def test_an_answer_that_comes_along_with_the_address_is_lost(tmp_path: Path) -> None:
    status, said = answered(tmp_path, b"a@b.c\ny\n")

    assert (status, uploads(tmp_path)) == (0, 0)
    assert said.startswith("NEW: ")
    assert [entry.get("answer") for entry in read_ledger(str(tmp_path)) if "answer" in entry] == ["a@b.c", ""]


def test_it_waits_for_ever(tmp_path: Path) -> None:
    process = start(tmp_path, *EMAIL)
    assert process.stdout is not None
    while (line := process.stdout.readline()) and line.strip().decode() != CONFIRMATION:
        pass
    time.sleep(0.3)
    assert process.poll() is None
    process.communicate(b"n\n", timeout=20)


def test_only_the_flag_that_csm_never_gives_uploads_without_asking(tmp_path: Path) -> None:
    _, said = answered(tmp_path, b"", "--send", *EMAIL)

    assert uploads(tmp_path) == 1
    assert CONFIRMATION not in said
