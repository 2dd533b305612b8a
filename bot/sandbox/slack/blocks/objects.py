"""
Composition objects: texts, options, confirm dialogs.

Source: docs.slack.dev: reference/block-kit/composition-objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.sandbox.slack.blocks.checks import (
    BlockFault,
    Check,
    array,
    boolean,
    exactly_one,
    one_of,
    rule,
    shape,
    string,
)

ID = string(255)
"""`block_id`, `action_id`, `callback_id`."""


def text(most: int = 3000, *, plain: bool = False) -> Check:
    """A text object of 1 to `most` characters."""
    kinds = {
        "plain_text": shape({"text": string(most)}, {"emoji": boolean}),
        "mrkdwn": shape({"text": string(most)}, {"verbatim": boolean}),
    }
    if plain:
        del kinds["mrkdwn"]

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not isinstance(value, dict) or value.get("type") not in kinds:
            yield BlockFault("failed to match all allowed schemas", at)
        else:
            yield from kinds[value["type"]](value, at)

    return check


def plain(most: int) -> Check:
    """A text object of type `plain_text`, which Slack does not parse."""
    return text(most, plain=True)


CONFIRM = shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": one_of("primary", "danger")},
)
PLAIN_OPTION = shape({"text": plain(75), "value": string(150)}, {"description": plain(75)})
RICH_OPTION = shape({"text": text(75), "value": string(150)}, {"description": text(75)})
"""For checkboxes and radio buttons, whose texts may be mrkdwn."""
LINK_OPTION = shape({"text": plain(75), "value": string(150)}, {"description": plain(75), "url": string(3000)})
"""For overflow menus."""
OPTION_GROUP = shape({"label": plain(75), "options": array(PLAIN_OPTION, 100, least=1)})
FILTER = shape(
    {},
    {
        "include": array(one_of("im", "mpim", "private", "public"), least=1),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
    rule(lambda value: len(value.keys() - {"type"}) > 0, "must provide at least one filter"),
)
DISPATCH = shape({}, {"trigger_actions_on": array(one_of("on_enter_pressed", "on_character_entered"), 2, least=1)})
SLACK_FILE = shape({}, {"id": string(like=r"F[A-Z0-9]{7,}"), "url": string()}, exactly_one("id", "url"))
IMAGE_SOURCE = {"image_url": string(3000), "slack_file": SLACK_FILE}
IMAGE = shape({"alt_text": string(2000)}, IMAGE_SOURCE, exactly_one("image_url", "slack_file"))
