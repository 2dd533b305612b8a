"""
Events of the workspace that the app's manifest subscribes to (docs.slack.dev: reference/events).

They are delivered in background tasks: no caller waits for the app.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine, Mapping
from typing import Any

from bot.sandbox.slack.delivery import Delivery
from bot.sandbox.slack.workspace import APP, BOT_USER, TEAM, Channel, Workspace, shown

_KINDS = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}
_SCOPES = {
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "message.mpim": "mpim:history",
    "app_mention": "app_mentions:read",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "member_joined_channel": "channels:read",
}
"""
The scope that each event needs besides the subscription; `app_home_opened` needs none.

Source: docs.slack.dev: reference/events.
"""
_MENTION = f"<@{BOT_USER}>"


class Events:
    """Builds events and delivers them in the background."""

    def __init__(self, workspace: Workspace, delivery: Delivery) -> None:
        self._workspace = workspace
        self._delivery = delivery
        self._tasks: set[asyncio.Task[Any]] = set()

    def message(self, channel: Channel, message: Mapping[str, Any]) -> None:
        """Send the events of a new message of a person or the app. A mention in direct messages is only a message."""
        if BOT_USER not in channel.members:
            return
        event = {**shown(message), "channel": channel.id, "event_ts": message["ts"]}
        self._send(_KINDS[channel.kind], {**event, "channel_type": channel.kind}, channel)
        if _MENTION in message.get("text", "") and not channel.direct and message["user"] != BOT_USER:
            self._send("app_mention", {**event, "type": "app_mention"}, channel)

    def message_changed(self, channel: Channel, message: Mapping[str, Any]) -> None:
        """Send the event of an edited message."""
        if BOT_USER not in channel.members:
            return
        ts = self._workspace.ts()
        event: dict[str, Any] = {
            "type": "message",
            "subtype": "message_changed",
            "message": shown(message),
            "channel": channel.id,
        }
        event |= {"hidden": True, "ts": ts, "event_ts": ts, "channel_type": channel.kind}
        self._send(_KINDS[channel.kind], event, channel)

    def reaction(self, kind: str, channel: Channel, message: Mapping[str, Any], user: str, name: str) -> None:
        """Send the event of a reaction added or removed; `kind` is `reaction_added` or `reaction_removed`."""
        if BOT_USER not in channel.members:
            return
        item = {"type": "message", "channel": channel.id, "ts": message["ts"]}
        event = {"type": kind, "user": user, "item": item, "reaction": name, "item_user": message["user"]}
        self._send(kind, {**event, "event_ts": self._workspace.ts()}, channel)

    def home_opened(self, user: str, channel: Channel, tab: str) -> None:
        """Send `app_home_opened`."""
        event: dict[str, Any] = {"type": "app_home_opened", "user": user, "channel": channel.id, "tab": tab}
        if tab == "home" and user in self._workspace.homes:
            event["view"] = shown(self._workspace.homes[user])
        self._send("app_home_opened", {**event, "event_ts": self._workspace.ts()}, channel)

    def member_joined(self, channel: Channel, user: str) -> None:
        """Send `member_joined_channel`."""
        event = {"type": "member_joined_channel", "user": user, "channel": channel.id, "channel_type": channel.id[0]}
        self._send("member_joined_channel", {**event, "team": TEAM, "event_ts": self._workspace.ts()}, channel)

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine as a background task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Cancel all background tasks."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self, subscription: str, event: Mapping[str, Any], channel: Channel) -> None:
        app = self._delivery.app
        if subscription in app.events and _SCOPES.get(subscription, "") in {"", *app.scopes}:
            self.background(self._delivery.event(self._wrapped(event, channel)))

    def _wrapped(self, event: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
        context = json.dumps({"et": event["type"], "tid": TEAM, "aid": APP, "cid": channel.id})
        authorization: dict[str, Any] = {
            "enterprise_id": None, "team_id": TEAM, "user_id": BOT_USER, "is_bot": True, "is_enterprise_install": False,
        }  # fmt: skip
        return {
            "token": "", "team_id": TEAM, "context_team_id": TEAM, "context_enterprise_id": None, "api_app_id": APP, "event": event,
            "type": "event_callback", "event_id": self._workspace.id("Ev"), "event_time": int(self._workspace.clock.now()),
            "authorizations": [authorization], "is_ext_shared_channel": False,
            "event_context": "4-" + base64.urlsafe_b64encode(context.encode()).decode().rstrip("="),
        }  # fmt: skip
