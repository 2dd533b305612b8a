"""Nobody traces unless an endpoint is set, and then nothing is missing in silence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot import tracing
from handlers.errors import ConfigurationError


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, bot.app, bot.tracing\nwith bot.tracing.traced(), bot.tracing.span('run'): pass\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_endpoint_without_the_libraries_is_a_fault_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"csm\[otel\]"), tracing.traced():
        pass
