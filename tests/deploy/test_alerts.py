"""Alert rules and the dashboard's queries, checked and tried by Prometheus' own tool."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import yaml
from prometheus_client.metrics import MetricWrapperBase

from bot.runtime import metrics
from tests.deploy.conftest import ROOT
from tests.programs import find, need

HERE = Path(__file__).parent
BOARD = json.loads((ROOT / "deploy" / "grafana" / "csm.json").read_text())


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    need("promtool")
    return subprocess.run([str(find("promtool")), *arguments], capture_output=True, text=True, check=False)


def test_the_rules_are_valid() -> None:
    done = promtool("check", "rules", "--lint-fatal", ROOT / "deploy" / "prometheus" / "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    done = promtool("test", "rules", HERE / "alerts.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    queries = dashboard_queries()
    filled = [query.replace("$__rate_interval", "5m").replace("$instance", ".*") for query in queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "queries.yaml")

    assert len(queries) > 15
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_and_the_alerts_use_labels_that_the_metrics_have() -> None:
    """One that they have not is an empty panel, and an alert that never fires."""
    labels = {
        name: set(metric._labelnames)
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
        for name in (metric._name, f"{metric._name}_total", f"{metric._name}_bucket")
    }
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())["groups"]
    for query in (*dashboard_queries(), *(rule["expr"] for group in rules for rule in group["rules"])):
        names = re.findall(r"\b(?:csm|process)_[a-z_]+", query)
        used = {label for each in re.findall(r"\bby \(([^)]*)\)", query) for label in re.split(r", *", each)}
        used |= set(re.findall(r"[{,] *([a-z_]+)(?:=|!)", query))
        assert names, query
        assert used <= {"instance", "job", "le"}.union(*(labels.get(name, ()) for name in names)), query


def test_every_panel_says_what_it_shows_and_in_what_unit() -> None:
    for panel in BOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
