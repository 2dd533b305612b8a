"""
chat.scheduleMessage and related methods: messages to post later, at most 120 days ahead.

Source: docs.slack.dev: reference/methods/chat.scheduleMessage.
"""

from __future__ import annotations

from typing import Any

from bot.sandbox.slack.limits import TIER_3
from bot.sandbox.slack.messages import check_message
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.chat import message_of
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import Channel, shown

MOST_AHEAD_S = 120 * 24 * 3600


@method("chat.scheduleMessage", "chat:write", per_minute=TIER_3)
async def _schedule(call: Call) -> Answer:
    channel = call.postable()
    check_message(call.arguments)
    call.need("post_at")
    wait = call.integer("post_at", 0) - call.workspace.clock.now()
    if wait <= 0:
        raise SlackFault("time_in_past")
    if wait > MOST_AHEAD_S:
        raise SlackFault("time_too_far")
    message = message_of(call, channel)
    scheduled = {
        "id": call.workspace.id("Q"),
        "channel_id": channel.id,
        "post_at": call.integer("post_at", 0),
        "date_created": int(call.workspace.clock.now()),
        "text": message["text"],
    }
    call.workspace.scheduled[scheduled["id"]] = scheduled
    call.api.events.background(_send(call, channel, scheduled["id"], message, wait))
    return {
        "scheduled_message_id": scheduled["id"],
        "channel": channel.id,
        "post_at": scheduled["post_at"],
        "message": shown({"type": "delayed_message", **message}),
    }


async def _send(call: Call, channel: Channel, key: str, message: dict[str, Any], wait: float) -> None:
    await call.workspace.clock.sleep(wait)
    if call.workspace.scheduled.pop(key, None):
        call.api.events.message(channel, call.workspace.post(channel, message))


@method("chat.scheduledMessages.list", per_minute=TIER_3)
async def _list(call: Call) -> Answer:
    wanted = call.text("channel")
    found = [each for each in call.workspace.scheduled.values() if wanted in ("", each["channel_id"])]
    items, cursor = call.page(found)
    return {"scheduled_messages": items, "response_metadata": {"next_cursor": cursor}}


@method("chat.deleteScheduledMessage", "chat:write", per_minute=TIER_3)
async def _delete(call: Call) -> Answer:
    channel = call.channel()
    scheduled = call.workspace.scheduled.get(call.need("scheduled_message_id"))
    if scheduled is None or scheduled["channel_id"] != channel.id:
        raise SlackFault("invalid_scheduled_message_id")
    del call.workspace.scheduled[scheduled["id"]]
    return {}
