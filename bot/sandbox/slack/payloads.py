"""
The payloads that Slack sends to an app for people's actions, with every key.

Shapes: recorded from a live workspace (duqaXxX/code-with-slack, `tests/fixtures/slack`) and by Slack
(slackapi/java-slack-sdk, `json-logs/samples/app-backend`); docs.slack.dev: reference/interaction-payloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.workspace import APP, DOMAIN, TEAM, Channel, User, shown

Payload = dict[str, Any]


def command(who: User, where: Channel, word: str, text: str, *, response_url: str, trigger_id: str) -> Payload:
    """
    A slash command. It has no thread.

    `is_enterprise_install` is a string, because this payload was designed for forms.
    """
    return {
        "token": "", "team_id": TEAM, "team_domain": DOMAIN, "channel_id": where.id, "channel_name": channel_name(where), "user_id": who.id,
        "user_name": who.name, "command": word, "text": text, "api_app_id": APP, "is_enterprise_install": "false",
        "response_url": response_url, "trigger_id": trigger_id,
    }  # fmt: skip


def block_actions(who: User, source: Mapping[str, Any], action: Mapping[str, Any], *, trigger_id: str) -> Payload:
    """A click or a choice. `source` comes from `in_message` or `in_view`."""
    return {**_common("block_actions", who), "trigger_id": trigger_id, **source, "actions": [dict(action)]}


def block_suggestion(who: User, source: Mapping[str, Any], place: tuple[str, str], value: str) -> Payload:
    """The text typed so far in an external select; `place` is its block_id and action_id."""
    payload = {
        **_common("block_suggestion", who),
        **source,
        "block_id": place[0],
        "action_id": place[1],
        "value": value,
    }
    for key in ("state", "response_url"):
        payload.pop(key, None)
    return payload


def in_message(where: Channel, message: Mapping[str, Any], state: Mapping[str, Any], response_url: str) -> Payload:
    """The source of an action in a message. The content of an ephemeral message is not sent."""
    ephemeral = bool(message.get("is_ephemeral"))
    container = {"type": "message", "message_ts": message["ts"], "channel_id": where.id, "is_ephemeral": ephemeral}
    if "thread_ts" in message:
        container["thread_ts"] = message["thread_ts"]
    source: Payload = {"container": container, "channel": {"id": where.id, "name": channel_name(where)}}
    if not ephemeral:
        source["message"] = shown(message)
    return {**source, "state": {"values": dict(state)}, "response_url": response_url}


def in_view(view: Mapping[str, Any]) -> Payload:
    """The source of an action in a modal or on the home tab. It has no channel and no response_url."""
    return {"container": {"type": "view", "view_id": view["id"]}, "view": shown(view)}


def view_submission(who: User, view: Mapping[str, Any], *, trigger_id: str, response_urls: list[Payload]) -> Payload:
    """A submitted modal."""
    common = _common("view_submission", who)
    return {**common, "trigger_id": trigger_id, "view": shown(view), "response_urls": response_urls}


def view_closed(who: User, view: Mapping[str, Any], *, is_cleared: bool) -> Payload:
    """A closed modal; sent only if `notify_on_close` is set."""
    return {**_common("view_closed", who), "view": shown(view), "is_cleared": is_cleared}


def shortcut(who: User, callback_id: str, *, trigger_id: str, action_ts: str) -> Payload:
    """A global shortcut. It has no channel."""
    common = _common("shortcut", who)
    del common["user"]["name"]
    return {**common, "callback_id": callback_id, "trigger_id": trigger_id, "action_ts": action_ts}


def message_action(
    who: User, where: Channel, message: Mapping[str, Any], *, callback_id: str, trigger_id: str, action_ts: str, response_url: str
) -> Payload:  # fmt: skip
    """A message shortcut."""
    return {
        **_common("message_action", who), "callback_id": callback_id, "trigger_id": trigger_id, "action_ts": action_ts,
        "message_ts": message["ts"], "response_url": response_url, "channel": {"id": where.id, "name": channel_name(where)},
        "message": shown(message),
    }  # fmt: skip


def channel_name(where: Channel) -> str:
    """The name of a channel as Slack sends it. Those of private channels and direct messages are not disclosed."""
    return "directmessage" if where.direct else "privategroup" if where.private else where.name


def _common(kind: str, who: User) -> Payload:
    return {
        "type": kind, "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": TEAM}, "api_app_id": APP, "token": "",
        "team": {"id": TEAM, "domain": DOMAIN}, "enterprise": None, "is_enterprise_install": False,
    }  # fmt: skip
