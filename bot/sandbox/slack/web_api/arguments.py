"""A call's arguments, from every place where Slack accepts them (docs.slack.dev: apis/web-api/#basics)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.slack.refusal import SlackFault

_STRUCTURED = {
    "blocks": "invalid_blocks_format",
    "attachments": "invalid_attachments_format",
    "metadata": "invalid_metadata_format",
    "view": "invalid_arguments",
    "files": "invalid_arguments",
    "message": "invalid_arguments",
}
"""Arguments that are JSON also inside a form, and Slack's error when they are not valid."""
MISSING_CHARSET = "missing_charset"


async def arguments_of(request: web.Request) -> tuple[Mapping[str, Any], list[str]]:
    """Return the arguments and Slack's warnings. Raises `SlackFault`."""
    warnings: list[str] = []
    arguments: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json" and request.can_read_body:
        body = await _json(request)
        body.pop("token", None)  # with a JSON body, a token is accepted in the header only
        arguments |= body
        if request.charset is None:
            warnings.append(MISSING_CHARSET)
    elif request.can_read_body:
        arguments |= await _form(request)
    return {key: _decoded(key, value) for key, value in arguments.items() if value is not None}, warnings


def token_of(request: web.Request, arguments: Mapping[str, Any]) -> str:
    """The token, from the header, else from the arguments."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else str(arguments.get("token", ""))


async def _form(request: web.Request) -> dict[str, Any]:
    try:
        return dict(await request.post())
    except ValueError as error:
        raise SlackFault("invalid_form_data") from error


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise SlackFault("invalid_json") from error
    if not isinstance(body, dict):
        raise SlackFault("json_not_object")
    return body


def _decoded(key: str, value: Any) -> Any:
    if key not in _STRUCTURED or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise SlackFault(_STRUCTURED[key]) from error
