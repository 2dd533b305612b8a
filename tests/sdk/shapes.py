"""What the small apps show."""

from __future__ import annotations

from typing import Any

BUTTON = {
    "type": "actions",
    "elements": [
        {"type": "button", "action_id": "press", "text": {"type": "plain_text", "text": "Press"}, "value": "1"}
    ],
}


def modal(channel: str) -> dict[str, Any]:
    """A form with one field, for a channel."""
    field = {"type": "plain_text_input", "action_id": "name"}
    label = {"type": "plain_text", "text": "Name"}
    return {
        "type": "modal",
        "callback_id": "named",
        "private_metadata": channel,
        "title": label,
        "submit": {"type": "plain_text", "text": "Send"},
        "blocks": [{"type": "input", "block_id": "name", "label": label, "element": field}],
    }
