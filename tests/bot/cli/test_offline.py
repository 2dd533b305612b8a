"""`csm tc --evidence FILE`, and what the terminal keeps of a check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import main
from bot.cli.offline import judge_files
from bot.render.thread import evidence_files
from handlers.errors import UsageError
from handlers.model import Verdict
from tests.handlers.tc.nodes import OK, Node, device, seen


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A node where Cilium runs first."""
    node = Node()
    chain = [node.filter("cil_from_container", OK, pref=4), node.own("ingress")]
    return written(tmp_path / "bad.evidence.json", node.evidence(device("lxc1", chain, [node.own("egress")])))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    node = Node()
    return written(tmp_path / "good.json", node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")])))


def written(path: Path, evidence: Any) -> Path:
    path.write_text(evidence.model_dump_json(by_alias=True))
    return path


def test_a_saved_document_is_judged_and_the_exit_status_says_how(
    bad: Path, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, status, word in ((bad, 1, "fail"), (good, 0, "pass")):
        with pytest.raises(SystemExit) as ended:
            main(["tc", "--evidence", str(file)])
        assert ended.value.code == status
        assert word in capsys.readouterr().out


def test_many_documents_are_one_report_the_worst_first(bad: Path, good: Path) -> None:
    report = judge_files([good, bad], "helm")

    assert [(result.agent, result.verdict) for result in report.agents] == [
        ("bad", Verdict.FAIL),
        ("good", Verdict.PASS),
    ]
    assert report.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("installation", "file"), [("helm", "chart's values"), ("host", "system-probe.yaml"), ("docker", "docker run")]
)
def test_the_advice_is_for_the_installation_that_is_given(bad: Path, installation: str, file: str) -> None:
    (result,) = judge_files([bad], installation).agents
    remediation = result.findings[0].remediation

    assert remediation is not None
    assert file in remediation.steps[0].title


def test_what_is_no_evidence_is_unknown_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text('{"schema": "csm.report/1"}')
    with pytest.raises(SystemExit) as ended:
        main(["tc", "--evidence", str(odd), "--format", "json"])

    assert ended.value.code == 3
    (agent,) = json.loads(capsys.readouterr().out)["agents"]
    assert agent["findings"][0]["code"] == "tc.unreadable"


@pytest.mark.parametrize("line", [["tc", "--evidence", "/nowhere/x.json"], ["tc", "cluster-a", "--evidence", "x.json"]])
def test_a_wrong_line_is_usage_and_says_what_would_have_worked(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line)

    assert ended.value.code == 2
    assert "For example: csm tc --evidence" in capsys.readouterr().err


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        judge_files([tmp_path], "host")


def test_the_evidence_of_a_report_is_a_file_that_is_judged_alike(bad: Path, tmp_path: Path) -> None:
    before = judge_files([bad], "helm")
    (file,) = evidence_files(before)
    again = tmp_path / file.name
    again.write_text(file.content)

    assert judge_files([again], "helm").agents[0].findings == before.agents[0].findings
    assert '"document"' not in before.to_json()


def test_a_host_is_checked_from_the_terminal_and_its_evidence_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "opt" / "datadog-agent").mkdir(parents=True)
    config = tmp_path / "csm.yaml"
    config.write_text(
        f"database_url: sqlite:///{tmp_path / 'csm.db'}\ntargets: {{this-host: {{host: {{root: {tmp_path}}}}}}}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["tc", "this-host", "--config", str(config), "--format", "json", "--save", str(tmp_path / "kept")])

    # No Agent runs here, so that nothing can be said to be right.
    assert ended.value.code in {1, 3}
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] in {"fail", "unknown"}
    (kept,) = (tmp_path / "kept").iterdir()
    assert judge_files([kept], "host").agents[0].reason == report["agents"][0]["reason"]


def test_a_version_is_taken_from_the_evidence(tmp_path: Path) -> None:
    node = Node()
    old = node.evidence(device("eth0", [], []), agent=seen("7.35.2"))
    (result,) = judge_files([written(tmp_path / "old.json", old)], "host").agents

    assert (result.agent_version, result.findings[0].code) == ("7.35.2", "tc.too_old")
