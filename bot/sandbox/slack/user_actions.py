"""Base of people's actions: looks up the person, the channel and the message, and delivers actions to the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.sandbox.slack import payloads
from bot.sandbox.slack.answers import Answers
from bot.sandbox.slack.delivery import Delivery
from bot.sandbox.slack.events import Events
from bot.sandbox.slack.manifest import App
from bot.sandbox.slack.stored import elements_of
from bot.sandbox.slack.workspace import Channel, User, Workspace


class BadRequest(Exception):
    """A request to the sandbox that is invalid. The message is the reason."""


class Hands:
    """Base class of people's actions."""

    def __init__(self, workspace: Workspace, app: App, delivery: Delivery, events: Events, answers: Answers) -> None:
        self.workspace = workspace
        self.app = app
        self.delivery = delivery
        self.events = events
        self.answers = answers

    async def act(
        self, who: User, source: Mapping[str, Any], block: Mapping[str, Any], element: Mapping[str, Any],
        value: Mapping[str, Any], *, view: str = "",
    ) -> None:  # fmt: skip
        """Deliver a click or a choice to the app. `source` comes from `payloads`. Raises `NoAnswer`."""
        kept = ("type", "action_id", "value", "text", "style", "confirm", "placeholder", "initial_option")
        action = {key: element[key] for key in kept if key in element}
        action |= {"block_id": block["block_id"], **value, "action_ts": self.workspace.ts()}
        trigger = self.workspace.triggers.make(who.id, view)
        await self.delivery.interaction(payloads.block_actions(who, source, action, trigger_id=trigger))

    def who(self, name: str) -> User:
        """Return a person, by id or name. Raises `BadRequest`."""
        user = self.workspace.user(name)
        if user is None or user.is_bot:
            raise BadRequest(f"there is no person {name!r}; there are ana, sam and eve")
        return user

    def where(self, name: str) -> Channel:
        """Return a channel, by id or name. Raises `BadRequest`."""
        channel = self.workspace.channel(name)
        if channel is None:
            raise BadRequest(f"there is no channel {name!r}")
        return channel

    def view_of(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        """Return a person and one of their open modals. Raises `BadRequest`."""
        who = self.who(user)
        view = self.workspace.views.get(view_id)
        if view is None or view["_user"] != who.id:
            raise BadRequest(f"{who.name} has no open view {view_id}")
        return who, view

    def any_view(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        """Return a person and one of their open modals, or their home tab. Raises `BadRequest`."""
        home = self.workspace.homes.get(self.who(user).id)
        return (self.who(user), home) if home and home["id"] == view_id else self.view_of(user, view_id)

    def seen(self, user: str, channel: str, message_ts: str) -> tuple[User, Channel, dict[str, Any]]:
        """Return a person, a channel, and a message in it that the person can see. Raises `BadRequest`."""
        who, where = self.who(user), self.where(channel)
        message = where.messages.get(message_ts)
        if message is None or message.get("_only", who.id) != who.id:
            raise BadRequest(f"{who.name} sees no message {message_ts} in #{where.name}")
        return who, where, message

    def notice(self, who: User, where: Channel, text: str) -> None:
        """Show a notice of Slack itself to one person. It is not a message, and is not stored."""
        self.workspace.tell("notice", channel=where.id, text=text, only=who.id)


def element_named(
    blocks: Sequence[Mapping[str, Any]], action_id: str, block_id: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """
    Return the block and the element with this action_id. Raises `BadRequest`.

    The message may have been updated while the person was reading a button's confirm dialog, and a block without an
    id gets a new one with each update. So when no block has the id, the first element with the action_id is returned.
    """
    found = [(block, element) for block, element in elements_of(blocks) if element["action_id"] == action_id]
    if not found:
        raise BadRequest(f"there is nothing to click with the action_id {action_id!r}")
    return next((each for each in found if each[0]["block_id"] == block_id), found[0])


def newest(
    state: Mapping[str, Any] | None,
    block: Mapping[str, Any],
    element: Mapping[str, Any],
    value: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The values of a form, updated with the newest action."""
    known = dict(state or {})
    within = known.get(block["block_id"], {})
    return {**known, block["block_id"]: {**within, element["action_id"]: value or within.get(element["action_id"])}}
