"""Nobody traces unless an endpoint is set, and then nothing is missing in silence."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from bot.runtime import tracing
from handlers.errors import ConfigurationError, Unreachable


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, bot.app, bot.runtime.tracing\nwith bot.runtime.tracing.traced(), bot.runtime.tracing.span('run'): pass\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_endpoint_without_the_libraries_is_a_fault_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"csm\[otel\]"), tracing.traced():
        pass


def test_of_an_error_only_its_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("csm"))
    with pytest.raises(Unreachable), tracing.span("agent", agent="cluster-a/node-1"):
        raise Unreachable("proxy said: password=hunter2")
    (span,) = exporter.get_finished_spans()

    assert span.attributes == {"csm.agent": "cluster-a/node-1", "error.type": "Unreachable"}
    assert span.status.status_code is StatusCode.ERROR
    assert "hunter2" not in span.to_json()
