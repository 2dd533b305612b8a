"""Validation of whole messages, views and lists of options: number of blocks, amount of text, duplicate ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.sandbox.slack.blocks.checks import BlockFault, Check, array, boolean, by_type, shape, string
from bot.sandbox.slack.blocks.layout import BLOCKS, SURFACES
from bot.sandbox.slack.blocks.objects import ID, OPTION_GROUP, PLAIN_OPTION, plain
from bot.sandbox.slack.blocks.tables import DATA_TABLE_CHARACTERS, TABLE_CHARACTERS, characters

MOST_CHARACTERS = 13_200
"""Limit of a message's stored text: measured, not documented (slackapi/bolt-js#2509: 13,297 were refused)."""
MARKDOWN_CHARACTERS = 12_000
"""Limit of all markdown blocks of a message."""
MOST_VIEW_BYTES = 250_000

_SURFACE = {name: by_type({kind: BLOCKS[kind] for kind in kinds}) for name, kinds in SURFACES.items()}
_OPTIONS = array(PLAIN_OPTION, 100)
_GROUPS = array(OPTION_GROUP, 100)


def faults_of_message(blocks: Any, text: str = "", *, at: str = "/blocks") -> list[BlockFault]:
    """The faults for which Slack would refuse these blocks in a message with this text."""
    found = list(_blocks(blocks, at, surface="message", most=50))
    if found:
        return found
    return [*_tables(blocks, at), *_amounts(blocks, at, len(text))]


def faults_of_attachments(attachments: Any) -> list[BlockFault]:
    """The faults for which Slack would refuse a message's attachments: their number, and their blocks."""
    found = [
        BlockFault(str(fault.message), fault.pointer, "invalid_attachments")
        for fault in array(_any_object, 100)(attachments, "/attachments")
    ]
    for number, each in enumerate(attachments if not found else []):
        if "blocks" in each:
            faults = faults_of_message(each["blocks"], at=f"/attachments/{number}/blocks")
            found += [fault if fault.error else fault._replace(error="invalid_attachments") for fault in faults]
    return found


def faults_of_view(view: Any) -> list[BlockFault]:
    """The faults for which Slack would refuse a modal or a home tab."""
    if not isinstance(view, dict):
        return [BlockFault("must be an object", "/view")]
    if view.get("type") not in _VIEWS:
        return [BlockFault("must be a valid enum value", "/view/type")]
    if len(json.dumps(view)) > MOST_VIEW_BYTES:
        return [BlockFault(f"must be less than {MOST_VIEW_BYTES} bytes", "/view", "view_too_large")]
    found = list(_VIEWS[view["type"]](view, "/view"))
    blocks = view.get("blocks")
    if isinstance(blocks, list):
        found += _blocks(blocks, "/view/blocks", surface=view["type"], most=100)
        asks = any(isinstance(block, dict) and block.get("type") == "input" for block in blocks)
        if view["type"] == "modal" and asks and "submit" not in view:
            found.append(BlockFault("missing required field: submit", "/view"))
    return found


def faults_of_options(answer: Any) -> list[BlockFault]:
    """The faults for which Slack would refuse an app's options for an external select."""
    if not isinstance(answer, dict) or ("options" in answer) == ("option_groups" in answer):
        return [BlockFault("must define either `options` or `option_groups`", "")]
    check, key = (_OPTIONS, "options") if "options" in answer else (_GROUPS, "option_groups")
    return list(check(answer[key], f"/{key}"))


def _any_object(value: Any, at: str) -> Iterator[BlockFault]:
    if not isinstance(value, dict):
        yield BlockFault("must be an object", at)


def _blocks_are_checked_apart(_value: Any, _at: str) -> Iterator[BlockFault]:
    yield from ()


_VIEW = {"blocks": _blocks_are_checked_apart}
_VIEW_MORE: dict[str, Check] = {
    "private_metadata": string(3000, 0),
    "callback_id": string(255, 0),
    "external_id": string(255, 0),
}
_VIEWS: Mapping[str, Check] = {
    "modal": shape(
        {**_VIEW, "title": plain(24)},
        {
            **_VIEW_MORE,
            "submit": plain(24),
            "close": plain(24),
            "clear_on_close": boolean,
            "notify_on_close": boolean,
            "submit_disabled": boolean,
        },
    ),
    "home": shape(_VIEW, _VIEW_MORE),
}


def _blocks(blocks: Any, at: str, *, surface: str, most: int) -> Iterator[BlockFault]:
    if not isinstance(blocks, list):
        yield BlockFault("must be an array", at)
        return
    if sum(map(_counted, blocks)) > most:
        yield BlockFault(f"no more than {most} items allowed", at)
    ids: set[str] = set()
    for number, block in enumerate(blocks):
        yield from _SURFACE[surface](block, f"{at}/{number}")
        name = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(name, str) and name in ids:
            yield BlockFault(f'`block_id` "{name}" already exists', f"{at}/{number}/block_id")
        elif isinstance(name, str):
            ids.add(name)


def _tables(blocks: Sequence[Mapping[str, Any]], at: str) -> Iterator[BlockFault]:
    if sum(block["type"] in {"table", "data_table"} for block in blocks) > 1:
        yield BlockFault("only one table is allowed", at, "only_one_table_allowed")
    if sum(block["type"] == "data_visualization" for block in blocks) > 2:
        yield BlockFault("no more than 2 data visualizations allowed", at)
    if sum(characters(block["rows"]) for block in blocks if block["type"] == "table") > TABLE_CHARACTERS:
        yield BlockFault(f"must be less than {TABLE_CHARACTERS + 1} characters", at)
    if sum(characters(block["rows"]) for block in blocks if block["type"] == "data_table") > DATA_TABLE_CHARACTERS:
        yield BlockFault(f"must be less than {DATA_TABLE_CHARACTERS + 1} characters", at)


def _amounts(blocks: Sequence[Mapping[str, Any]], at: str, text: int) -> Iterator[BlockFault]:
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > MARKDOWN_CHARACTERS:
        yield BlockFault(f"must be less than {MARKDOWN_CHARACTERS + 1} characters", at)
    counted = [block for block in blocks if block["type"] not in {"data_table", "data_visualization"}]
    if text + _characters(counted) > MOST_CHARACTERS:
        yield BlockFault(f"must be less than {MOST_CHARACTERS + 1} characters in all", at, "msg_blocks_too_long")


def _characters(value: Any) -> int:
    """Count the characters of all stored text in blocks, without the values of `type` and `style`."""
    if isinstance(value, Mapping):
        return sum(_characters(each) for key, each in value.items() if key not in {"type", "style"})
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0


_PIECE = re.compile(r"^#{1,6} .+$|^(?:-{3,}|\*{3,}|_{3,})$|^(?:\|.*\|\s*\n?)+", re.MULTILINE)


def _counted(block: Any) -> int:
    """
    How many blocks Slack stores for one.

    A markdown block becomes a header for each heading, a divider, a table, and rich text for the text between them.
    All of these count towards the limit of fifty (measured; no documentation).
    """
    if not isinstance(block, dict) or block.get("type") != "markdown" or not isinstance(block.get("text"), str):
        return 1
    between = [piece for piece in _PIECE.split(block["text"]) if piece.strip()]
    return max(1, len(_PIECE.findall(block["text"])) + len(between))


__all__ = ["ID", "MOST_CHARACTERS", "faults_of_attachments", "faults_of_message", "faults_of_options", "faults_of_view"]
