"""bookmarks.*: links above a channel (docs.slack.dev: reference/methods/bookmarks.add)."""

from __future__ import annotations

from typing import Any

from bot.sandbox.slack.limits import TIER_2, TIER_3
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import APP, BOT_USER, TEAM, Channel


def _bookmark(call: Call, channel: Channel) -> dict[str, Any]:
    bookmark = channel.bookmarks.get(call.need("bookmark_id"))
    if bookmark is None:
        raise SlackFault("not_found")
    return bookmark


@method("bookmarks.add", "bookmarks:write", per_minute=TIER_2)
async def _add(call: Call) -> Answer:
    channel = call.joined("channel_id")
    if call.need("type") != "link":
        raise SlackFault("invalid_bookmark_type")
    if not call.need("link").startswith(("https://", "http://")):
        raise SlackFault("invalid_link")
    now = int(call.workspace.clock.now())
    bookmark: dict[str, Any] = {
        "id": call.workspace.id("Bk"), "channel_id": channel.id, "title": call.need("title"), "link": call.text("link"), "emoji": call.text("emoji"),
        "icon_url": None, "entity_id": None, "type": "link", "date_created": now, "date_updated": 0, "rank": str(len(channel.bookmarks)),
        "last_updated_by_user_id": BOT_USER, "last_updated_by_team_id": TEAM, "shortcut_id": None, "app_id": APP, "app_action_id": None,
    }  # fmt: skip
    channel.bookmarks[bookmark["id"]] = bookmark
    return {"bookmark": bookmark}


@method("bookmarks.edit", "bookmarks:write", per_minute=TIER_2)
async def _edit(call: Call) -> Answer:
    bookmark = _bookmark(call, call.joined("channel_id"))
    bookmark |= {key: call.text(key) for key in ("title", "link", "emoji") if call.text(key)}
    bookmark["date_updated"] = int(call.workspace.clock.now())
    return {"bookmark": bookmark}


@method("bookmarks.list", "bookmarks:read", per_minute=TIER_3)
async def _list(call: Call) -> Answer:
    return {"bookmarks": list(call.joined("channel_id").bookmarks.values())}


@method("bookmarks.remove", "bookmarks:write", per_minute=TIER_2)
async def _remove(call: Call) -> Answer:
    channel = call.joined("channel_id")
    del channel.bookmarks[_bookmark(call, channel)["id"]]
    return {}
