"""What the tests of `deploy/` need: Helm, the chart rendered, and the image."""

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

from tests import engine as engines
from tests.programs import find, need

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
KUBERNETES = "1.31"
Render = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


@contextlib.contextmanager
def made(*target: str, **environment: str) -> Iterator[None]:
    """`make` a target, and keep what was made from other tests' builds meanwhile: all of them use one folder."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line, env = ["make", "--silent", *target], {**os.environ, "MAKEFLAGS": "", **environment}
        done = subprocess.run(line, cwd=ROOT, check=False, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        yield


@pytest.fixture(scope="session")
def helm() -> str:
    need("helm")
    return str(find("helm"))


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


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """
    The image `csm:test`, as `make image` builds it on a Debian root file system, saved to a file: an engine loads it.

    Built once for all workers, by whoever needs it first.
    """
    need("dockerd", "docker", "mmdebstrap", "strip", root=True)
    folder = tmp_path_factory.getbasetemp()
    folder = folder if worker_id == "master" else folder.parent
    kept = folder / "image.tar"
    with (folder / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            build_image(kept)
    return kept


def build_image(kept: Path) -> None:
    """`make image` on an engine of its own."""
    with engines.engine(storage="overlay2") as engine:
        base = kept.with_name("base.tar")
        debian_root_file_system(base)
        engine.import_image_from_file(str(base), repository="csm-base", tag="debian")
        base.unlink()
        with made("image", "BASE=csm-base:debian", "IMAGE=csm:test", DOCKER_HOST=engine.csm_url):
            shutil.rmtree(ROOT / "build" / "image")
        half = kept.with_suffix(".half")
        with half.open("wb") as file:
            file.writelines(engine.get_image("csm:test"))
        half.rename(kept)


def debian_root_file_system(tar: Path) -> None:
    """Debian with Python, as Debian's packages make it."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    sources = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("debian.sources")]
    line = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,ca-certificates"]
    subprocess.run([*line, release["VERSION_CODENAME"], tar, *sources], check=True)
