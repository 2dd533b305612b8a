"""The registry of methods, and the call object that a method gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bot.sandbox.slack.events import Events
from bot.sandbox.slack.limits import TIER_4
from bot.sandbox.slack.manifest import App
from bot.sandbox.slack.refusal import SlackFault, missing
from bot.sandbox.slack.workspace import BOT_USER, Channel, Workspace

Answer = dict[str, Any]
YES = {"1", "true", "True", True}


class Api(Protocol):
    """The parts of the Web API that methods use."""

    workspace: Workspace
    app: App
    scopes: frozenset[str]
    base: str
    events: Events

    def open_ticket(self, *, short: bool = False) -> str:
        """Return a Socket Mode address, valid for one connection."""
        ...


@dataclass(frozen=True)
class Call:
    """One call of a method."""

    api: Api
    arguments: Mapping[str, Any]
    warnings: list[str]

    @property
    def workspace(self) -> Workspace:
        """The workspace in which the call is carried out."""
        return self.api.workspace

    def text(self, key: str, default: str = "") -> str:
        """An argument as a string."""
        value = self.arguments.get(key)
        return default if value is None else str(value)

    def need(self, key: str) -> str:
        """A required argument. Raises `SlackFault`."""
        if value := self.text(key):
            return value
        raise missing(key)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean argument."""
        return str(self.arguments[key]).lower() in YES if key in self.arguments else default

    def integer(self, key: str, default: int) -> int:
        """An integer argument. Raises `SlackFault`."""
        try:
            return int(self.arguments.get(key) or default)
        except (TypeError, ValueError) as error:
            raise SlackFault("invalid_arguments") from error

    def names(self, key: str) -> Sequence[str]:
        """A list argument: a JSON list, or a comma-separated string."""
        value = self.arguments.get(key) or ""
        return (
            [str(each) for each in value]
            if isinstance(value, list)
            else [each for each in str(value).split(",") if each]
        )

    def require(self, *scopes: str) -> None:
        """Raise `SlackFault` when the app has none of these scopes."""
        if not set(scopes) & self.api.scopes:
            raise SlackFault("missing_scope", needed=",".join(scopes), provided=",".join(sorted(self.api.scopes)))

    def channel(self, key: str = "channel") -> Channel:
        """
        Return the channel with this id, if it is visible to the app. Raises `SlackFault`.

        Names are not accepted. The app must be a member only of a private channel.
        """
        channel = self.workspace.channels.get(self.need(key))
        if channel is None or (channel.private and BOT_USER not in channel.members):
            raise SlackFault("channel_not_found")
        return channel

    def joined(self, key: str = "channel") -> Channel:
        """Return the channel with this id; the app must be a member. Raises `SlackFault`."""
        channel = self.channel(key)
        if BOT_USER not in channel.members:
            raise SlackFault("not_in_channel")
        return channel

    def readable(self, key: str = "channel") -> Channel:
        """Return a channel whose messages the app may read: as a member, with the history scope of its kind."""
        channel = self.channel(key)
        self.require({"channel": "channels", "group": "groups", "im": "im"}[channel.kind] + ":history")
        if BOT_USER not in channel.members:
            raise SlackFault("not_in_channel")
        return channel

    def postable(self, key: str = "channel") -> Channel:
        """Return a channel to post in. A person's id means the direct messages with that person."""
        name = self.need(key)
        if name in self.workspace.users and name != BOT_USER:
            return self.workspace.direct(name)
        channel = self.channel(key)
        if channel.archived:
            raise SlackFault("is_archived")
        if BOT_USER not in channel.members and "chat:write.public" not in self.api.scopes:
            raise SlackFault("not_in_channel")
        return channel

    def message(self, channel: Channel, key: str = "ts", error: str = "message_not_found") -> dict[str, Any]:
        """Return a message by its time stamp. An ephemeral message is not found."""
        message = channel.messages.get(self.need(key))
        if message is None or message.get("is_ephemeral"):
            raise SlackFault(error)
        return message

    def page(self, items: Sequence[Any], *, limit: int = 100, most: int = 1000) -> tuple[list[Any], str]:
        """Return one page of a list, and the next page's cursor (empty on the last). Raises `SlackFault`."""
        size = self.integer("limit", limit)
        if not 0 < size <= most:
            raise SlackFault("invalid_limit")
        cursor = self.text("cursor")
        if cursor and not cursor.removeprefix("next:").isdigit():
            raise SlackFault("invalid_cursor")
        start = int(cursor.removeprefix("next:") or 0)
        more = start + size < len(items)
        return list(items[start : start + size]), f"next:{start + size}" if more else ""


Function = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Method:
    """A registered method."""

    name: str
    function: Function
    scopes: tuple[str, ...]
    """The app needs one of these; empty for none."""
    per_minute: int
    token: str
    """`bot`, `app`, or `none`."""


METHODS: dict[str, Method] = {}


def method(name: str, *scopes: str, per_minute: int = TIER_4, token: str = "bot") -> Callable[[Function], Function]:  # noqa: S107 - a kind of token
    """Register a method with its scopes, of which one is needed, and its tier (docs.slack.dev: the method's page)."""

    def register(function: Function) -> Function:
        METHODS[name] = Method(name, function, scopes, per_minute, token)
        return function

    return register
