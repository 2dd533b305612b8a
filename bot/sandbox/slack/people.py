"""What people do in the workspace, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.sandbox.slack import modals, payloads
from bot.sandbox.slack.answers import Answers
from bot.sandbox.slack.blocks import faults_of_options, faults_of_view
from bot.sandbox.slack.delivery import Delivery, NoAnswer
from bot.sandbox.slack.events import Events
from bot.sandbox.slack.manifest import App
from bot.sandbox.slack.refusal import SlackFault, refuse
from bot.sandbox.slack.state import complaints, first_values, with_answers
from bot.sandbox.slack.stored import elements_of, some_id
from bot.sandbox.slack.triggers import ResponseUrl
from bot.sandbox.slack.typed import as_rich_text, as_sent, escaped
from bot.sandbox.slack.web_api.reactions import react, take_back
from bot.sandbox.slack.workspace import Channel, User, Workspace, shown

NO_CONNECTION = "We had some trouble connecting. Try again?"


class BadRequest(Exception):
    """What a program asked the sandbox makes no sense. The message says why."""


class People:
    """The hands of everybody in the workspace."""

    def __init__(self, workspace: Workspace, app: App, delivery: Delivery, events: Events, answers: Answers) -> None:
        self.workspace = workspace
        self.app = app
        self._delivery = delivery
        self._events = events
        self._answers = answers

    @property
    def commands(self) -> Mapping[str, Mapping[str, Any]]:
        """The slash commands that can be typed."""
        return self.app.commands

    # -- typing -------------------------------------------------------------------------------------------------

    async def command(self, user: str, channel: str, text: str, thread_ts: str = "") -> None:
        """Type a line that begins with a slash. Slack's client sends none from a thread."""
        who, where = self.who(user), self.where(channel)
        word, _, rest = text.strip().partition(" ")
        if word not in self.commands:
            self._notice(who, where, f"{word} is not a valid command. In Slack it would not be sent.")
            return
        if thread_ts:
            self._notice(who, where, f"{word} is not supported in threads. Sorry!")
            return
        trigger, url = self.workspace.triggers.make(who.id), self._answers.address("commands", who.id, where)
        sent = as_sent(self.workspace, rest) if self.commands[word].get("should_escape") else escaped(rest)
        payload = payloads.command(who, where, word, sent, response_url=url, trigger_id=trigger)
        try:
            answer = await self._delivery.command(payload)
        except NoAnswer as failed:
            self._notice(who, where, f"{word} failed with the error {failed.error}")
            return
        self._answered(who, where, text, answer)

    def _answered(self, who: User, where: Channel, line: str, answer: Mapping[str, Any]) -> None:
        """In channel, the line that was typed is shown too; without text it is all that is shown."""
        if answer.get("response_type") == "in_channel":
            self.workspace.post(where, {"user": who.id, "text": escaped(line)})
        if not any(answer.get(key) for key in ("text", "blocks", "attachments")):
            return
        try:
            now = self.workspace.clock.now()
            self._answers.give(ResponseUrl(who.id, where.id, now), {**answer, "thread_ts": None})
        except SlackFault as fault:
            self._notice(who, where, f"Slack refuses the app's answer: {json.dumps(fault.answer)}")

    async def say(self, user: str, channel: str, text: str, thread_ts: str = "") -> dict[str, Any]:
        """Write a message, in a channel or in a thread."""
        who, where = self.who(user), self.where(channel)
        if who.id not in where.members:
            raise BadRequest(f"{who.name} is not in #{where.name}")
        message: dict[str, Any] = {
            "user": who.id,
            "client_msg_id": self.workspace.id("m-"),
            "text": as_sent(self.workspace, text),
        }
        message["blocks"] = [as_rich_text(self.workspace, text, some_id())]
        if thread_ts:
            if thread_ts not in where.messages:
                raise BadRequest(f"there is no message {thread_ts} in #{where.name}")
            message |= {"thread_ts": thread_ts, "parent_user_id": where.messages[thread_ts]["user"]}
        stored = self.workspace.post(where, message)
        self._events.message(where, stored)
        return shown(stored)

    # -- messages -----------------------------------------------------------------------------------------------

    async def click(
        self,
        user: str,
        channel: str,
        message_ts: str,
        action_id: str,
        value: Mapping[str, Any] | None = None,
        *,
        block_id: str = "",
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Click a button of a message, or choose in it (`value`: `selected_option` and the like)."""
        who, where, message = self._seen(user, channel, message_ts)
        block, element = _element(message.get("blocks") or [], action_id, block_id)
        entered = self._entered(who, message, _newest(state, block, element, value))
        url = self._answers.address("actions", who.id, where, message_ts)
        source = payloads.in_message(where, message, entered, url)
        try:
            await self._act(who, source, block, element, value or {})
        except NoAnswer:
            self._notice(who, where, "This app did not respond. Try again.")

    async def react(self, user: str, channel: str, message_ts: str, name: str, *, remove: bool = False) -> None:
        """Put an emoji on a message, or take it off."""
        who, where, message = self._seen(user, channel, message_ts)
        change, kind = (take_back, "reaction_removed") if remove else (react, "reaction_added")
        try:
            change(self.workspace, where, message, who.id, name)
        except SlackFault as fault:
            raise BadRequest(f"{who.name} cannot do that: {fault.error}") from fault
        self._events.reaction(kind, where, message, who.id, name)

    async def shortcut(self, user: str, callback_id: str, channel: str = "", message_ts: str = "") -> None:
        """Take a shortcut of the app, a global one or one of a message."""
        who, known = self.who(user), self.app.shortcuts.get(callback_id)
        if known is None or (known["type"] == "message") != bool(message_ts):
            raise BadRequest(f"there is no such shortcut {callback_id!r}")
        trigger, ts = self.workspace.triggers.make(who.id), self.workspace.ts()
        if not message_ts:
            payload = payloads.shortcut(who, callback_id, trigger_id=trigger, action_ts=ts)
        else:
            _, where, message = self._seen(user, channel, message_ts)
            url = self._answers.address("actions", who.id, where, message_ts)
            payload = payloads.message_action(
                who, where, message, callback_id=callback_id, trigger_id=trigger, action_ts=ts, response_url=url
            )
        try:
            await self._delivery.interaction(payload)
        except NoAnswer:
            place = self.where(channel) if channel else self.workspace.direct(who.id)
            self._notice(who, place, f"{known['name']} did not respond. Try again.")

    def _entered(self, who: User, message: Mapping[str, Any], newest: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in a message's selects and fields for this person, the newest choices included."""
        key = (who.id, message["ts"])
        known = self.workspace.entered.get(key, {})
        answers = {block: {**known.get(block, {}), **newest.get(block, {})} for block in {**known, **newest}}
        self.workspace.entered[key] = with_answers(message["blocks"], answers)
        return self.workspace.entered[key]

    # -- modals and the home tab --------------------------------------------------------------------------------

    async def view_action(
        self,
        user: str,
        view_id: str,
        action_id: str,
        value: Mapping[str, Any] | None = None,
        *,
        block_id: str = "",
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Click or choose in an open modal or on the home tab. `state` is what the form holds by now."""
        who, view = self._any_view(user, view_id)
        block, element = _element(view["blocks"], action_id, block_id)
        answers = {**view["state"]["values"], **_newest(state, block, element, value)}
        view["state"] = {"values": with_answers(view["blocks"], answers)}
        if block["type"] == "input" and not block.get("dispatch_action"):
            return  # it is sent when the form is
        try:
            await self._act(who, payloads.in_view(view), block, element, value or {}, view=view["id"])
        except NoAnswer as failed:
            raise BadRequest(NO_CONNECTION) from failed

    async def submit(self, user: str, view_id: str, values: Mapping[str, Any]) -> Mapping[str, str]:
        """Send a modal. Returns the errors to show in it, by block id; without any, it did what the app answered."""
        who, view = self.view_of(user, view_id)
        entered = with_answers(view["blocks"], {**view["state"]["values"], **values})
        if errors := complaints(view["blocks"], entered):
            return errors
        view["state"] = {"values": entered}
        trigger = self.workspace.triggers.make(who.id, view_id)
        payload = payloads.view_submission(who, view, trigger_id=trigger, response_urls=self._response_urls(who, view))
        try:
            answer = await self._delivery.interaction(payload, answers=True)
        except NoAnswer:
            return {_first_block(view): NO_CONNECTION}
        return self._after_submission(who, view, answer)

    def _after_submission(self, who: User, view: dict[str, Any], answer: Mapping[str, Any]) -> Mapping[str, str]:
        action = answer.get("response_action", "")
        try:
            if action == "errors":
                return _errors(view, answer)
            if action in {"update", "push"}:
                refuse(faults_of_view(answer.get("view")), "invalid_arguments")
            if action == "update":
                modals.updated(self.workspace, view, answer["view"])
            elif action == "push":
                modals.pushed(self.workspace, modals.made(self.workspace, answer["view"], who.id))
            else:
                self._close(view, whole_stack=action == "clear")
        except SlackFault as fault:
            return {_first_block(view): f"Slack refuses the app's answer: {json.dumps(fault.answer)}"}
        return {}

    async def close(self, user: str, view_id: str, *, clear: bool = False) -> None:
        """Close a modal (what lies under it shows again), or with `clear` the whole stack."""
        who, view = self.view_of(user, view_id)
        stack = self.workspace.views_of(who.id)
        clear = clear or view["clear_on_close"]
        closed = stack[::-1] if clear else stack[stack.index(view) :][::-1]
        for each in closed:
            modals.closed(self.workspace, each)
        for each in closed:
            if each["notify_on_close"]:
                self._events.background(self._tell_closed(who, each, is_cleared=clear))

    async def suggest(
        self, user: str, action_id: str, value: str, *, channel: str = "", message_ts: str = "", view_id: str = "", block_id: str = ""
    ) -> Mapping[str, Any]:  # fmt: skip
        """What an external select offers for what was typed: `options` or `option_groups`. Raises `BadRequest`."""
        if view_id:
            who, view = self._any_view(user, view_id)
            block, _ = _element(view["blocks"], action_id, block_id)
            source = payloads.in_view(view)
        else:
            who, where, message = self._seen(user, channel, message_ts)
            block, _ = _element(message.get("blocks") or [], action_id, block_id)
            source = payloads.in_message(where, message, {}, "")
        payload = payloads.block_suggestion(who, source, (block["block_id"], action_id), value)
        try:
            answer = await self._delivery.interaction(payload, answers=True)
        except NoAnswer as failed:
            raise BadRequest(f"the app offered nothing in time ({failed.error})") from failed
        if faults := faults_of_options(answer):
            raise BadRequest(f"Slack refuses what the app offers: {'; '.join(map(str, faults))}")
        return answer

    async def open_home(self, user: str, tab: str = "home") -> dict[str, Any] | None:
        """Look at the app's home tab. Returns what was published for this person so far."""
        who = self.who(user)
        if tab == "home" and not self.app.home_tab:
            raise BadRequest(f"{self.app.name} has no home tab")
        self._events.home_opened(who.id, self.workspace.direct(who.id), tab)
        home = self.workspace.homes.get(who.id)
        return shown(home) if home else None

    async def _tell_closed(self, who: User, view: Mapping[str, Any], *, is_cleared: bool) -> None:
        try:
            await self._delivery.interaction(payloads.view_closed(who, view, is_cleared=is_cleared))
        except NoAnswer:
            return  # nobody waits for it

    def _close(self, view: dict[str, Any], *, whole_stack: bool) -> None:
        for each in self.workspace.views_of(view["_user"])[::-1] if whole_stack else [view]:
            modals.closed(self.workspace, each)

    def _response_urls(self, who: User, view: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Only for a chosen channel whose select asks for it (`response_url_enabled`)."""
        found = []
        for block, element in elements_of(view["blocks"]):
            value = view["state"]["values"].get(block["block_id"], {}).get(element["action_id"], {})
            chosen = value.get("selected_conversation") or value.get("selected_channel")
            channel = self.workspace.channels.get(chosen or "")
            if element.get("response_url_enabled") and channel is not None:
                url = self._answers.address("actions", who.id, channel)
                place = {"block_id": block["block_id"], "action_id": element["action_id"]}
                found.append({**place, "channel_id": channel.id, "response_url": url})
        return found

    # -- what all of them need ----------------------------------------------------------------------------------

    async def _act(
        self, who: User, source: Mapping[str, Any], block: Mapping[str, Any], element: Mapping[str, Any],
        value: Mapping[str, Any], *, view: str = "",
    ) -> None:  # fmt: skip
        kept = ("type", "action_id", "value", "text", "style", "confirm", "placeholder", "initial_option")
        action = {key: element[key] for key in kept if key in element}
        action |= {"block_id": block["block_id"], **value, "action_ts": self.workspace.ts()}
        trigger = self.workspace.triggers.make(who.id, view)
        await self._delivery.interaction(payloads.block_actions(who, source, action, trigger_id=trigger))

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

    def _any_view(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        home = self.workspace.homes.get(self.who(user).id)
        return (self.who(user), home) if home and home["id"] == view_id else self.view_of(user, view_id)

    def _seen(self, user: str, channel: str, message_ts: str) -> tuple[User, Channel, dict[str, Any]]:
        who, where = self.who(user), self.where(channel)
        message = where.messages.get(message_ts)
        if message is None or message.get("_only", who.id) != who.id:
            raise BadRequest(f"{who.name} sees no message {message_ts} in #{where.name}")
        return who, where, message

    def _notice(self, who: User, where: Channel, text: str) -> None:
        self.workspace.tell("notice", channel=where.id, text=text, only=who.id)


def _element(
    blocks: Sequence[Mapping[str, Any]], action_id: str, block_id: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    for block, element in elements_of(blocks):
        if element["action_id"] == action_id and block_id in ("", block["block_id"]):
            return block, element
    raise BadRequest(f"there is nothing to click with the action_id {action_id!r}")


def _newest(
    state: Mapping[str, Any] | None,
    block: Mapping[str, Any],
    element: Mapping[str, Any],
    value: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a form holds by now, with what was just done in it."""
    known = dict(state or {})
    within = known.get(block["block_id"], {})
    return {**known, block["block_id"]: {**within, element["action_id"]: value or within.get(element["action_id"])}}


def _errors(view: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, str]:
    """The app's complaints; only input blocks can show one, and Slack refuses the others."""
    errors = answer.get("errors")
    inputs = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not errors.keys() <= inputs:
        raise SlackFault("invalid_arguments", response_metadata={"messages": ["[ERROR] errors must name input blocks"]})
    return {str(key): str(text) for key, text in errors.items()}


def _first_block(view: Mapping[str, Any]) -> str:
    inputs = [block["block_id"] for block in view["blocks"] if block["type"] == "input"]
    return next(iter(inputs), "")


__all__ = ["BadRequest", "People", "first_values"]
