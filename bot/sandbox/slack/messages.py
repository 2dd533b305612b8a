"""
Messages as Slack stores them: validated, completed, truncated (docs.slack.dev: reference/methods/chat.postMessage).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.blocks import faults_of_attachments, faults_of_message
from bot.sandbox.slack.refusal import SlackFault, refuse
from bot.sandbox.slack.stored import derived_text, stored_blocks
from bot.sandbox.slack.workspace import APP, BOT_ID, BOT_USER, MADE_AT, TEAM

MOST_TEXT = 40_000
"""Longer texts are truncated, with a warning."""
MOST_UPDATED_TEXT = 4_000
MOST_MARKDOWN_TEXT = 12_000
TRUNCATED = "message_truncated"


def check_message(arguments: Mapping[str, Any]) -> None:
    """Raise `SlackFault` for a message that Slack refuses. It applies to every entry point."""
    text, blocks, attachments = (arguments.get(key) for key in ("text", "blocks", "attachments"))
    if arguments.get("markdown_text"):
        if text or blocks:
            raise SlackFault("markdown_text_conflict")
        if len(str(arguments["markdown_text"])) > MOST_MARKDOWN_TEXT:
            raise SlackFault("msg_too_long")
    elif not text and not blocks and not attachments:
        raise SlackFault("no_text")
    if blocks is not None:
        refuse(faults_of_message(blocks, str(text or "")), "invalid_blocks")
    if attachments is not None:
        refuse(faults_of_attachments(attachments), "invalid_attachments")


def content(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a message as it is stored: `text`, `blocks` and `attachments`."""
    kept: dict[str, Any] = {"text": str(arguments.get("text") or arguments.get("markdown_text") or "")[:MOST_TEXT]}
    if arguments.get("blocks"):
        kept["blocks"] = stored_blocks(arguments["blocks"])
        kept["text"] = kept["text"] or derived_text(kept["blocks"])
    if arguments.get("attachments"):
        kept["attachments"] = [
            {"id": number, **each, **({"blocks": stored_blocks(each["blocks"])} if "blocks" in each else {})}
            for number, each in enumerate(arguments["attachments"], 1)
        ]
    return kept


def from_app(name: str) -> dict[str, Any]:
    """The sender's fields of the app's messages."""
    icons = {f"image_{size}": f"https://a.slack-edge.com/80588/img/plugins/app/bot_{size}.png" for size in (36, 48, 72)}
    profile = {
        "id": BOT_ID, "app_id": APP, "user_id": BOT_USER, "name": name, "icons": icons, "deleted": False, "updated": MADE_AT, "team_id": TEAM,
    }  # fmt: skip
    return {"user": BOT_USER, "bot_id": BOT_ID, "app_id": APP, "bot_profile": profile}
