"""The workspace's state: people, channels, messages, views, files. In memory, and empty at every start."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TEAM = "T0SANDBOX"
BOT_USER, BOT_ID, APP = "U0CSM", "B0CSM", "A0CSM"
TRIGGER_S = 3.0
RESPONSE_USES, RESPONSE_S = 5, 1800.0


@dataclass
class User:
    """A person of the sandbox, or the bot."""

    id: str
    name: str
    real_name: str
    email: str = ""
    is_bot: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "team_id": TEAM, "name": self.name, "real_name": self.real_name, "deleted": False, "is_bot": self.is_bot,
            "is_restricted": False, "is_ultra_restricted": False, "profile": {"email": self.email, "real_name": self.real_name},
        }  # fmt: skip


@dataclass
class Channel:
    """A channel; `members` decides what the bot and people can see of a private one."""

    id: str
    name: str
    members: set[str]
    private: bool = False
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By time stamp, oldest first."""


@dataclass
class ResponseUrl:
    """Where an answer to one command or click may be sent."""

    user: str
    channel: str
    made_at: float
    used: int = 0


class Workspace:
    """Everything, and who is listening to its changes."""

    def __init__(self) -> None:
        people = [
            User("U0SANDANA", "ana", "Ana, on call", "ana@example.com"),
            User("U0SANDSAM", "sam", "Sam, security", "sam@example.com"),
            User("U0SANDEVE", "eve", "Eve, a stranger to csm", "eve@example.com"),
            User(BOT_USER, "csm", "csm", is_bot=True),
        ]
        everyone = {user.id for user in people}
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
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.triggers: dict[str, tuple[float, str]] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.events: list[dict[str, Any]] = []
        """Everything that a page would show, in order; index + 1 is an event's id."""
        self.changed = asyncio.Event()
        self._last_ts = 0.0
        self._numbers = itertools.count(1)

    def id(self, prefix: str) -> str:
        """A new id, shaped as Slack's."""
        return f"{prefix}{next(self._numbers):04d}{secrets.token_hex(3).upper()}"

    def ts(self) -> str:
        """A new time stamp, later than every other."""
        self._last_ts = max(time.time(), self._last_ts + 0.000001)
        return f"{self._last_ts:.6f}"

    def tell(self, kind: str, **event: Any) -> None:
        """Let the pages and drivers know."""
        self.events.append({"type": kind, **event})
        self.changed.set()
        self.changed = asyncio.Event()

    def user(self, name: str) -> User | None:
        """By id or name."""
        return self.users.get(name) or next(
            (user for user in self.users.values() if user.name == name.lstrip("@")), None
        )

    def channel(self, name: str) -> Channel | None:
        """By id or name."""
        return self.channels.get(name) or next((c for c in self.channels.values() if c.name == name.lstrip("#")), None)

    def trigger(self, user: str) -> str:
        """A trigger id: three seconds, one use."""
        trigger = f"{next(self._numbers)}.{int(time.time())}.{secrets.token_hex(16)}"
        self.triggers[trigger] = (time.monotonic(), user)
        return trigger

    def post(self, channel: Channel, message: dict[str, Any], *, only: str = "") -> dict[str, Any]:
        """Add a message, for everybody or for one person only."""
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
        """Say that a message was changed in place."""
        self.tell(
            "message_changed",
            channel=channel.id,
            thread_ts=message.get("thread_ts"),
            message=shown(message),
            only=message.get("_only", ""),
        )

    def visible(self, channel: Channel, user: str, thread_ts: str = "") -> list[dict[str, Any]]:
        """What a user sees in a channel (roots only) or a thread, oldest first."""
        messages = [m for m in channel.messages.values() if m.get("_only", user) == user]
        if thread_ts:
            return [shown(m) for m in messages if thread_ts in (m["ts"], m.get("thread_ts"))]
        return [shown(m) for m in messages if m.get("thread_ts", m["ts"]) == m["ts"]]

    def _count_reply(self, channel: Channel, reply: Mapping[str, Any]) -> None:
        parent = channel.messages.get(str(reply.get("thread_ts")))
        if parent is None or parent["ts"] == reply["ts"] or reply.get("is_ephemeral"):
            return
        parent["thread_ts"] = parent["ts"]
        parent["reply_count"] = parent.get("reply_count", 0) + 1
        parent["latest_reply"] = reply["ts"]
        self.changed_message(channel, parent)


def shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without what only the workspace knows."""
    return {key: value for key, value in message.items() if not key.startswith("_")}
