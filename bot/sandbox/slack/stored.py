"""
What Slack adds to blocks when it stores them: missing ids, and defaults of texts and inputs.

Recorded from a live workspace (duqaXxX/code-with-slack, `tests/fixtures/slack`). One thing is not done: Slack splits
a markdown block into several other blocks; here it is stored unchanged.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_LETTERS = string.ascii_letters + string.digits + "+/"
_NO_ACTION_ID = {"image", "feedback_buttons"}
NO_TEXT = "This content can't be displayed."

Block = dict[str, Any]


def stored_blocks(blocks: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Blocks as Slack returns them."""
    return [_block(block) for block in blocks]


def elements_of(blocks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Every interactive element, with its block."""
    for block in blocks:
        yield from ((block, each) for each in _elements(block) if "action_id" in each)
        cards = [each for each in block.get("elements", []) if each.get("type") == "card"]
        yield from elements_of([*cards, *block.get("child_blocks", [])])


def derived_text(blocks: Sequence[Mapping[str, Any]]) -> str:
    """The notification text that Slack derives for a message with blocks but no text."""
    texts = [text for block in blocks for text in _texts(block) if text.strip()]
    return " ".join(texts) or NO_TEXT


def some_id() -> str:
    """A random id of five characters, as Slack generates them: `T1un6`, `sCx+y`."""
    return "".join(random.choices(_LETTERS, k=5))  # noqa: S311 - no secret


def _block(block: Mapping[str, Any]) -> Block:
    kept: Block = {"type": block["type"], "block_id": block.get("block_id") or some_id(), **_with_defaults(block)}
    if block["type"] == "input":
        kept.setdefault("optional", False)
        kept.setdefault("dispatch_action", False)
    for element in _elements(kept):
        if element.get("type") not in {*_NO_ACTION_ID, "plain_text", "mrkdwn", "card"}:
            element.setdefault("action_id", some_id())
    if "child_blocks" in kept:
        kept["child_blocks"] = stored_blocks(kept["child_blocks"])
    return kept


def _with_defaults(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_defaults(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    kept = {key: _with_defaults(each) for key, each in value.items()}
    match value.get("type"):
        case "mrkdwn":
            kept.setdefault("verbatim", False)
        case "plain_text":
            kept.setdefault("emoji", True)
        case "plain_text_input":
            kept.setdefault("dispatch_action_config", {"trigger_actions_on": ["on_enter_pressed"]})
    return kept


def _elements(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    if block["type"] == "rich_text":
        return []
    found = [
        *(block.get("elements") or []),
        *(block.get("actions") or []),
        block.get("accessory"),
        block.get("element"),
    ]
    return [each for each in found if isinstance(each, dict)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for key in ("text", "fields", "elements", "title", "child_blocks", "label"):
            yield from _texts(value.get(key))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
