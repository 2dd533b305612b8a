"""The pages that follow from the code are those that the code makes now, and every setting is told."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from bot.cli import main
from bot.config.settings import load
from bot.runtime import metrics
from docs import generate
from handlers.agent.findings import KINDS
from tests.deploy import page

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_not_stale(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == generate.page(name), "run `make docs`"


def test_every_setting_is_told() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (.*?) \| (.*?) \| (.*?) \|$", generate.configuration(), flags=re.MULTILINE)
    assert len(rows) > 40
    assert [key for key, kind, _, words in rows if not words or not kind] == []


def test_every_finding_code_has_its_advice_in_troubleshooting() -> None:
    text = generate.troubleshooting()
    assert [code for code in KINDS if f"### `{code}`" not in text] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = []
    for file in [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text("utf-8")):
            if not (file.parent / link).exists():
                broken.append((file.name, link))
    assert broken == []


def test_every_test_that_security_md_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 20
    assert [(file, name) for file, name in named if f"def {name}(" not in (ROOT / file).read_text("utf-8")] == []


def test_the_version_is_in_one_place_and_the_chart_follows_it() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = yaml.safe_load((ROOT / "deploy" / "chart" / "Chart.yaml").read_text("utf-8"))

    assert metadata.version("csm") == version
    assert (chart["version"], chart["appVersion"]) == (version, version)
    elsewhere = [
        file
        for folder in ("bot", "handlers")
        for file in (ROOT / folder).rglob("*.py")
        if f'"{version}"' in file.read_text("utf-8")
    ]
    assert elsewhere == []


# -- alerts and the dashboard -------------------------------------------------------------------------------------


def metric_names() -> set[str]:
    """Every name under which a sample of csm's may be found."""
    return {
        f"{metric.name}{suffix}"
        for metric in metrics.REGISTRY.collect()
        for suffix in ("", "_total", "_bucket", "_sum", "_count")
    }


@pytest.mark.parametrize("file", ["deploy/prometheus/alerts.yaml", "deploy/grafana/csm.json"])
def test_alerts_and_the_dashboard_speak_of_metrics_that_exist(file: str) -> None:
    named = set(re.findall(r"\b(?:csm_|process_)\w+", (ROOT / file).read_text("utf-8")))
    assert len(named) > 6
    assert named - metric_names() == set()


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_is_one_that_grafana_can_read() -> None:
    board = json.loads((ROOT / "deploy/grafana/csm.json").read_text("utf-8"))
    assert {"title", "uid", "panels", "schemaVersion", "templating"} <= set(board)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 8
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert all(target["expr"] for target in panel["targets"])


# -- what people copy ---------------------------------------------------------------------------------------------


def test_what_install_shows_is_there(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "install.md").read_text("utf-8")
    assert [path for path in re.findall(r"\bdeploy/[\w./-]+\w", text) if not (ROOT / path).exists()] == []

    for chapters in (("2.",), ("2.", "3b.")):
        (tmp_path / "csm.yaml").write_text(page.configuration(*chapters))
        assert load(tmp_path / "csm.yaml").targets


def test_every_csm_command_in_the_documents_is_one() -> None:
    known = {words.split()[1] for words, _ in generate._parsers(main._parser(), "csm")} | {"audit"}
    texts = [
        file.read_text("utf-8") for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "SECURITY.md")
    ]
    typed = {
        word
        for text in texts
        for word in re.findall(r"`csm ([a-z]+)|^\s{4}csm ([a-z]+)", text, flags=re.MULTILINE)
        for word in word
        if word
    }

    assert len(typed) > 6
    assert typed - known == set()


def test_the_values_that_install_sets_are_the_charts() -> None:
    text = (ROOT / "docs" / "install.md").read_text("utf-8")
    values = yaml.safe_load((ROOT / "deploy" / "chart" / "values.yaml").read_text("utf-8"))
    for path in re.findall(r"--set(?:-file)? '?([\w.]+)=", text):
        inner = values
        for step in path.split("."):
            assert step in inner, path
            inner = inner[step]
