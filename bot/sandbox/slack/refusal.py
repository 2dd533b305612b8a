"""Slack's error answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.sandbox.slack.blocks import BlockFault


class SlackFault(Exception):
    """An answer with `ok: false` and Slack's error code."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.answer = {"ok": False, "error": error, **more}


def refuse(faults: Sequence[BlockFault], otherwise: str) -> None:
    """Raise `SlackFault` for these faults, with their own error or else `otherwise`. Do nothing without faults."""
    if not faults:
        return
    error = next((fault.error for fault in faults if fault.error), otherwise)
    words = [str(fault) for fault in faults]
    messages = [f"[ERROR] {each}" for each in words]
    more = {} if error == "invalid_arguments" else {"errors": words}
    raise SlackFault(error, **more, response_metadata={"messages": messages})


def missing(field: str) -> SlackFault:
    """The error for a missing argument."""
    message = f"[ERROR] missing required field: {field}"
    return SlackFault("invalid_arguments", response_metadata={"messages": [message]})
