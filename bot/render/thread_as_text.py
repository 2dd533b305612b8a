"""Converts a Slack thread, as `conversations.replies` returns it, to text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.render.formatting import plain

_LINK = re.compile(r"<(https?://[^|<>]+)\|([^<>]*)>")
_USER = re.compile(r"\b[UW][A-Z0-9]{2,20}\b")
_DATE = re.compile(r"<!date\^[^|<>]*\|([^<>]*)>")
_MENTION = re.compile(r"<([@#!])([^|<>]+)(?:\|([^<>]*))?>")


def thread_as_text(messages: Sequence[Mapping[str, Any]], names: Mapping[str, str] = {}) -> str:
    """
    Return each message with its author; replies are indented. Ends with a newline.

    `names` maps a user id to the name to show for it; Slack's own clients look it up too.
    """
    root = str(messages[0].get("ts", "")) if messages else ""
    lines: list[str] = []
    for message in messages:
        reply = message.get("thread_ts") == root and message.get("ts") != root
        indent = "    " if reply else ""
        lines.append(f"{indent}{_who(message)}:")
        lines += [f"{indent}  {line}".rstrip() for line in _body(message)]
        lines.append("")
    return _USER.sub(lambda found: names.get(found[0], found[0]), "\n".join(lines).rstrip() + "\n")


def _who(message: Mapping[str, Any]) -> str:
    return plain(str(message.get("username") or message.get("user") or message.get("bot_id") or "csm"), 80)


def _body(message: Mapping[str, Any]) -> Iterator[str]:
    blocks = message.get("blocks") or []
    shown = [line for block in blocks for line in _block(block)]
    yield from shown or _said(str(message.get("text", ""))).split("\n")
    for file in message.get("files") or []:
        yield f"[file {plain(str(file.get('name') or file.get('title') or file.get('id')), 200)}]"


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind == "header":
        yield plain(block["text"]["text"], 4000)
    elif kind == "section":
        for element in (block.get("text"), *block.get("fields", ())):
            if element:
                yield from _said(element["text"]).split("\n")
    elif kind == "context":
        yield "  ".join(_said(element.get("text", "")) for element in block["elements"])
    elif kind == "actions":
        labels = (element.get("text", {}).get("text", element.get("type")) for element in block["elements"])
        yield " ".join(f"[{plain(str(label), 80)}]" for label in labels)
    elif kind == "rich_text":
        for group in block["elements"]:
            yield from _rich(group)


def _rich(group: Mapping[str, Any]) -> Iterator[str]:
    if group.get("type") == "rich_text_list":
        for item in group["elements"]:
            yield from (f"- {line}" for line in _rich(item))
        return
    text = "".join(map(_inline, group.get("elements", ())))
    bar = "| " if group.get("type") == "rich_text_preformatted" else ""
    yield from (bar + line for line in plain(text, 12_000).split("\n"))


def _inline(element: Mapping[str, Any]) -> str:
    if element.get("type") == "link":
        text, url = element.get("text", ""), element["url"]
        return f"{text} ({url})" if text and text != url else str(url)
    if element.get("type") == "user":
        return f"@{element['user_id']}"
    return str(element.get("text", ""))


def _said(text: str) -> str:
    """Convert Slack's mrkdwn to plain text, as people see it."""
    found = _LINK.sub(r"\2 (\1)", text)
    found = _DATE.sub(r"\1", found)
    found = _MENTION.sub(lambda match: match[1].replace("!", "@") + (match[3] or match[2]), found)
    return plain(found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("\u200b", ""), 12_000)
