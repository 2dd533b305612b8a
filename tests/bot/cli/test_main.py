"""The program without Slack: the same report, for people and for programs, and its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(fleet(6)) as api:
        config = {
            "database_url": f"sqlite:///{tmp_path / 'csm.db'}",
            "targets": {
                "cluster-a": {"kubernetes": {"kubeconfig": str(api.write_kubeconfig(tmp_path / "kubeconfig"))}}
            },
        }
        (tmp_path / "csm.yaml").write_text(yaml.safe_dump(config))
        yield api


async def csm(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *arguments,
        "--config",
        str(tmp_path / "csm.yaml"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_failing_agent_makes_the_status_1_and_json_is_all_of_stdout(
    cluster: KubernetesApi, tmp_path: Path
) -> None:
    status, out, err = await csm(tmp_path, "selftest", "cluster-a", "--format", "json")

    report = json.loads(out)
    assert (status, report["verdict"], report["counts"]) == (1, "fail", {"fail": 1, "pass": 5})
    assert report["schema"] == "csm.report/1"
    assert not err


async def test_a_passing_agent_makes_the_status_0_and_people_read_a_table(
    cluster: KubernetesApi, tmp_path: Path
) -> None:
    status, out, _ = await csm(tmp_path, "selftest", "cluster-a/node-1")

    assert status == 0
    assert "node-1" in out
    assert "\x1b" not in out


async def test_junit_has_a_case_for_each_agent(cluster: KubernetesApi, tmp_path: Path) -> None:
    status, out, _ = await csm(tmp_path, "selftest", "cluster-a", "--format", "junit")

    cases = ET.fromstring(out).findall(".//testcase")
    assert status == 1
    assert len(cases) == 6
    assert len([case for case in cases if case.find("failure") is not None]) == 1


async def test_an_unreachable_cluster_is_unknown(cluster: KubernetesApi, tmp_path: Path) -> None:
    cluster.list_fault = 500
    status, out, _ = await csm(tmp_path, "selftest", "cluster-a", "--format", "json")

    report = json.loads(out)
    assert (status, report["verdict"]) == (3, "unknown")
    assert "answered 500" in report["reason"]
    assert report["remedy"]


async def test_a_cluster_that_is_not_there_is_unknown_and_says_what_to_check(tmp_path: Path) -> None:
    async with KubernetesApi(fleet(1)) as api:
        kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    targets = {"cluster-a": {"kubernetes": {"kubeconfig": str(kubeconfig)}}}
    (tmp_path / "csm.yaml").write_text(
        yaml.safe_dump({"database_url": f"sqlite:///{tmp_path / 'csm.db'}", "targets": targets})
    )
    status, out, _ = await csm(tmp_path, "selftest", "cluster-a", "--format", "json")

    report = json.loads(out)
    assert (status, report["verdict"], report["agents"]) == (3, "unknown", [])
    assert "cluster-a cannot be reached" in report["reason"]
    assert "its address" in report["remedy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("selftest", "cluster-b"), "cluster-a"),
        (("show", "r-nothing"), "no run"),
        (("flare", "cluster-a", "1"), "needs the e-mail address"),
    ],
)
async def test_a_wrong_line_is_status_2_with_one_that_would_have_worked(
    cluster: KubernetesApi, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    status, out, err = await csm(tmp_path, *arguments)

    assert status == 2
    assert not out
    assert words in err


async def test_runs_are_remembered_and_shown_again(cluster: KubernetesApi, tmp_path: Path) -> None:
    _, out, _ = await csm(tmp_path, "selftest", "cluster-a/node-1", "--format", "json")
    run = json.loads(out)["run"]

    _, listed, _ = await csm(tmp_path, "runs")
    status, shown, _ = await csm(tmp_path, "show", run, "--format", "json")
    assert run in listed
    assert status == 0
    assert json.loads(shown)["run"] == run


async def test_prune_says_what_it_would_forget_and_forgets_it(cluster: KubernetesApi, tmp_path: Path) -> None:
    config = yaml.safe_load((tmp_path / "csm.yaml").read_text()) | {"retention": {"runs": "0s", "evidence": "0s"}}
    (tmp_path / "csm.yaml").write_text(yaml.safe_dump(config))
    await csm(tmp_path, "selftest", "cluster-a/node-1")

    assert (await csm(tmp_path, "prune", "--dry-run"))[1].startswith("Would forget 1 run,")
    assert (await csm(tmp_path, "prune"))[1].startswith("Forgot 1 run,")
    assert (await csm(tmp_path, "runs"))[1] == ""


@pytest.mark.parametrize("line", [["audit", "verify"], ["audit", "export"], ["prune"]])
async def test_a_database_that_is_not_there_is_no_empty_one(
    cluster: KubernetesApi, tmp_path: Path, line: list[str]
) -> None:
    status, out, err = await csm(tmp_path, *line)

    assert (status, out) == (2, "")
    assert "there is no such file" in err
    assert not (tmp_path / "csm.db").exists()


async def test_an_audit_of_nothing_does_not_hold(cluster: KubernetesApi, tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_text("")
    status, out, _ = await csm(tmp_path, "audit", "verify", "--file", str(tmp_path / "audit.jsonl"))
    assert (status, out) == (3, "There is no entry, so there is nothing that could hold.\n")


async def test_prune_takes_no_word_that_it_does_not_know(cluster: KubernetesApi, tmp_path: Path) -> None:
    status, out, err = await csm(tmp_path, "prune", "everything")

    assert (status, out) == (2, "")
    assert "everything" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["selftst", "cluster-a"], "Did you mean `selftest`?"),
        (["frobnicate"], "There are serve, sandbox"),
        (["selftest", "cluster-a", "--format", "jsn"], "Did you mean `json`?"),
        (["sandbox", "--port", "many"], "invalid int value: 'many'"),
        (["sandbox", "--prt", "1"], "`sandbox` does not know '--prt 1"),
        (["doctor", "cluster-a"], "`doctor` does not know 'cluster-a'"),
    ],
)
async def test_a_word_that_is_not_known_gets_the_nearest_one(tmp_path: Path, line: list[str], said: str) -> None:
    status, out, err = await csm(tmp_path, *line)

    assert (status, out) == (2, "")
    assert said in err


def kept(tmp_path: Path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "csm.db")) as database:
        (number,) = database.execute("SELECT count(*) FROM csm_results WHERE result IS NOT NULL").fetchone()
    return int(number)


def only_run(tmp_path: Path) -> str:
    with contextlib.closing(sqlite3.connect(tmp_path / "csm.db")) as database:
        ((run,),) = database.execute("SELECT id FROM csm_runs").fetchall()
    return str(run)


@pytest.mark.parametrize("how", ["Ctrl-C", "csm cancel in another terminal"])
async def test_a_cancelled_run_ends_its_commands_and_keeps_what_was_found(
    cluster: KubernetesApi, tmp_path: Path, how: str
) -> None:
    cluster.pods["datadog-0001"].behaviour.fault = "hang"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "selftest", "cluster-a", "--format", "json", "--config", str(tmp_path / "csm.yaml"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while cluster.still_running != 1 or len({pod for pod, _ in cluster.commands}) < 6:
        await asyncio.sleep(0.05)
    while await asyncio.to_thread(kept, tmp_path) < 5:
        await asyncio.sleep(0.05)
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        status, said, _ = await csm(tmp_path, "cancel", only_run(tmp_path))
        assert (status, "is being cancelled" in said) == (0, True)
    out, err = await process.communicate()

    report = json.loads(out)
    assert (process.returncode, report["counts"]) == (1, {"fail": 1, "pass": 4, "skipped": 1}), err
    assert report["cancelled_by"]
    assert await cluster.quiet()


@pytest.mark.parametrize(
    "line", [("--help",), ("selftest", "cluster-a"), ("flare", "cluster-a", "--email", "a@b.c", "--no")]
)
async def test_a_terminal_needs_no_bolt(cluster: KubernetesApi, tmp_path: Path, line: tuple[str, ...]) -> None:
    """`csm` in a terminal starts without what only the bot in Slack needs."""
    code = "import sys; sys.modules['slack_bolt'] = None; from bot.cli.main import main; main(sys.argv[1:])"
    options = () if line == ("--help",) else ("--config", str(tmp_path / "csm.yaml"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *line, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()

    assert b"slack_bolt" not in said, said.decode()
    assert b"Traceback" not in said, said.decode()
