"""Structured logs: one JSON object per line on stderr. One processor redacts all of them."""

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
"""Keys whose values are never logged, whatever they look like."""


def configure(level: str = "INFO") -> None:
    """Configure logging: the logs of csm and of its libraries pass the same processors."""
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
    # DBOS adds a handler with its own format, unless its logger has a handler already.
    engine = logging.getLogger("dbos")
    engine.handlers, engine.propagate = [handler], False
    # Otherwise a record that cannot be formatted is printed in pieces to stderr, without any processor.
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
    """Return the value without secrets, at any depth. A type that JSON does not have becomes text first."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _harmless(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(inner) for inner in value]
    return clean(value if isinstance(value, str) else repr(value), max_chars=_MAX_CHARS)
