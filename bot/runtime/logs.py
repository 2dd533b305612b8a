"""Structured logs: one JSON object a line on stderr, redacted at the one place where all of them pass."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from handlers.redaction import clean

_MAX_CHARS = 8000
_TELLING = re.compile("token|secret|password|authorization|cookie", re.IGNORECASE)
"""Names of what is never shown, whatever it looks like."""


def configure(level: str = "INFO") -> None:
    """Send csm's and its libraries' logs through the same processors."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The durable engine brings a handler with a format of its own, unless its logger has one already.
    engine = logging.getLogger("dbos")
    engine.handlers, engine.propagate = [handler], False
    # A line that cannot be formatted would be printed in pieces, past every processor.
    logging.raiseExceptions = False
    # At DEBUG these print tokens and payloads.
    for chatty in ("slack_bolt", "slack_sdk", "asyncssh", "kubernetes", "docker", "urllib3", "dbos"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if not key.startswith("_"):
            event[key] = "********" if _TELLING.search(key) else _harmless(value)
    return event


def _harmless(value: Any) -> Any:
    """The same without secrets, however deep they are; what JSON does not know becomes text first."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _harmless(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(inner) for inner in value]
    return clean(value if isinstance(value, str) else repr(value), max_chars=_MAX_CHARS)
