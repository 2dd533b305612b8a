"""
What Slack refuses of a message or a view (docs.slack.dev: reference/block-kit; lengths in code points).

Written apart from the bot's own size budget, so that one can catch the other. Each fault is a text and a
JSON pointer, as Slack words them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Fault = tuple[str, str]

MOST_CHARACTERS = 13_200
"""Of a whole message: measured, not documented (slackapi/bolt-js#2509)."""

MESSAGE_BLOCKS = frozenset(
    {"actions", "context", "divider", "header", "image", "input", "markdown", "rich_text", "section"}
)
VIEW_BLOCKS = frozenset({"actions", "context", "divider", "header", "image", "input", "rich_text", "section"})
ELEMENTS = frozenset(
    {"button", "static_select", "conversations_select", "channels_select", "users_select", "external_select", "overflow",
     "checkboxes", "radio_buttons", "plain_text_input", "email_text_input", "number_input", "datepicker"}
)  # fmt: skip
_KEYS: Mapping[str, frozenset[str]] = {
    "section": frozenset({"type", "block_id", "text", "fields", "accessory", "expand"}),
    "actions": frozenset({"type", "block_id", "elements"}),
    "context": frozenset({"type", "block_id", "elements"}),
    "divider": frozenset({"type", "block_id"}),
    "header": frozenset({"type", "block_id", "text", "level"}),
    "image": frozenset({"type", "block_id", "image_url", "slack_file", "alt_text", "title"}),
    "input": frozenset({"type", "block_id", "label", "element", "hint", "optional", "dispatch_action"}),
    "markdown": frozenset({"type", "block_id", "text"}),
    "rich_text": frozenset({"type", "block_id", "elements"}),
}


def faults_of_message(blocks: Any, text: str) -> list[Fault]:
    """Why Slack would refuse these blocks in a message."""
    if not isinstance(blocks, list):
        return [("must be an array", "/blocks")]
    found = list(_blocks(blocks, "/blocks", most=50, allowed=MESSAGE_BLOCKS))
    if not found and _characters(blocks) + len(text) > MOST_CHARACTERS:
        found.append((f"must be less than {MOST_CHARACTERS + 1} characters in all", "/blocks"))
    return found


def faults_of_view(view: Any) -> list[Fault]:
    """Why Slack would refuse a modal."""
    if not isinstance(view, dict):
        return [("must be an object", "/view")]
    found: list[Fault] = []
    if view.get("type") != "modal":
        found.append(("must be a valid enum value", "/view/type"))
    for key, needed in (("title", True), ("submit", False), ("close", False)):
        if key in view or needed:
            found += _text(view.get(key), f"/view/{key}", most=24, plain=True)
    for key, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        found += _length(view.get(key) or "", f"/view/{key}", most=most, least=0)
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        return [*found, ("missing required field: blocks", "/view")]
    if any(isinstance(b, dict) and b.get("type") == "input" for b in blocks) and "submit" not in view:
        found.append(("missing required field: submit", "/view"))
    return [*found, *_blocks(blocks, "/view/blocks", most=100, allowed=VIEW_BLOCKS)]


def _blocks(blocks: Sequence[Any], at: str, *, most: int, allowed: frozenset[str]) -> Iterator[Fault]:
    if len(blocks) > most:
        yield f"no more than {most} items allowed", at
    ids: set[str] = set()
    for number, block in enumerate(blocks):
        here = f"{at}/{number}"
        if not isinstance(block, dict) or block.get("type") not in allowed:
            kind = block.get("type") if isinstance(block, dict) else block
            yield f"unsupported type: {kind}", f"{here}/type"
            continue
        for key in block.keys() - _KEYS[block["type"]]:
            yield f"invalid additional property: {key}", here
        yield from _length(block.get("block_id", "x"), f"{here}/block_id", most=255)
        if block.get("block_id") in ids:
            yield f"`block_id` {block['block_id']!r} already exists", f"{here}/block_id"
        ids.add(block.get("block_id", here))
        yield from _block(block, here)


def _block(block: Mapping[str, Any], at: str) -> Iterator[Fault]:  # noqa: C901, PLR0912 - a case for each kind of block
    match block["type"]:
        case "section":
            if "text" not in block and "fields" not in block:
                yield "must define either `text` or `fields`", at
            if "text" in block:
                yield from _text(block["text"], f"{at}/text", most=3000)
            if len(block.get("fields", [])) > 10:
                yield "no more than 10 items allowed", f"{at}/fields"
            for number, each in enumerate(block.get("fields", [])):
                yield from _text(each, f"{at}/fields/{number}", most=2000)
            if "accessory" in block:
                yield from _element(block["accessory"], f"{at}/accessory")
        case "header":
            yield from _text(block.get("text"), f"{at}/text", most=150, plain=True)
        case "context":
            yield from _some(block, at, most=10)
            for number, each in enumerate(block.get("elements") or []):
                if each.get("type") != "image":
                    yield from _text(each, f"{at}/elements/{number}", most=3000)
        case "actions":
            yield from _some(block, at, most=25)
            ids: set[str] = set()
            for number, each in enumerate(block.get("elements") or []):
                yield from _element(each, f"{at}/elements/{number}")
                if each.get("action_id") in ids:
                    yield f'`action_id` "{each["action_id"]}" already exists', f"{at}/elements/{number}/action_id"
                ids.add(each.get("action_id", number))
        case "input":
            yield from _text(block.get("label"), f"{at}/label", most=2000, plain=True)
            if "hint" in block:
                yield from _text(block["hint"], f"{at}/hint", most=2000, plain=True)
            yield from _element(block.get("element"), f"{at}/element")
        case "markdown":
            yield from _length(block.get("text"), f"{at}/text", most=12_000)
        case "image":
            yield from _length(block.get("alt_text"), f"{at}/alt_text", most=2000)
        case "rich_text":
            yield from _some(block, at, most=10_000)
            for number, each in enumerate(block.get("elements") or []):
                yield from _rich(each, f"{at}/elements/{number}")
        case _:
            pass


def _rich(element: Any, at: str) -> Iterator[Fault]:
    kinds = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
    if not isinstance(element, dict) or element.get("type") not in kinds:
        yield f"unsupported type: {element.get('type') if isinstance(element, dict) else element}", f"{at}/type"
        return
    if not isinstance(element.get("elements"), list):
        yield "missing required field: elements", at
        return
    for number, each in enumerate(element["elements"]):
        here = f"{at}/elements/{number}"
        if element["type"] == "rich_text_list":
            yield from _rich(each, here)
        elif each.get("type") not in {
            "text",
            "link",
            "user",
            "usergroup",
            "channel",
            "emoji",
            "date",
            "broadcast",
            "color",
        }:
            yield f"unsupported type: {each.get('type')}", f"{here}/type"
        elif each["type"] == "text":
            yield from _length(each.get("text"), f"{here}/text", most=1_000_000)


def _element(element: Any, at: str) -> Iterator[Fault]:
    if not isinstance(element, dict) or element.get("type") not in ELEMENTS:
        yield f"unsupported type: {element.get('type') if isinstance(element, dict) else element}", f"{at}/type"
        return
    yield from _length(element.get("action_id", "x"), f"{at}/action_id", most=255)
    if element["type"] == "button":
        yield from _text(element.get("text"), f"{at}/text", most=75, plain=True)
        yield from _length(element.get("value", ""), f"{at}/value", most=2000, least=0)
        yield from _length(element.get("url", ""), f"{at}/url", most=3000, least=0)
        if element.get("style", "primary") not in {"primary", "danger"}:
            yield "must be a valid enum value", f"{at}/style"
    if "placeholder" in element:
        yield from _text(element["placeholder"], f"{at}/placeholder", most=150, plain=True)
    for number, option in enumerate(element.get("options", [])):
        yield from _text(option.get("text"), f"{at}/options/{number}/text", most=75)
        yield from _length(option.get("value"), f"{at}/options/{number}/value", most=150)
    if len(element.get("options", [])) > 100:
        yield "no more than 100 items allowed", f"{at}/options"
    if "confirm" in element:
        for key, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
            yield from _text(element["confirm"].get(key), f"{at}/confirm/{key}", most=most, plain=key != "text")


def _some(block: Mapping[str, Any], at: str, *, most: int) -> Iterator[Fault]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        yield "must provide at least 1 items", f"{at}/elements"
    elif len(elements) > most:
        yield f"no more than {most} items allowed", f"{at}/elements"


def _text(text: Any, at: str, *, most: int, plain: bool = False) -> Iterator[Fault]:
    if not isinstance(text, dict) or text.get("type") not in ({"plain_text"} if plain else {"plain_text", "mrkdwn"}):
        yield "failed to match all allowed schemas", at
    else:
        yield from _length(text.get("text"), f"{at}/text", most=most)


def _length(text: Any, at: str, *, most: int, least: int = 1) -> Iterator[Fault]:
    if not isinstance(text, str):
        yield f"missing required field: {at.rsplit('/', 1)[-1]}", at.rsplit("/", 1)[0]
    elif len(text) > most:
        yield f"must be less than {most + 1} characters", at
    elif len(text) < least:
        yield f"must be more than {least - 1} characters", at


def _characters(value: Any) -> int:
    """All text that a block holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_characters(each) for key, each in value.items() if key not in {"type", "style"})
    if isinstance(value, list):
        return sum(map(_characters, value))
    return 0
