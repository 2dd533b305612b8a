"""What people do in the workspace, and what Slack then sends to the app."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.socket_mode import SocketMode
from bot.sandbox.slack.web_api import SlackFault, check_message
from bot.sandbox.slack.workspace import APP, BOT_USER, TEAM, Channel, ResponseUrl, User, Workspace, shown


class BadRequest(Exception):
    """What a program asked the sandbox makes no sense. The message says why."""


class People:
    """The hands of everybody in the workspace."""

    def __init__(
        self, workspace: Workspace, socket_mode: SocketMode, commands: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.workspace = workspace
        self.socket_mode = socket_mode
        self.commands = commands
        self.copies = 1
        """How often each envelope is delivered."""
        self.url = ""

    async def command(self, user: str, channel: str, text: str) -> None:
        """Type a line that begins with a slash, as a user."""
        who, where = self.who(user), self.where(channel)
        word, _, rest = text.strip().partition(" ")
        if word not in self.commands:
            self._notice(who, where, f"{word} is not a valid command. In Slack it would not be sent.")
            return
        payload = {
            "token": "", "team_id": TEAM, "team_domain": "sandbox", "channel_id": where.id, "channel_name": where.name, "user_id": who.id,
            "user_name": who.name, "command": word, "text": self._escaped(rest, word), "api_app_id": APP, "is_enterprise_install": "false",
            "response_url": self._new_response_url(who, where), "trigger_id": self.workspace.trigger(who.id),
        }  # fmt: skip
        try:
            answer = await self.socket_mode.deliver("slash_commands", payload, answers=True, copies=self.copies)
        except TimeoutError:
            self._notice(who, where, f"{word} failed with the error operation_timeout")
            return
        self.respond(who, where, answer)

    async def click(
        self, user: str, channel: str, message_ts: str, action_id: str, value: Mapping[str, Any] | None = None
    ) -> None:
        """Click a button (or choose in a select) of a message, as a user."""
        who, where = self.who(user), self.where(channel)
        message = where.messages.get(message_ts)
        if message is None or message.get("_only", who.id) != who.id:
            raise BadRequest(f"{who.name} sees no message {message_ts} in #{where.name}")
        block, element = _element(message.get("blocks") or [], action_id)
        action = {
            key: element[key] for key in ("type", "action_id", "value", "text", "style", "confirm") if key in element
        }
        payload: dict[str, Any] = {
            "type": "block_actions", "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": TEAM}, "api_app_id": APP, "token": "",
            "container": {"type": "message", "message_ts": message_ts, "channel_id": where.id, "is_ephemeral": bool(message.get("is_ephemeral"))}
            | ({"thread_ts": message["thread_ts"]} if "thread_ts" in message else {}),
            "trigger_id": self.workspace.trigger(who.id), "team": {"id": TEAM, "domain": "sandbox"}, "enterprise": None,
            "is_enterprise_install": False, "channel": {"id": where.id, "name": where.name}, "state": {"values": {}},
            "response_url": self._new_response_url(who, where),
            "actions": [{**action, "block_id": block.get("block_id", ""), "action_ts": self.workspace.ts(), **(value or {})}],
        }  # fmt: skip
        if not message.get("is_ephemeral"):
            payload["message"] = shown(message)
        try:
            await self.socket_mode.deliver("interactive", payload, answers=False, copies=self.copies)
        except TimeoutError:
            self._notice(who, where, "This app did not respond. Try again.")

    async def submit(self, user: str, view_id: str, values: Mapping[str, Any]) -> Mapping[str, str]:
        """Submit a modal, as a user. Returns the errors to show in it, by block id; without any, it is closed."""
        who, view = self.view_of(user, view_id)
        submitted = {**shown(view), "state": {"values": values}}
        payload = {
            "type": "view_submission", "team": {"id": TEAM, "domain": "sandbox"}, "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": TEAM},
            "api_app_id": APP, "token": "", "trigger_id": self.workspace.trigger(who.id), "view": submitted, "response_urls": [],
            "is_enterprise_install": False, "enterprise": None,
        }  # fmt: skip
        try:
            answer = await self.socket_mode.deliver("interactive", payload, answers=True, copies=self.copies)
        except TimeoutError:
            return {next(iter(values), ""): "We had some trouble connecting. Try again?"}
        if answer.get("response_action") == "errors":
            return dict(answer["errors"])
        self.close(who, view_id)
        return {}

    def who(self, name: str) -> User:
        user = self.workspace.user(name)
        if user is None or user.is_bot:
            raise BadRequest(f"there is no person {name!r}; there are ana, sam and eve")
        return user

    def where(self, name: str) -> Channel:
        channel = self.workspace.channel(name)
        if channel is None:
            raise BadRequest(f"there is no channel {name!r}")
        return channel

    def view_of(self, user: str, view_id: str) -> tuple[User, dict[str, Any]]:
        who = self.who(user)
        view = self.workspace.views.get(view_id)
        if view is None or view["_user"] != who.id:
            raise BadRequest(f"{who.name} has no open view {view_id}")
        return who, view

    def close(self, who: User, view_id: str) -> None:
        del self.workspace.views[view_id]
        self.workspace.tell("view_closed", view={"id": view_id}, only=who.id)

    def _notice(self, who: User, where: Channel, text: str) -> None:
        self.workspace.tell("notice", channel=where.id, text=text, only=who.id)

    def _escaped(self, text: str, command: str) -> str:
        """As Slack sends what a person typed: entities, and (should_escape) mentions as ids."""
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        if not self.commands[command].get("should_escape"):
            return escaped
        names = {f"@{user.name}": f"<@{user.id}>" for user in self.workspace.users.values()}
        names |= {f"#{c.name}": f"<#{c.id}|{c.name}>" for c in self.workspace.channels.values()}
        names |= {f"@{handle}": f"<!subteam^{id_}|@{handle}>" for id_, (handle, _) in self.workspace.groups.items()}
        return " ".join(names.get(word, word) for word in escaped.split(" "))

    def _new_response_url(self, who: User, where: Channel) -> str:
        key = secrets.token_urlsafe(16)
        self.workspace.response_urls[key] = ResponseUrl(who.id, where.id, time.monotonic())
        return f"{self.url}/response/{key}"

    def respond(self, who: User, where: Channel, answer: Mapping[str, Any]) -> None:
        if not answer.get("text") and not answer.get("blocks"):
            return
        message = {"user": BOT_USER, **{key: answer[key] for key in ("text", "blocks", "thread_ts") if answer.get(key)}}
        try:
            check_message(message)
        except SlackFault as fault:
            self._notice(who, where, f"Slack refuses the app's answer: {json.dumps(fault.answer)}")
            return
        self.workspace.post(where, message, only="" if answer.get("response_type") == "in_channel" else who.id)


def _element(blocks: list[dict[str, Any]], action_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for block in blocks:
        for element in [*block.get("elements", []), block.get("accessory"), block.get("element")]:
            if element and element.get("action_id") == action_id:
                return block, element
    raise BadRequest(f"the message has nothing to click with the action_id {action_id!r}")
