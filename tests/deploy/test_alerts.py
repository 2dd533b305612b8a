"""Alert rules and the dashboard's queries, checked and tried by Prometheus' own tool."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import ROOT

PROMTOOL = shutil.which("promtool")
HERE = Path(__file__).parent


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not PROMTOOL:
        pytest.skip("there is no promtool (Debian: prometheus)")
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)


def test_the_rules_are_valid() -> None:
    done = promtool("check", "rules", "--lint-fatal", ROOT / "deploy" / "prometheus" / "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    done = promtool("test", "rules", HERE / "alerts.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    board = json.loads((ROOT / "deploy" / "grafana" / "csm.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    filled = [query.replace("$__rate_interval", "5m").replace("$instance", ".*") for query in queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "queries.yaml")

    assert len(queries) > 15
    assert done.returncode == 0, done.stdout + done.stderr
