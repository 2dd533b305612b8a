"""
Text that people type, as Slack sends it to apps: escaped, with names replaced by ids.

Source: docs.slack.dev: messaging/formatting-message-text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bot.sandbox.slack.workspace import Workspace

_TOKEN = re.compile(r"<[^<>\s][^<>]*>|https?://[^\s<>|]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[@#][\w.-]*\w")


def escaped(text: str) -> str:
    """Escape `&`, `<` and `>` as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_sent(workspace: Workspace, text: str) -> str:
    """Replace names with ids and addresses with links, as in messages, and in commands with `should_escape`."""
    return "".join(_sent(workspace, part) for part in _parts(workspace, text))


def as_rich_text(workspace: Workspace, text: str, block_id: str) -> dict[str, Any]:
    """The rich text block that every message of a person has besides its text."""
    elements = list(_parts(workspace, text))
    return {
        "type": "rich_text",
        "block_id": block_id,
        "elements": [{"type": "rich_text_section", "elements": elements}],
    }


def _parts(workspace: Workspace, text: str) -> Iterator[dict[str, Any]]:
    end = 0
    for match in _TOKEN.finditer(text):
        part = _part(workspace, match.group())
        if part is None:
            continue
        if text[end : match.start()]:
            yield {"type": "text", "text": text[end : match.start()]}
        yield part
        end = match.end()
    if text[end:]:
        yield {"type": "text", "text": text[end:]}


def _part(workspace: Workspace, token: str) -> dict[str, Any] | None:
    name = token[1:]
    if token.startswith("<"):
        return {"type": "user", "user_id": token[2:-1]} if token[2:-1] in workspace.users and token[1] == "@" else None
    if token.startswith("@") and name in {"here", "channel", "everyone"}:
        return {"type": "broadcast", "range": name}
    if token.startswith("@"):
        group = next((id_ for id_, (handle, _) in workspace.groups.items() if handle == name), None)
        user = next((each.id for each in workspace.users.values() if each.name == name), None)
        if group:
            return {"type": "usergroup", "usergroup_id": group}
        return {"type": "user", "user_id": user} if user else None
    if token.startswith("#"):
        found = next((c.id for c in workspace.channels.values() if c.name == name and not c.direct), None)
        return {"type": "channel", "channel_id": found} if found else None
    return {"type": "link", "url": token if "://" in token else f"mailto:{token}", "text": token}


def _sent(workspace: Workspace, part: dict[str, Any]) -> str:
    match part["type"]:
        case "user":
            return f"<@{part['user_id']}>"
        case "usergroup":
            return f"<!subteam^{part['usergroup_id']}|@{workspace.groups[part['usergroup_id']][0]}>"
        case "channel":
            return f"<#{part['channel_id']}|{workspace.channels[part['channel_id']].name}>"
        case "broadcast":
            return f"<!{part['range']}>"
        case "link":
            label = "" if part["url"] == part["text"] else f"|{escaped(part['text'])}"
            return f"<{escaped(part['url'])}{label}>"
        case _:
            return escaped(part["text"])
