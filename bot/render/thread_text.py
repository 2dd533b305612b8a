"""Slack messages as plain text, for `csm sandbox --once` and for reading a test's failure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def thread_as_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """A thread, its root first, replies indented."""
    parts: list[str] = []
    for number, message in enumerate(messages):
        body = "\n".join(_message(message))
        indented = body if number == 0 else re.sub(r"^(?=.)", "    ", body, flags=re.MULTILINE)
        parts.append(indented)
    return "\n\n".join(parts) + "\n"


def _message(message: Mapping[str, Any]) -> Iterator[str]:
    if message.get("is_ephemeral"):
        yield "(only visible to you)"
    lines = [line for block in message.get("blocks") or [] for line in _block(block)]
    yield from lines or [_plain(str(message.get("text", "")))]
    for file in message.get("files") or []:
        yield f"[file] {file['name']} ({file['size']} bytes)"


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    match block.get("type"):
        case "section" | "header":
            if "text" in block:
                yield _plain(block["text"]["text"])
            for each in block.get("fields", []):
                yield _plain(each["text"])
        case "context":
            yield _plain(" ".join(each.get("text", "") for each in block["elements"]))
        case "divider":
            yield "-" * 20
        case "actions":
            yield " ".join(f"[ {each['text']['text']} ]" for each in block["elements"] if "text" in each)
        case "rich_text":
            for element in block["elements"]:
                yield from _rich(element)
        case other:
            yield f"({other})"


def _rich(element: Mapping[str, Any], mark: str = "") -> Iterator[str]:
    if element["type"] == "rich_text_list":
        for item in element["elements"]:
            yield from _rich(item, "- ")
        return
    text = "".join(
        str(each.get("text") or each.get("url") or each.get("user_id") or "") for each in element["elements"]
    )
    prefix = {"rich_text_preformatted": "  | ", "rich_text_quote": "> "}.get(element["type"], mark)
    for line in text.splitlines():
        yield prefix + line


def _plain(text: str) -> str:
    """Slack's markup as a person would read it."""
    text = re.sub(r"<([^<>|]+)\|([^<>]+)>", r"\2 (\1)", text)
    text = re.sub(r"<([^<>]+)>", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
