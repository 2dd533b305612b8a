"""The workspace's state: people, channels, messages, views, files. It is in memory, and new at every start."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.slack.clock import Clock, RealClock
from bot.sandbox.slack.triggers import RESPONSE_S, RESPONSE_USES, TRIGGER_S, ResponseUrl, Triggers

TEAM, DOMAIN = "T0SANDBOX", "sandbox"
BOT_USER, BOT_ID, APP = "U0CSM", "B0CSM", "A0CSM"
MADE_AT = 1_790_000_000
"""The creation time of everything that exists at the start."""

__all__ = ["RESPONSE_S", "RESPONSE_USES", "TRIGGER_S", "Channel", "ResponseUrl", "User", "Workspace", "shown"]


@dataclass
class User:
    """A person of the sandbox, or the bot."""

    id: str
    name: str
    real_name: str
    email: str = ""
    is_bot: bool = False
    deleted: bool = False
    is_restricted: bool = False
    """Whether this is a guest's account."""

    def as_json(self, *, email: bool = True) -> dict[str, Any]:
        """The user as `users.info` returns it. The e-mail address needs the scope `users:read.email`."""
        return {
            "id": self.id, "team_id": TEAM, "name": self.name, "deleted": self.deleted, "color": "9f69e7", "real_name": self.real_name,
            "tz": "Etc/UTC", "tz_label": "Coordinated Universal Time", "tz_offset": 0, "profile": self.profile(email=email),
            "is_admin": False, "is_owner": False, "is_primary_owner": False, "is_restricted": self.is_restricted, "is_ultra_restricted": False,
            "is_bot": self.is_bot, "is_app_user": False, "updated": MADE_AT, "is_email_confirmed": bool(self.email),
            "who_can_share_contact_card": "EVERYONE",
        }  # fmt: skip

    def profile(self, *, email: bool = True) -> dict[str, Any]:
        """The profile as `users.profile.get` returns it."""
        names = {"real_name": self.real_name, "display_name": self.name}
        return {
            **names, **{f"{key}_normalized": value for key, value in names.items()}, "title": "", "phone": "", "skype": "", "fields": {},
            "status_text": "", "status_emoji": "", "status_expiration": 0, "avatar_hash": "", "team": TEAM,
            **({"email": self.email} if email and self.email else {}), **({"bot_id": BOT_ID, "api_app_id": APP} if self.is_bot else {}),
        }  # fmt: skip


@dataclass
class Channel:
    """A channel, or direct messages. `members` determines who can see a private one."""

    id: str
    name: str
    members: set[str]
    private: bool = False
    direct: bool = False
    archived: bool = False
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By time stamp, oldest first."""
    pins: list[str] = field(default_factory=list)
    bookmarks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind as in events (`channel_type`) and in the names of scopes: `channels:history`, `im:history`."""
        return "im" if self.direct else "group" if self.private else "channel"

    def as_json(self) -> dict[str, Any]:
        """The channel as `conversations.info` returns it."""
        common = {
            "id": self.id, "created": MADE_AT, "is_org_shared": False, "is_im": self.direct, "context_team_id": TEAM,
            "updated": MADE_AT * 1000, "is_archived": self.archived,
        }  # fmt: skip
        if self.direct:
            return {
                **common,
                "user": next(iter(self.members - {BOT_USER}), BOT_USER),
                "is_user_deleted": False,
                "priority": 0,
            }
        nothing = {"value": "", "creator": "", "last_set": 0}
        return {
            **common, "name": self.name, "name_normalized": self.name, "creator": "U0SANDANA", "is_channel": True, "is_group": False,
            "is_mpim": False, "is_private": self.private, "is_general": self.name == "general", "is_shared": False, "is_ext_shared": False,
            "unlinked": 0, "is_pending_ext_shared": False, "pending_shared": [], "parent_conversation": None, "purpose": nothing, "topic": nothing,
            "shared_team_ids": [TEAM], "pending_connected_team_ids": [], "is_member": BOT_USER in self.members, "previous_names": [],
        }  # fmt: skip


class Workspace:
    """The whole state, and an event for waiting on its changes."""

    def __init__(self, clock: Clock | None = None) -> None:
        people = [
            User("U0SANDANA", "ana", "Ana, on call", "ana@example.com"),
            User("U0SANDSAM", "sam", "Sam, security", "sam@example.com"),
            User("U0SANDEVE", "eve", "Eve, a stranger to csm", "eve@example.com"),
            User(BOT_USER, "csm", "csm", is_bot=True),
        ]
        everyone = {user.id for user in people}
        self.clock = clock or RealClock()
        self.session = secrets.token_hex(8)
        """A random id of this sandbox, by which a page detects that another sandbox now answers at its address."""
        self.users = {user.id: user for user in people}
        self.channels = {
            channel.id: channel
            for channel in (
                Channel("C0INCIDENT", "incident-42", set(everyone)),
                Channel("C0GENERAL", "general", everyone - {BOT_USER}),
                Channel("C0PRIVATE", "private", everyone - {BOT_USER}, private=True),
            )
        }
        self.groups = {"S0SRE": ("sre", ["U0SANDANA"]), "S0SECURITY": ("security", ["U0SANDSAM"])}
        self.uploads: dict[str, dict[str, Any]] = {}
        """Announced uploads. They become files when the upload is completed."""
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.views: dict[str, dict[str, Any]] = {}
        """The open modals of all people, in the order in which they were opened."""
        self.homes: dict[str, dict[str, Any]] = {}
        """The app's home tab, by person's id."""
        self.entered: dict[tuple[str, str], dict[str, Any]] = {}
        """Values that a person has entered in a message (`state.values`), by person's id and time stamp."""
        self.scheduled: dict[str, dict[str, Any]] = {}
        """Messages to post later."""
        self.triggers = Triggers(self.clock)
        self.response_urls: dict[str, ResponseUrl] = {}
        self.events: list[dict[str, Any]] = []
        """All changes that a page shows, in order; an event's id is its index + 1."""
        self.changed = asyncio.Event()
        self._last_ts = 0.0
        self._numbers = itertools.count(1)

    def id(self, prefix: str) -> str:
        """A new id in Slack's format."""
        return f"{prefix}{next(self._numbers):04d}{secrets.token_hex(3).upper()}"

    def ts(self) -> str:
        """A new time stamp, later than all others."""
        self._last_ts = max(self.clock.now(), self._last_ts + 0.000001)
        return f"{self._last_ts:.6f}"

    def tell(self, kind: str, **event: Any) -> None:
        """Publish a change to the pages and drivers."""
        self.events.append({"type": kind, **event})
        self.changed.set()
        self.changed = asyncio.Event()

    def user(self, name: str) -> User | None:
        """The user with this id or name; `None` if there is none."""
        return self.users.get(name) or next(
            (user for user in self.users.values() if user.name == name.lstrip("@")), None
        )

    def channel(self, name: str) -> Channel | None:
        """The channel with this id or name; `None` if there is none."""
        return self.channels.get(name) or next((c for c in self.channels.values() if c.name == name.lstrip("#")), None)

    def direct(self, user: str) -> Channel:
        """Return the direct messages between the bot and a person; create them if needed."""
        channel = Channel(f"D0{user[2:]}", f"dm-{user}", {user, BOT_USER}, private=True, direct=True)
        return self.channels.setdefault(channel.id, channel)

    def views_of(self, user: str) -> list[dict[str, Any]]:
        """A person's open modals, the top one last."""
        return [view for view in self.views.values() if view["_user"] == user]

    def post(self, channel: Channel, message: Mapping[str, Any], *, only: str = "") -> dict[str, Any]:
        """Add a message, for everybody or only for the person `only`."""
        stored = {"type": "message", "ts": self.ts(), "team": TEAM, **message}
        if only:
            stored |= {"is_ephemeral": True, "_only": only}
        channel.messages[stored["ts"]] = stored
        self._count_reply(channel, stored)
        self.tell(
            "ephemeral" if only else "message",
            channel=channel.id,
            thread_ts=stored.get("thread_ts"),
            message=shown(stored),
            only=only,
        )
        return stored

    def changed_message(self, channel: Channel, message: dict[str, Any]) -> None:
        """Publish that a message was changed in place."""
        self.tell(
            "message_changed",
            channel=channel.id,
            thread_ts=message.get("thread_ts"),
            message=shown(message),
            only=message.get("_only", ""),
        )

    def delete(self, channel: Channel, ts: str) -> None:
        """Delete a message. The replies of a deleted root stay."""
        message = channel.messages.pop(ts)
        self.tell(
            "message_deleted",
            channel=channel.id,
            ts=ts,
            thread_ts=message.get("thread_ts"),
            only=message.get("_only", ""),
        )
        if parent := channel.messages.get(str(message.get("thread_ts"))):
            self._recount(channel, parent)

    def visible(self, channel: Channel, user: str, thread_ts: str = "") -> list[dict[str, Any]]:
        """The messages that a user sees in a channel (without replies) or in a thread, oldest first."""
        messages = [m for m in channel.messages.values() if m.get("_only", user) == user]
        if thread_ts:
            return [shown(m) for m in messages if thread_ts in (m["ts"], m.get("thread_ts"))]
        return [
            shown(m)
            for m in messages
            if m.get("thread_ts", m["ts"]) == m["ts"] or m.get("subtype") == "thread_broadcast"
        ]

    def _count_reply(self, channel: Channel, reply: Mapping[str, Any]) -> None:
        """
        Update the reply count of a thread's root.

        Fields as recorded: duqaXxX/code-with-slack, conversations.replies.
        """
        parent = channel.messages.get(str(reply.get("thread_ts")))
        if parent is None or parent["ts"] == reply["ts"] or reply.get("is_ephemeral"):
            return
        users = list(dict.fromkeys([*parent.get("reply_users", []), str(reply["user"])]))
        parent |= {
            "thread_ts": parent["ts"], "reply_count": parent.get("reply_count", 0) + 1, "reply_users_count": len(users),
            "latest_reply": reply["ts"], "reply_users": users, "is_locked": False, "subscribed": False,
        }  # fmt: skip
        self.changed_message(channel, parent)

    def _recount(self, channel: Channel, parent: dict[str, Any]) -> None:
        """Recount the replies of a thread after one was deleted."""
        for key in ("thread_ts", "reply_count", "reply_users_count", "latest_reply", "reply_users"):
            parent.pop(key, None)
        self.changed_message(channel, parent)
        for message in channel.messages.values():
            if message.get("thread_ts") == parent["ts"]:
                self._count_reply(channel, message)


def shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message or a view without the workspace's internal fields."""
    return {key: value for key, value in message.items() if not key.startswith("_")}
