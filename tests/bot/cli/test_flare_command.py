"""`csm flare` in a terminal: the same question, and no upload but by an answer that the policy allows."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi

LINE = ("flare", "cluster-a/node-1", "123", "--email", "a@b.example")
POD = "datadog-0001"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(fleet(2)) as api:
        yield api


def configure(api: KubernetesApi, folder: Path, *, four_eyes: bool) -> None:
    config = {
        "database_url": f"sqlite:///{folder / 'csm.db'}",
        "targets": {"cluster-a": {"kubernetes": {"kubeconfig": str(api.write_kubeconfig(folder / "kubeconfig"))}}},
        "approvals": {"flare": {"by": ["@security"], "four_eyes": four_eyes}},
    }
    (folder / "csm.yaml").write_text(yaml.safe_dump(config))


async def start(folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, "--config", str(folder / "csm.yaml"),
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


async def csm(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await start(folder, *arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def told(api: KubernetesApi) -> list[str]:
    return [event["answer"] for event in api.ledger(POD) if event["event"] == "answered"]


def uploads(api: KubernetesApi) -> list[Any]:
    return [event for event in api.ledger(POD) if event["event"] == "uploaded"]


async def test_yes_uploads_and_json_is_all_of_stdout(cluster: KubernetesApi, tmp_path: Path) -> None:
    configure(cluster, tmp_path, four_eyes=False)
    status, out, err = await csm(tmp_path, *LINE, "--yes", "--format", "json")

    report = json.loads(out)
    assert (status, report["verdict"]) == (0, "pass"), err
    (upload,) = uploads(cluster)
    assert upload["sha256"] == report["agents"][0]["flare"]["review"]["sha256"]
    assert upload["sha256"] in err
    assert "etc/datadog.yaml" in err


async def test_yes_is_refused_where_four_eyes_are_wanted(cluster: KubernetesApi, tmp_path: Path) -> None:
    configure(cluster, tmp_path, four_eyes=True)
    status, out, err = await csm(tmp_path, *LINE, "--yes")

    assert (status, out) == (2, "")
    assert "four eyes" in err
    assert not cluster.commands


@pytest.mark.parametrize("more", [("--no",), ()])
async def test_no_and_nobody_to_ask_decline(cluster: KubernetesApi, tmp_path: Path, more: tuple[str, ...]) -> None:
    configure(cluster, tmp_path, four_eyes=False)
    status, out, _ = await csm(tmp_path, *LINE, *more, "--format", "json")

    assert (status, json.loads(out)["verdict"]) == (3, "skipped")
    assert told(cluster) == ["n"]


@pytest.mark.parametrize(
    ("more", "uploaded"),
    [
        (("--yes",), False),
        (("--yes", "--confirm-host", "datadoghq.com"), False),
        (("--confirm-host", "flares.example.net:8443"), False),
        (("--yes", "--confirm-host", "flares.example.net:8443"), True),
    ],
)
async def test_yes_is_not_enough_for_another_host_than_datadogs(
    cluster: KubernetesApi, tmp_path: Path, more: tuple[str, ...], uploaded: bool
) -> None:
    cluster.pods[POD].behaviour.fault = "flare_to_host"
    configure(cluster, tmp_path, four_eyes=False)
    status, _, err = await csm(tmp_path, *LINE, *more)

    assert status == (0 if uploaded else 3)
    assert "NOT DATADOG: this archive would go to flares.example.net:8443" in err
    assert ("--yes --confirm-host flares.example.net:8443" in err) is (more[0] == "--yes" and not uploaded)
    assert told(cluster) == ["y" if uploaded else "n"]


@pytest.mark.parametrize(("typed", "uploaded"), [("flares.example.net:8443", True), ("y", False), ("", False)])
async def test_at_a_terminal_the_host_is_typed(
    cluster: KubernetesApi, tmp_path: Path, typed: str, uploaded: bool
) -> None:
    cluster.pods[POD].behaviour.fault = "flare_to_host"
    configure(cluster, tmp_path, four_eyes=False)
    assert await answer_at_terminal(tmp_path, typed) == 1

    assert told(cluster) == ["y" if uploaded else "n"]


@pytest.mark.parametrize(
    ("four_eyes", "typed", "uploaded"),
    [
        (False, ["y"], True),
        (False, ["yes"], False),
        (True, ["kim", "y"], True),
        (True, ["kim", "n"], False),
    ],
)
async def test_the_question_at_a_terminal(
    cluster: KubernetesApi, tmp_path: Path, four_eyes: bool, typed: list[str], uploaded: bool
) -> None:
    configure(cluster, tmp_path, four_eyes=four_eyes)
    await answer_at_terminal(tmp_path, *typed)

    assert bool(uploads(cluster)) is uploaded
    assert told(cluster) == ["y" if uploaded else "n"]


async def test_whoever_asked_is_no_second_person(cluster: KubernetesApi, tmp_path: Path) -> None:
    configure(cluster, tmp_path, four_eyes=True)
    assert await answer_at_terminal(tmp_path, getpass.getuser().upper()) == 1

    assert told(cluster) == ["n"]


async def test_ctrl_c_never_uploads(cluster: KubernetesApi, tmp_path: Path) -> None:
    configure(cluster, tmp_path, four_eyes=False)
    ours, theirs = pty.openpty()
    process = await start(tmp_path, *LINE, stdin=theirs)
    os.close(theirs)
    assert process.stderr is not None
    with contextlib.closing(os.fdopen(ours, "wb", buffering=0)):
        assert await prompted(process.stderr)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()

    assert process.returncode == 3
    assert b"cancelled" in out
    assert told(cluster) == ["n"]


async def answer_at_terminal(folder: Path, *lines: str) -> int:
    """Run the flare at a terminal and type a line at each question. Returns how many questions were answered."""
    ours, theirs = pty.openpty()
    process = await start(folder, *LINE, stdin=theirs)
    os.close(theirs)
    assert process.stderr is not None
    answered = 0
    with contextlib.closing(os.fdopen(ours, "wb", buffering=0)) as keyboard:
        for line in lines:
            if process.returncode is None and await prompted(process.stderr):
                keyboard.write(f"{line}\n".encode())
                answered += 1
        await process.communicate()
    return answered


async def prompted(stderr: asyncio.StreamReader) -> bool:
    """Wait for a question. False when the program has ended instead."""
    said = b""
    while not said.endswith((b"[y/N] ", b"to decline: ")):
        chunk = await stderr.read(4096)
        if not chunk:
            return False
        said += chunk
    return True
