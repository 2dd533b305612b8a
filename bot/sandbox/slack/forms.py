"""Actions of people in modals: click, fill in, submit and close (docs.slack.dev: surfaces/modals)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack import modals, payloads
from bot.sandbox.slack.blocks import faults_of_view
from bot.sandbox.slack.delivery import NoAnswer
from bot.sandbox.slack.refusal import SlackFault, refuse
from bot.sandbox.slack.state import complaints, with_answers
from bot.sandbox.slack.stored import elements_of
from bot.sandbox.slack.user_actions import BadRequest, Hands, element_named, newest
from bot.sandbox.slack.workspace import User

NO_CONNECTION = "We had some trouble connecting. Try again?"


class Forms(Hands):
    """Actions in modals and on the home tab."""

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
        """Click or choose in an open modal or on the home tab. `state` holds the current values of the form."""
        who, view = self.any_view(user, view_id)
        block, element = element_named(view["blocks"], action_id, block_id)
        answers = {**view["state"]["values"], **newest(state, block, element, value)}
        view["state"] = {"values": with_answers(view["blocks"], answers)}
        if block["type"] == "input" and not block.get("dispatch_action"):
            return  # it is sent with the submission
        try:
            await self.act(who, payloads.in_view(view), block, element, value or {}, view=view["id"])
        except NoAnswer as failed:
            raise BadRequest(NO_CONNECTION) from failed

    async def submit(self, user: str, view_id: str, values: Mapping[str, Any]) -> Mapping[str, str]:
        """
        Submit a modal. Returns the errors to show in it, by block id.

        Without errors, the app's answer was carried out.
        """
        who, view = self.view_of(user, view_id)
        entered = with_answers(view["blocks"], {**view["state"]["values"], **values})
        if errors := complaints(view["blocks"], entered):
            return errors
        view["state"] = {"values": entered}
        trigger = self.workspace.triggers.make(who.id, view_id)
        payload = payloads.view_submission(who, view, trigger_id=trigger, response_urls=self._response_urls(who, view))
        try:
            answer = await self.delivery.interaction(payload, answers=True)
        except NoAnswer:
            return {_first_block(view): NO_CONNECTION}
        return self._after_submission(who, view, answer) if view_id in self.workspace.views else {}

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
        """Close a modal (the one below it is shown again), or with `clear` the whole stack."""
        who, view = self.view_of(user, view_id)
        stack = self.workspace.views_of(who.id)
        clear = clear or view["clear_on_close"]
        closed = stack[::-1] if clear else stack[stack.index(view) :][::-1]
        for each in closed:
            modals.closed(self.workspace, each)
        for each in closed:
            if each["notify_on_close"]:
                self.events.background(self._tell_closed(who, each, is_cleared=clear))

    async def _tell_closed(self, who: User, view: Mapping[str, Any], *, is_cleared: bool) -> None:
        try:
            await self.delivery.interaction(payloads.view_closed(who, view, is_cleared=is_cleared))
        except NoAnswer:
            return  # no caller waits for an answer

    def _close(self, view: dict[str, Any], *, whole_stack: bool) -> None:
        for each in self.workspace.views_of(view["_user"])[::-1] if whole_stack else [view]:
            modals.closed(self.workspace, each)

    def _response_urls(self, who: User, view: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The response_urls of chosen channels whose select asks for one (`response_url_enabled`)."""
        found = []
        for block, element in elements_of(view["blocks"]):
            value = view["state"]["values"].get(block["block_id"], {}).get(element["action_id"], {})
            chosen = value.get("selected_conversation") or value.get("selected_channel")
            channel = self.workspace.channels.get(chosen or "")
            if element.get("response_url_enabled") and channel is not None:
                url = self.answers.address("actions", who.id, channel)
                place = {"block_id": block["block_id"], "action_id": element["action_id"]}
                found.append({**place, "channel_id": channel.id, "response_url": url})
        return found


def _errors(view: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, str]:
    """The app's errors. Only input blocks can show one; Slack refuses errors for other blocks."""
    errors = answer.get("errors")
    inputs = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not errors.keys() <= inputs:
        raise SlackFault("invalid_arguments", response_metadata={"messages": ["[ERROR] errors must name input blocks"]})
    return {str(key): str(text) for key, text in errors.items()}


def _first_block(view: Mapping[str, Any]) -> str:
    inputs = [block["block_id"] for block in view["blocks"] if block["type"] == "input"]
    return next(iter(inputs), "")
