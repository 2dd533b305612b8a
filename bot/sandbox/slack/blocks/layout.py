"""The blocks (docs.slack.dev: reference/block-kit/blocks), and the surfaces on which each is allowed."""

from __future__ import annotations

from bot.sandbox.slack.blocks import elements, tables
from bot.sandbox.slack.blocks.checks import (
    Check,
    array,
    boolean,
    by_type,
    exactly_one,
    later,
    number,
    one_of,
    rule,
    shape,
    string,
    unique,
)
from bot.sandbox.slack.blocks.objects import ID, IMAGE, IMAGE_SOURCE, plain, text
from bot.sandbox.slack.blocks.rich_text import RICH_TEXT


def _block(required: dict[str, Check], optional: dict[str, Check] | None = None, *rules: Check) -> Check:
    return shape(required, {"block_id": ID, **(optional or {})}, *rules)


_TASK = {"task_id": string(), "title": string()}
_SOURCE = shape({"url": string(3000), "text": string()})
_TASK_MORE = {"details": RICH_TEXT, "output": RICH_TEXT, "sources": array(_SOURCE)}
_CARD = _block(
    {},
    {
        "hero_image": IMAGE,
        "icon": IMAGE,
        "slack_icon": shape({"name": string()}),
        "title": text(150),
        "subtitle": text(150),
        "body": text(200),
        "subtext": text(200),
        "actions": array(by_type({"button": elements.BUTTON}), 3),
    },
    rule(
        lambda card: any(card.get(key) for key in ("hero_image", "title", "body", "actions")),
        "must define one of `hero_image`, `title`, `body` or `actions`",
    ),
    rule(lambda card: not ("icon" in card and "slack_icon" in card), "must define either `icon` or `slack_icon`"),
    unique("action_id", "actions"),
)

_IN_CONTEXT = by_type({"plain_text": text(3000), "mrkdwn": text(3000), "image": IMAGE})


def _in_containers() -> Check:
    return by_type({kind: BLOCKS[kind] for kind in _CHILDREN})


BLOCKS: dict[str, Check] = {
    "section": _block(
        {},
        {
            "text": text(3000),
            "fields": array(text(2000), 10, least=1),
            "accessory": elements.IN_SECTIONS,
            "expand": boolean,
        },
        rule(lambda block: "text" in block or "fields" in block, "must define either `text` or `fields`"),
    ),
    "header": _block({"text": plain(150)}, {"level": number(1, 4)}),
    "divider": _block({}),
    "context": _block({"elements": array(_IN_CONTEXT, 10, least=1)}),
    "actions": _block({"elements": array(elements.IN_ACTIONS, 25, least=1)}, None, unique("action_id", "elements")),
    "context_actions": _block(
        {"elements": array(elements.IN_CONTEXT_ACTIONS, 5, least=1)}, None, unique("action_id", "elements")
    ),
    "input": _block(
        {"label": plain(2000), "element": elements.IN_INPUTS},
        {"hint": plain(2000), "optional": boolean, "dispatch_action": boolean},
    ),
    "image": _block(
        {"alt_text": string(2000)}, {**IMAGE_SOURCE, "title": plain(2000)}, exactly_one("image_url", "slack_file")
    ),
    "video": _block(
        {
            "alt_text": string(2000),
            "title": plain(200),
            "video_url": string(3000),
            "thumbnail_url": string(3000),
        },
        {
            "author_name": string(50),
            "description": plain(200),
            "provider_name": string(50),
            "provider_icon_url": string(2000),
            "title_url": string(2000),
        },
    ),
    "file": _block({"external_id": string(), "source": one_of("remote")}),
    "markdown": _block({"text": string(12_000)}),
    "rich_text": RICH_TEXT,
    "table": tables.TABLE,
    "data_table": tables.DATA_TABLE,
    "data_visualization": tables.DATA_VISUALIZATION,
    "alert": _block({"text": text(200)}, {"level": one_of("default", "info", "warning", "error", "success")}),
    "card": _CARD,
    "carousel": _block({"elements": array(by_type({"card": _CARD}), 10, least=1)}),
    "container": _block(
        {"child_blocks": array(later(_in_containers), 10, least=1)},
        {
            "title": plain(150),
            "rich_text_title": RICH_TEXT,
            "subtitle": text(150),
            "icon": IMAGE,
            "width": one_of("narrow", "standard", "wide", "full"),
            "is_collapsible": boolean,
            "default_collapsed": boolean,
            "has_header_divider": boolean,
        },
        rule(
            lambda block: "title" in block or "rich_text_title" in block,
            "must define either `title` or `rich_text_title`",
        ),
        rule(
            lambda block: not block.get("default_collapsed") or bool(block.get("is_collapsible")),
            "`default_collapsed` needs `is_collapsible`",
        ),
        rule(
            lambda block: not (block.get("has_header_divider") and block.get("is_collapsible")),
            "`has_header_divider` needs a container that is not collapsible",
        ),
    ),
    "task_card": _block({**_TASK, "status": one_of("in_progress", "complete", "error")}, _TASK_MORE),
    "plan": _block(
        {
            "title": string(),
            "tasks": array(
                shape({**_TASK, "status": one_of("pending", "in_progress", "complete", "error")}, _TASK_MORE),
                50,
                least=1,
            ),
        },
        None,
        unique("task_id", "tasks"),
    ),
}

_CHILDREN = (
    "actions", "context", "divider", "file", "header", "image", "input", "rich_text", "section", "table", "video",
)  # fmt: skip

SURFACES: dict[str, frozenset[str]] = {
    "message": frozenset(BLOCKS) - {"alert"},
    "modal": frozenset(
        {"actions", "alert", "card", "context", "divider", "header", "image", "input", "rich_text", "section", "video"}
    ),
    "home": frozenset(BLOCKS) - {"alert", "context_actions", "file", "markdown", "plan", "task_card"},
}
"""From Slack's newest reference (and `slackblocks` 3.0.0: `_surfaces.py`)."""
