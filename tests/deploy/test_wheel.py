"""The wheel runs without the sources, and everything that is released is of one version."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import ROOT, made

pytestmark = pytest.mark.timeout(600)  # another worker's build of the image holds the same lock
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed apart from the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    with made("dist"):
        (wheel,) = (ROOT / "dist").glob("csm-*.whl")
        install = [*pip, "install", "--no-deps", "--target", folder / "site", wheel]
        subprocess.run(install, check=True, capture_output=True)
    return folder / "site"


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it from elsewhere, with the installed packages before the sources."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed)}
    line = [sys.executable, *arguments]
    return subprocess.run(line, check=False, capture_output=True, text=True, cwd=installed, env=environment)


def test_it_is_the_installed_one_that_runs(installed: Path) -> None:
    said = run(installed, "-c", "import bot, handlers; print(bot.__file__, handlers.__file__)").stdout

    assert all(path.startswith(str(installed)) for path in said.split())


def test_a_selftest_in_the_sandbox_works_without_the_sources(installed: Path) -> None:
    done = run(installed, "-m", "bot", "sandbox", "--agents", "1", "--once", "/csm selftest cluster-a")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass: Self-test of cluster-a" in done.stdout


def test_the_chart_and_the_package_are_of_one_version() -> None:
    chart = yaml.safe_load((ROOT / "deploy" / "chart" / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
