"""Actions of people in the workspace, and their effects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack import payloads
from bot.sandbox.slack.blocks import faults_of_options
from bot.sandbox.slack.delivery import NoAnswer
from bot.sandbox.slack.forms import Forms
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.state import with_answers
from bot.sandbox.slack.stored import some_id
from bot.sandbox.slack.triggers import ResponseUrl
from bot.sandbox.slack.typed import as_rich_text, as_sent, escaped
from bot.sandbox.slack.user_actions import BadRequest, element_named, newest
from bot.sandbox.slack.web_api.reactions import react, take_back
from bot.sandbox.slack.workspace import Channel, User, shown

__all__ = ["BadRequest", "People"]


class People(Forms):
    """All actions of people in the workspace."""

    @property
    def commands(self) -> Mapping[str, Mapping[str, Any]]:
        """The app's slash commands."""
        return self.app.commands

    async def command(self, user: str, channel: str, text: str, thread_ts: str = "") -> None:
        """Type a line that begins with a slash. Slack's client sends no slash commands from a thread."""
        who, where = self.who(user), self.where(channel)
        word, _, rest = text.strip().partition(" ")
        if word not in self.commands:
            self.notice(who, where, f"{word} is not a valid command. In Slack it would not be sent.")
            return
        if thread_ts:
            self.notice(who, where, f"{word} is not supported in threads. Sorry!")
            return
        trigger, url = self.workspace.triggers.make(who.id), self.answers.address("commands", who.id, where)
        sent = as_sent(self.workspace, rest) if self.commands[word].get("should_escape") else escaped(rest)
        payload = payloads.command(who, where, word, sent, response_url=url, trigger_id=trigger)
        try:
            answer = await self.delivery.command(payload)
        except NoAnswer as failed:
            self.notice(who, where, f"{word} failed with the error {failed.error}")
            return
        self._answered(who, where, text, answer)

    def _answered(self, who: User, where: Channel, line: str, answer: Mapping[str, Any]) -> None:
        """
        Show the app's acknowledgement.

        With `in_channel`, the line that was typed is posted too. Without text, blocks and attachments, no answer is
        posted.
        """
        if answer.get("response_type") == "in_channel":
            self.workspace.post(where, {"user": who.id, "text": escaped(line)})
        if not any(answer.get(key) for key in ("text", "blocks", "attachments")):
            return
        try:
            now = self.workspace.clock.now()
            self.answers.give(ResponseUrl(who.id, where.id, now), {**answer, "thread_ts": None})
        except SlackFault as fault:
            self.notice(who, where, f"Slack refuses the app's answer: {json.dumps(fault.answer)}")

    async def say(self, user: str, channel: str, text: str, thread_ts: str = "") -> dict[str, Any]:
        """Post a message of a person, in a channel or in a thread."""
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
        self.events.message(where, stored)
        return shown(stored)

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
        """Click a button of a message, or choose in another element (`value`: `selected_option` and the like)."""
        who, where, message = self.seen(user, channel, message_ts)
        block, element = element_named(message.get("blocks") or [], action_id, block_id)
        entered = self._entered(who, message, newest(state, block, element, value))
        url = self.answers.address("actions", who.id, where, message_ts)
        source = payloads.in_message(where, message, entered, url)
        try:
            await self.act(who, source, block, element, value or {})
        except NoAnswer:
            self.notice(who, where, "This app did not respond. Try again.")

    async def react(self, user: str, channel: str, message_ts: str, name: str, *, remove: bool = False) -> None:
        """Add or remove a person's reaction on a message."""
        who, where, message = self.seen(user, channel, message_ts)
        change, kind = (take_back, "reaction_removed") if remove else (react, "reaction_added")
        try:
            change(self.workspace, where, message, who.id, name)
        except SlackFault as fault:
            raise BadRequest(f"{who.name} cannot do that: {fault.error}") from fault
        self.events.reaction(kind, where, message, who.id, name)

    async def shortcut(self, user: str, callback_id: str, channel: str = "", message_ts: str = "") -> None:
        """Use a shortcut of the app, global or on a message."""
        who, known = self.who(user), self.app.shortcuts.get(callback_id)
        if known is None or (known["type"] == "message") != bool(message_ts):
            raise BadRequest(f"there is no such shortcut {callback_id!r}")
        trigger, ts = self.workspace.triggers.make(who.id), self.workspace.ts()
        if not message_ts:
            payload = payloads.shortcut(who, callback_id, trigger_id=trigger, action_ts=ts)
        else:
            _, where, message = self.seen(user, channel, message_ts)
            url = self.answers.address("actions", who.id, where, message_ts)
            payload = payloads.message_action(
                who, where, message, callback_id=callback_id, trigger_id=trigger, action_ts=ts, response_url=url
            )
        try:
            await self.delivery.interaction(payload)
        except NoAnswer:
            place = self.where(channel) if channel else self.workspace.direct(who.id)
            self.notice(who, place, f"{known['name']} did not respond. Try again.")

    def _entered(self, who: User, message: Mapping[str, Any], newest: Mapping[str, Any]) -> dict[str, Any]:
        """Store and return the values of a message's elements for this person, with the newest included."""
        key = (who.id, message["ts"])
        known = self.workspace.entered.get(key, {})
        answers = {block: {**known.get(block, {}), **newest.get(block, {})} for block in {**known, **newest}}
        self.workspace.entered[key] = with_answers(message["blocks"], answers)
        return self.workspace.entered[key]

    async def suggest(
        self, user: str, action_id: str, value: str, *, channel: str = "", message_ts: str = "", view_id: str = "", block_id: str = ""
    ) -> Mapping[str, Any]:  # fmt: skip
        """The app's options in an external select for typed text: `options` or `option_groups`. Raises `BadRequest`."""
        if view_id:
            who, view = self.any_view(user, view_id)
            block, _ = element_named(view["blocks"], action_id, block_id)
            source = payloads.in_view(view)
        else:
            who, where, message = self.seen(user, channel, message_ts)
            block, _ = element_named(message.get("blocks") or [], action_id, block_id)
            source = payloads.in_message(where, message, {}, "")
        payload = payloads.block_suggestion(who, source, (block["block_id"], action_id), value)
        try:
            answer = await self.delivery.interaction(payload, answers=True)
        except NoAnswer as failed:
            raise BadRequest(f"the app offered nothing in time ({failed.error})") from failed
        if faults := faults_of_options(answer):
            raise BadRequest(f"Slack refuses what the app offers: {'; '.join(map(str, faults))}")
        return answer

    async def open_home(self, user: str, tab: str = "home") -> dict[str, Any] | None:
        """Open the app's home tab. Returns the view published for this person so far."""
        who = self.who(user)
        if tab == "home" and not self.app.home_tab:
            raise BadRequest(f"{self.app.name} has no home tab")
        self.events.home_opened(who.id, self.workspace.direct(who.id), tab)
        home = self.workspace.homes.get(who.id)
        return shown(home) if home else None
