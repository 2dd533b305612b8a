"""The laboratory, and the collector's document of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.tc import collector
from handlers.tc.evidence import Evidence
from tests.kernel.lab import Lab
from tests.programs import need

PROGRAM = Path(collector.__file__)


@pytest.fixture
def lab() -> Iterator[Lab]:
    need("ip", "tc", "clang", "bpftool", root=True)
    with Lab() as made:
        yield made


@pytest.fixture
def collect() -> Callable[..., Evidence]:
    """Run the collector as it is run on a node, but for the way there."""

    def run(*before: str, **options: Any) -> Evidence:
        line = [*before, sys.executable, "-ISB", str(PROGRAM)]
        done = subprocess.run(line, capture_output=True, check=False, **options)
        assert done.returncode == 0, done.stderr.decode()
        assert not done.stderr
        return Evidence.model_validate(json.loads(done.stdout))

    return run
