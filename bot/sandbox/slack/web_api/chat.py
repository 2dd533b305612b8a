"""chat.postMessage, update, delete, postEphemeral and getPermalink (docs.slack.dev: reference/methods)."""

from __future__ import annotations

from typing import Any

from bot.sandbox.slack.limits import POST_IN_CHANNEL, SPECIAL, TIER_3
from bot.sandbox.slack.messages import MOST_TEXT, MOST_UPDATED_TEXT, TRUNCATED, check_message, content, from_app
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_USER, DOMAIN, Channel, shown


@method("chat.postMessage", "chat:write", per_minute=POST_IN_CHANNEL)
async def _post(call: Call) -> Answer:
    channel = call.postable()
    check_message(call.arguments)
    if len(call.text("text")) > MOST_TEXT:
        call.warnings.append(TRUNCATED)
    stored = call.workspace.post(channel, message_of(call, channel))
    call.api.events.message(channel, stored)
    return {"channel": channel.id, "ts": stored["ts"], "message": shown(stored)}


def message_of(call: Call, channel: Channel) -> dict[str, Any]:
    """Build the message of a call, without posting it."""
    message = {**from_app(call.api.app.name), **content(call.arguments), **_thread(call, channel)}
    if call.arguments.get("metadata"):
        message["metadata"] = _metadata(call.arguments["metadata"])
    if call.flag("reply_broadcast") and "thread_ts" in message:
        message["subtype"] = "thread_broadcast"
    return message


@method("chat.update", "chat:write", per_minute=TIER_3)
async def _update(call: Call) -> Answer:
    channel = call.postable()
    if channel.id != call.text("channel"):
        raise SlackFault("channel_not_found")  # a person's id is not accepted here
    message = call.message(channel)
    if message.get("user") != BOT_USER:
        raise SlackFault("cant_update_message")
    if len(call.text("text")) > MOST_UPDATED_TEXT:
        raise SlackFault("msg_too_long")
    # `blocks: []` removes the blocks. It needs a text only if the message has none.
    if call.arguments.get("blocks") != [] or not message.get("text"):
        check_message(call.arguments)
    _change(call, message)
    call.workspace.changed_message(channel, message)
    call.api.events.message_changed(channel, message)
    return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": shown(message)}


def _change(call: Call, message: dict[str, Any]) -> None:
    """
    Update a message: a text alone removes the blocks, blocks alone keep the text.

    A message with blocks shows no "(edited)".
    """
    new = content(call.arguments)
    if "text" in call.arguments:
        message["text"] = new["text"]
    for key in ("blocks", "attachments"):
        if key in new:
            message[key] = new[key]
        elif "text" in call.arguments or key in call.arguments:
            message.pop(key, None)
    if call.arguments.get("metadata"):
        message["metadata"] = _metadata(call.arguments["metadata"])
    if "blocks" not in message:
        message["edited"] = {"user": BOT_USER, "ts": f"{call.workspace.clock.now():.0f}.000000"}


@method("chat.delete", "chat:write", per_minute=TIER_3)
async def _delete(call: Call) -> Answer:
    channel = call.channel()
    message = call.message(channel)
    if message.get("user") != BOT_USER:
        raise SlackFault("cant_delete_message")
    call.workspace.delete(channel, message["ts"])
    return {"channel": channel.id, "ts": message["ts"]}


@method("chat.postEphemeral", "chat:write")
async def _ephemeral(call: Call) -> Answer:
    channel = call.postable()
    check_message(call.arguments)
    if call.need("user") not in channel.members:
        raise SlackFault("user_not_in_channel")
    message = {**from_app(call.api.app.name), **content(call.arguments), **_thread(call, channel)}
    stored = call.workspace.post(channel, message, only=call.text("user"))
    return {"message_ts": stored["ts"]}


@method("chat.getPermalink", per_minute=SPECIAL)
async def _permalink(call: Call) -> Answer:
    channel = call.postable()
    message = call.message(channel, "message_ts")
    address = f"https://{DOMAIN}.slack.com/archives/{channel.id}/p{message['ts'].replace('.', '')}"
    thread = message.get("thread_ts", message["ts"])
    reply = f"?thread_ts={thread}&cid={channel.id}" if thread != message["ts"] else ""
    return {"channel": channel.id, "permalink": address + reply}


def _thread(call: Call, channel: Channel) -> dict[str, Any]:
    thread = call.text("thread_ts")
    if not thread:
        return {}
    parent = channel.messages.get(thread)
    if parent is None or parent.get("is_ephemeral"):
        raise SlackFault("thread_not_found")
    root = parent.get("thread_ts", thread)  # the time stamp of a reply refers to its thread
    return {"thread_ts": root, "parent_user_id": channel.messages[root]["user"]}


def _metadata(metadata: Any) -> dict[str, Any]:
    if (
        not isinstance(metadata, dict)
        or not isinstance(metadata.get("event_payload"), dict)
        or not metadata.get("event_type")
    ):
        raise SlackFault("invalid_metadata_format")
    return {"event_type": str(metadata["event_type"]), "event_payload": metadata["event_payload"]}
