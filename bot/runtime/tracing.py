"""
OpenTelemetry traces, when an endpoint is set: a span for each run, each check of an Agent and each Slack API call.

OpenTelemetry is imported only if `OTEL_EXPORTER_OTLP_ENDPOINT` is set; it comes with the extra `csm[otel]`.
Attributes are names, ids and verdicts, never what an Agent printed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from handlers.errors import ConfigurationError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_tracer: Any = None


@contextlib.contextmanager
def span(name: str, **attributes: str) -> Iterator[None]:
    """Open a span around a block if tracing is on. Of an error it records only the type: the text may be an Agent's."""
    if _tracer is None:
        yield
        return
    named = {f"csm.{key}": value for key, value in attributes.items()}
    with _tracer.start_as_current_span(
        name, attributes=named, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield
        except BaseException as error:
            from opentelemetry.trace import StatusCode

            made.set_attribute("error.type", type(error).__name__)
            made.set_status(StatusCode.ERROR)
            raise


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """
    Send spans while the block runs, if an endpoint is set in the environment.

    Raises `ConfigurationError` when an endpoint is set and the libraries are not installed.
    """
    if not os.environ.get(ENDPOINT):
        yield
        return
    global _tracer  # noqa: PLW0603 - one process, one tracer, as the API has it
    provider = _provider()
    _tracer = provider.get_tracer("csm", version("csm"))
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()  # sends the remaining spans


def _provider() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            [f"{ENDPOINT} is set, and the OpenTelemetry libraries are not there. Install csm[otel], or unset it."],
            source="environment",
        ) from error
    resource = Resource.create({"service.name": "csm", "service.version": version("csm")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
