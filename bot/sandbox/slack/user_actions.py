"""What every doing of a person needs: who it is, what they see, and the app that is told."""

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
    """What a program asked the sandbox makes no sense. The message says why."""


class Hands:
    """The parts that people's doings go through."""

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
        """Tell the app of a click or a choice; `source` is where, as `payloads` shapes it. Raises `NoAnswer`."""
        kept = ("type", "action_id", "value", "text", "style", "confirm", "placeholder", "initial_option")
        action = {key: element[key] for key in kept if key in element}
        action |= {"block_id": block["block_id"], **value, "action_ts": self.workspace.ts()}
        trigger = self.workspace.triggers.make(who.id, view)
        await self.delivery.interaction(payloads.block_actions(who, source, action, trigger_id=trigger))

    def who(self, name: str) -> User:
        """A person, by id or name. Raises `BadRequest`."""
        user = self.workspace.user(name)
        if user is None or user.is_bot:
            raise BadRequest(f"there is no person {name!r}; there are ana, sam and eve")
        return user

    def where(self, name: str) -> Channel:
        """A channel, by id or name. Raises `BadRequest`."""
        channel = self.workspace.channel(name)
        if channel is None:
            raise BadRequest(f"there is no channel {name!r}")
        return channel

    def view_of(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        """An open modal of a person. Raises `BadRequest`."""
        who = self.who(user)
        view = self.workspace.views.get(view_id)
        if view is None or view["_user"] != who.id:
            raise BadRequest(f"{who.name} has no open view {view_id}")
        return who, view

    def any_view(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        """An open modal of a person, or their home tab. Raises `BadRequest`."""
        home = self.workspace.homes.get(self.who(user).id)
        return (self.who(user), home) if home and home["id"] == view_id else self.view_of(user, view_id)

    def seen(self, user: str, channel: str, message_ts: str) -> tuple[User, Channel, dict[str, Any]]:
        """A message that a person sees. Raises `BadRequest`."""
        who, where = self.who(user), self.where(channel)
        message = where.messages.get(message_ts)
        if message is None or message.get("_only", who.id) != who.id:
            raise BadRequest(f"{who.name} sees no message {message_ts} in #{where.name}")
        return who, where, message

    def notice(self, who: User, where: Channel, text: str) -> None:
        """What Slack itself says to one person; it is no message, and nobody keeps it."""
        self.workspace.tell("notice", channel=where.id, text=text, only=who.id)


def element_named(
    blocks: Sequence[Mapping[str, Any]], action_id: str, block_id: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """
    What has this action_id, and the block that it is in. Raises `BadRequest`.

    The message may have been updated while the person was reading the button's question, and a block that is given
    no id gets a new one with each update; then it is the element of that action_id that was meant.
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
    """What a form holds by now, with what was just done in it."""
    known = dict(state or {})
    within = known.get(block["block_id"], {})
    return {**known, block["block_id"]: {**within, element["action_id"]: value or within.get(element["action_id"])}}
