"""
A Slack message, a file, and the size limits of a message.

Limits: `docs.slack.dev: reference/block-kit/blocks` (per block); `chat.update` refuses a text of more than 4,000
characters; the whole message has an undocumented cap of about 13,200 characters (`slackapi/bolt-js#2509`:
`msg_blocks_too_long` although each block is legal), so `fit` keeps the whole message below 11,000.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Block = dict[str, Any]

MOST_BLOCKS = 45
MOST_CHARACTERS = 11_000
MOST_TEXT = 3_500
MOST_SECTION = 3_000
MOST_HEADER = 150
MOST_FIELD = 2_000
REST_IN_FILE = "Cut here: the rest is in the files of this thread."
_NOTE = f"\n… {REST_IN_FILE}"
_PARTIAL = re.compile(r"(?:&[a-z]{0,4}|<[^<>]*)\Z")
_SHORT_TEXT: Mapping[str, int] = {"title": 100, "text": 300, "confirm": 30, "deny": 30}


@dataclass(frozen=True)
class Post:
    """A message. `key` identifies it within its run, so that a second post of it can be detected."""

    key: str
    text: str
    """The full content, for notifications and screen readers; mrkdwn, so already escaped."""
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class File:
    """A file for the thread. `snippet_type` is Slack's; it is empty if the file is too large for a snippet (1 MB)."""

    name: str
    title: str
    content: str
    snippet_type: str
    data: bytes = b""
    """Used instead of `content` when the file is not text."""


def section(text: str) -> Block:
    """A section of mrkdwn in which Slack creates no links by itself (`verbatim`)."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def context(text: str) -> Block:
    """A context block: small text."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}


def header(text: str) -> Block:
    """A header block: plain text, which Slack does not parse."""
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": True}}


def preformatted(text: str) -> Block:
    """Text to read or copy as it is. Rich text, so that Slack parses nothing in it."""
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}],
    }


def rich_line(*elements: dict[str, Any]) -> Block:
    """One paragraph of rich text elements."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def button(label: str, action_id: str, value: str, **more: Any) -> dict[str, Any]:
    """A button; `more` takes `style` and `confirm`."""
    text = {"type": "plain_text", "text": label, "emoji": True}
    return {"type": "button", "text": text, "action_id": action_id, "value": value[:2000], **more}


def actions(*buttons: dict[str, Any]) -> Block:
    """A row of buttons."""
    return {"type": "actions", "elements": list(buttons)}


def shorten(text: str, limit: int, *, note: str = _NOTE) -> str:
    """Cut to at most `limit` characters, never within an entity or a `<…>`, with `note` at the end when cut."""
    if len(text) <= limit:
        return text
    return _PARTIAL.sub("", text[: max(0, limit - len(note))]) + note


def size(post: Post) -> int:
    """The size in characters of the text and of the blocks as JSON, which is more than what Slack counts."""
    return len(post.text) + sum(map(_weight, post.blocks))


def fit(post: Post) -> Post:
    """Return the post within every limit. What was cut is replaced by a note that the rest is in the files."""
    text = shorten(post.text, MOST_TEXT).strip() or "csm"
    blocks = [bounded for bounded in map(_bounded, post.blocks) if bounded]
    whole = replace(post, text=text, blocks=tuple(blocks))
    if len(blocks) <= MOST_BLOCKS and size(whole) <= MOST_CHARACTERS:
        return whole
    return replace(whole, blocks=tuple(_within(blocks, MOST_CHARACTERS - len(text))))


def _within(blocks: Sequence[Block], room: int) -> Sequence[Block]:
    """Return as many blocks as fit. The last row of buttons always stays: without Cancel a run could not be ended."""
    note = context(f"… {REST_IN_FILE}")
    last = [block for block in blocks if block["type"] == "actions"][-1:]
    left = room - _weight(note) - sum(map(_weight, last))
    kept: list[Block] = []
    for block in blocks:
        if block["type"] == "actions":
            continue
        if len(kept) + len(last) + 1 >= MOST_BLOCKS:
            break
        if _weight(block) > left:
            shorter = _bounded(block, most=left // 2 - 300) if left > 1200 else None
            if shorter and _weight(shorter) <= left:
                kept.append(shorter)
            break
        kept.append(block)
        left -= _weight(block)
    return [*kept, note, *last]


def _weight(block: Block) -> int:
    return len(json.dumps(block, ensure_ascii=False))


def _bounded(block: Block, *, most: int = MOST_SECTION) -> Block | None:
    """Return the block within its own limits, or `None` when nothing of it is left."""
    kind = block["type"]
    if kind in {"section", "header"}:
        limit = min(most, MOST_HEADER if kind == "header" else MOST_SECTION)
        text = _text(block["text"], limit, note=" …" if kind == "header" else _NOTE) if "text" in block else None
        if text:
            return {**block, "text": text}
        return block if block.get("fields") else None
    if kind == "context":
        found = [text for text in (_text(element, most) for element in block["elements"][:10]) if text]
        return {**block, "elements": found} if found else None
    if kind == "rich_text":
        return _bounded_rich(block, most)
    if kind == "actions":
        found = [_bounded_button(element) for element in block["elements"][:25]]
        return {**block, "elements": found} if found else None
    return block


def _text(element: dict[str, Any], limit: int, *, note: str = _NOTE) -> dict[str, Any] | None:
    text = shorten(element["text"], limit, note=note)
    return {**element, "text": text} if text.strip() else None


def _bounded_button(element: dict[str, Any]) -> dict[str, Any]:
    found = {**element, "text": {**element["text"], "text": shorten(element["text"]["text"], 75, note="…")}}
    if "confirm" in element:
        confirm = {
            name: {**value, "text": shorten(value["text"], _SHORT_TEXT[name], note="…")}
            if name in _SHORT_TEXT
            else value
            for name, value in element["confirm"].items()
        }
        found["confirm"] = confirm
    return found


def _bounded_rich(block: Block, most: int) -> Block | None:
    left = most
    groups = []
    for group in block["elements"]:
        kept = []
        for element in group["elements"]:
            text = element.get("text", "")
            if left <= 0 or (element["type"] == "text" and not text):
                continue
            kept.append({**element, "text": shorten(text, left)} if text else element)
            left -= len(text) + len(element.get("url", ""))
        if kept:
            groups.append({**group, "elements": kept})
    return {**block, "elements": groups} if groups else None
