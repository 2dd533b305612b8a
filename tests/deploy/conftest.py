"""What the tests of `deploy/` need: Helm, and the chart rendered."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
KUBERNETES = "1.31"
Render = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


@contextlib.contextmanager
def made(target: str) -> Iterator[None]:
    """`make` a target, and keep what was made from other tests' builds meanwhile: all of them use one folder."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {**os.environ, "MAKEFLAGS": ""}
        subprocess.run(["make", "--silent", target], cwd=ROOT, check=True, env=environment, capture_output=True)
        yield


@pytest.fixture(scope="session")
def helm() -> str:
    found = shutil.which("helm") or shutil.which("helm", path=str(ROOT / "build" / "tools"))
    if not found:
        pytest.skip("there is no helm (`make build/tools/helm` builds it with Go)")
    return found


@pytest.fixture
def render(helm: str, tmp_path: Path) -> Render:
    """The chart's documents with these values; a refusal of Helm's is a `CalledProcessError`."""

    def rendered(values: Mapping[str, Any]) -> list[dict[str, Any]]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values)))
        line = [helm, "template", "csm", CHART, "--namespace", "csm", "--kube-version", f"{KUBERNETES}.0", "-f", file]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered
