"""Structured logs: one JSON object a line on stderr, redacted at the one place where all of them pass."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from handlers.redaction import clean

_MAX_CHARS = 8000


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
    # At DEBUG these print tokens and payloads.
    for chatty in ("slack_bolt", "slack_sdk", "asyncssh", "kubernetes", "docker", "urllib3", "dbos"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and not key.startswith("_"):
            event[key] = clean(value, max_chars=_MAX_CHARS)
    return event
