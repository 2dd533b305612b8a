"""pins.*: pinned messages (docs.slack.dev: reference/methods/pins.add)."""

from __future__ import annotations

from bot.sandbox.slack.limits import TIER_2
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_USER, shown


@method("pins.add", "pins:write", per_minute=TIER_2)
async def _add(call: Call) -> Answer:
    channel = call.joined()
    ts = call.message(channel, "timestamp")["ts"]
    if ts in channel.pins:
        raise SlackFault("already_pinned")
    channel.pins.append(ts)
    call.workspace.tell("channel_changed", channel=channel.id)
    return {}


@method("pins.remove", "pins:write", per_minute=TIER_2)
async def _remove(call: Call) -> Answer:
    channel = call.joined()
    ts = call.message(channel, "timestamp")["ts"]
    if ts not in channel.pins:
        raise SlackFault("no_pin")
    channel.pins.remove(ts)
    call.workspace.tell("channel_changed", channel=channel.id)
    return {}


@method("pins.list", "pins:read", per_minute=TIER_2)
async def _list(call: Call) -> Answer:
    channel = call.joined()
    found = [channel.messages[ts] for ts in channel.pins if ts in channel.messages]
    return {
        "items": [
            {
                "type": "message",
                "channel": channel.id,
                "created": int(float(message["ts"])),
                "created_by": BOT_USER,
                "message": shown(message),
            }
            for message in found
        ]
    }
