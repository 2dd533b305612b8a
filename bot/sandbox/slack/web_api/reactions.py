"""reactions.*: emoji on messages (docs.slack.dev: reference/methods/reactions.add)."""

from __future__ import annotations

import re
from typing import Any

from bot.sandbox.slack.limits import TIER_2, TIER_3
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_USER, Channel, Workspace, shown

_NAME = re.compile(r"[a-z0-9_+'-]{1,100}(::skin-tone-[2-6])?")


def react(workspace: Workspace, channel: Channel, message: dict[str, Any], user: str, name: str) -> None:
    """Add a person's reaction to a message. Raises `SlackFault`."""
    reactions = message.setdefault("reactions", [])
    one = next((each for each in reactions if each["name"] == name), None)
    if one and user in one["users"]:
        raise SlackFault("already_reacted")
    if one is None:
        one = {"name": name, "users": [], "count": 0}
        reactions.append(one)
    one["users"].append(user)
    one["count"] = len(one["users"])
    workspace.changed_message(channel, message)


def take_back(workspace: Workspace, channel: Channel, message: dict[str, Any], user: str, name: str) -> None:
    """Remove a person's reaction from a message. Raises `SlackFault`."""
    one = next((each for each in message.get("reactions", []) if each["name"] == name and user in each["users"]), None)
    if one is None:
        raise SlackFault("no_reaction")
    one["users"].remove(user)
    one["count"] = len(one["users"])
    message["reactions"] = [each for each in message["reactions"] if each["users"]]
    if not message["reactions"]:
        del message["reactions"]
    workspace.changed_message(channel, message)


def _name(call: Call) -> str:
    name = call.need("name").strip(":")
    if not _NAME.fullmatch(name):
        raise SlackFault("invalid_name")
    return name


@method("reactions.add", "reactions:write", per_minute=TIER_3)
async def _add(call: Call) -> Answer:
    name, channel = _name(call), call.joined()
    message = call.message(channel, "timestamp")
    react(call.workspace, channel, message, BOT_USER, name)
    call.api.events.reaction("reaction_added", channel, message, BOT_USER, name)
    return {}


@method("reactions.remove", "reactions:write", per_minute=TIER_2)
async def _remove(call: Call) -> Answer:
    name, channel = _name(call), call.joined()
    message = call.message(channel, "timestamp")
    take_back(call.workspace, channel, message, BOT_USER, name)
    call.api.events.reaction("reaction_removed", channel, message, BOT_USER, name)
    return {}


@method("reactions.get", "reactions:read", per_minute=TIER_3)
async def _get(call: Call) -> Answer:
    channel = call.joined()
    return {"type": "message", "channel": channel.id, "message": shown(call.message(channel, "timestamp"))}
