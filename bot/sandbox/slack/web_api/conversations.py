"""conversations.*: channels, their members and their messages (docs.slack.dev: reference/methods)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.sandbox.slack.limits import TIER_2, TIER_3, TIER_4
from bot.sandbox.slack.refusal import SlackFault, missing
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_USER, Channel

READ = ("channels:read", "groups:read", "im:read", "mpim:read")
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
_TYPES = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
_SCOPE = {"channel": "channels:read", "group": "groups:read", "im": "im:read", "mpim": "mpim:read"}


def _known(call: Call) -> Channel:
    channel = call.channel()
    call.require(_SCOPE[channel.kind])
    return channel


@method("conversations.info", *READ, per_minute=TIER_3)
async def _info(call: Call) -> Answer:
    channel = _known(call)
    number = {"num_members": len(channel.members)} if call.flag("include_num_members") else {}
    return {"channel": {**channel.as_json(), **number}}


@method("conversations.list", *READ, per_minute=TIER_2)
async def _list(call: Call) -> Answer:
    asked = [_kind(name) for name in call.names("types") or ["public_channel"]]
    for kind in asked:
        call.require(_SCOPE[kind])
    found = [
        channel.as_json()
        for channel in call.workspace.channels.values()
        if channel.kind in asked
        and (not channel.private or BOT_USER in channel.members)
        and not (channel.archived and call.flag("exclude_archived"))
    ]
    items, cursor = call.page(found)
    return {"channels": items, "response_metadata": {"next_cursor": cursor}}


def _kind(name: str) -> str:
    if name not in _TYPES:
        raise SlackFault("invalid_types")
    return _TYPES[name]


@method("conversations.members", *READ, per_minute=TIER_4)
async def _members(call: Call) -> Answer:
    items, cursor = call.page(sorted(_known(call).members))
    return {"members": items, "response_metadata": {"next_cursor": cursor}}


@method("conversations.history", *HISTORY, per_minute=TIER_3)
async def _history(call: Call) -> Answer:
    channel = call.readable()
    found = [each for each in call.workspace.visible(channel, BOT_USER) if not each.get("is_ephemeral")]
    items, cursor = call.page(_within(call, found)[::-1], most=999)
    return {
        "messages": _with_metadata(call, items),
        "has_more": bool(cursor),
        "pin_count": len(channel.pins),
        "channel_actions_ts": None,
        "channel_actions_count": 0,
        "response_metadata": {"next_cursor": cursor},
    }


@method("conversations.replies", *HISTORY, per_minute=TIER_3)
async def _replies(call: Call) -> Answer:
    channel = call.readable()
    message = call.message(channel, "ts", "thread_not_found")
    thread = message.get("thread_ts", message["ts"])
    found = [each for each in call.workspace.visible(channel, BOT_USER, thread) if not each.get("is_ephemeral")]
    root, replies = found[:1], _within(call, found[1:])
    items, cursor = call.page([*root, *replies], limit=1000)
    return {
        "messages": _with_metadata(call, items),
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def _within(call: Call, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    oldest, latest = call.text("oldest", "0"), call.text("latest", "9999999999.999999")
    inclusive = call.flag("inclusive")

    def inside(ts: str) -> bool:
        at, first, last = float(ts), float(oldest or 0), float(latest or "inf")
        return first <= at <= last if inclusive else first < at < last

    try:
        return [message for message in messages if inside(message["ts"])]
    except ValueError as error:
        raise SlackFault("invalid_arguments") from error


def _with_metadata(call: Call, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if call.flag("include_all_metadata"):
        return list(messages)
    return [{key: value for key, value in message.items() if key != "metadata"} for message in messages]


@method("conversations.open", "im:write", "mpim:write", per_minute=TIER_3)
async def _open(call: Call) -> Answer:
    """Open the direct messages with one person. Those with several people are not implemented in this workspace."""
    if name := call.text("channel"):
        channel = call.workspace.channels.get(name)
        if channel is None or not channel.direct:
            raise SlackFault("channel_not_found")
        return _opened(call, channel, is_new=False)
    users = call.names("users")
    if not users:
        raise missing("users")
    if len(users) > 1:
        raise SlackFault("not_enough_users" if set(users) <= {BOT_USER} else "unsupported_in_sandbox")
    if users[0] not in call.workspace.users or users[0] == BOT_USER:
        raise SlackFault("user_not_found")
    is_new = f"D0{users[0][2:]}" not in call.workspace.channels
    return _opened(call, call.workspace.direct(users[0]), is_new=is_new)


def _opened(call: Call, channel: Channel, *, is_new: bool) -> Answer:
    shape = channel.as_json() if call.flag("return_im") else {"id": channel.id}
    return {"channel": shape} if is_new else {"no_op": True, "already_open": True, "channel": shape}


@method("conversations.join", "channels:join", per_minute=TIER_3)
async def _join(call: Call) -> Answer:
    channel = call.channel()
    if channel.private:
        raise SlackFault("method_not_supported_for_channel_type")
    if channel.archived:
        raise SlackFault("is_archived")
    if BOT_USER in channel.members:
        call.warnings.append("already_in_channel")
    channel.members.add(BOT_USER)
    call.workspace.tell("channel_changed", channel=channel.id)
    call.api.events.member_joined(channel, BOT_USER)
    return {"channel": channel.as_json()}
