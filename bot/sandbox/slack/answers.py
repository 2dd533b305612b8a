"""
An app's messages in reply to people: in its acknowledgement, and later at a response_url.

Source: docs.slack.dev: interactivity/handling-user-interaction.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.slack.messages import check_message, content, from_app
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.triggers import ResponseUrl
from bot.sandbox.slack.workspace import BOT_USER, TEAM, Channel, Workspace


class Answers:
    """Issues response_urls and carries out the answers posted to them."""

    def __init__(self, workspace: Workspace, app_name: str) -> None:
        self._workspace = workspace
        self._app_name = app_name
        self.url = ""

    def address(self, kind: str, user: str, channel: Channel, source: str = "") -> str:
        """Return a new response_url, for a command (`commands`) or an interaction (`actions`)."""
        key = secrets.token_urlsafe(18)
        self._workspace.response_urls[key] = ResponseUrl(user, channel.id, self._workspace.clock.now(), source)
        return f"{self.url}/{kind}/{TEAM}/{len(self._workspace.response_urls)}/{key}"

    async def handle(self, request: web.Request) -> web.Response:
        """
        Handle a post to a response_url.

        That Slack refuses a used-up one is documented. The status and the error's text are not. Here it is 404, and
        400 for a message that Slack refuses.
        """
        known = self._workspace.response_urls.get(request.match_info["key"])
        if known is None:
            return _refused(SlackFault("invalid_url"), 404)
        try:
            known.spend(self._workspace.clock.now())
        except SlackFault as fault:
            return _refused(fault, 404)
        try:
            self.give(known, await _message(request))
        except SlackFault as fault:
            return _refused(fault, 400)
        return web.Response(text="ok")

    def give(self, to: ResponseUrl, answer: Mapping[str, Any]) -> None:
        """Carry out an answer: post, replace or delete a message. Raises `SlackFault`."""
        channel = self._workspace.channels[to.channel]
        source = channel.messages.get(to.source) if to.source else None
        if answer.get("delete_original"):
            if source is not None:
                self._workspace.delete(channel, source["ts"])
            return
        check_message(answer)
        if answer.get("replace_original") and source is not None and source["user"] == BOT_USER:
            self._replace(channel, source, answer)
        else:
            self._post(channel, to, answer)

    def _replace(self, channel: Channel, source: dict[str, Any], answer: Mapping[str, Any]) -> None:
        """Replace a message in place. Its visibility (for everybody or for one person) does not change."""
        for key in ("blocks", "attachments"):
            source.pop(key, None)
        source |= content(answer)
        self._workspace.changed_message(channel, source)

    def _post(self, channel: Channel, to: ResponseUrl, answer: Mapping[str, Any]) -> None:
        message = {**from_app(self._app_name), **content(answer)}
        everybody = answer.get("response_type") == "in_channel"
        if (thread := answer.get("thread_ts")) and thread in channel.messages:
            message |= {"thread_ts": thread, "parent_user_id": channel.messages[thread]["user"]}
        self._workspace.post(channel, message, only="" if everybody else to.user)


async def _message(request: web.Request) -> Mapping[str, Any]:
    """The message in a request: JSON, or a form whose `payload` is JSON. Raises `SlackFault`."""
    try:
        if request.content_type == "application/json":
            body = await request.json()
        else:
            body = json.loads(str((await request.post()).get("payload", "")))
    except ValueError as error:
        raise SlackFault("invalid_payload") from error
    if not isinstance(body, dict):
        raise SlackFault("invalid_payload")
    return body


def _refused(fault: SlackFault, status: int) -> web.Response:
    return web.json_response(fault.answer, status=status)
