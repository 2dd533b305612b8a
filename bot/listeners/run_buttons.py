"""The buttons under a run: Cancel, Run again, Share. Every click is authorised at the time of the click."""

from __future__ import annotations

import asyncio
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from bot.listeners.context import ListenerContext, origin, run_id, tell
from bot.listeners.slash_command import cancel, joined
from bot.render import ephemeral, run_message
from bot.render.ephemeral import Payload
from bot.render.post import Post
from bot.slack.messenger import Undeliverable
from bot.storage.audit import Entry
from handlers.errors import UsageError

SHARE_PATIENCE_S = 2.0
"""Timeout for the post: the modal shows a refusal only if its submission is answered within three seconds."""


def register(app: AsyncApp, context: ListenerContext) -> None:
    """Register the listeners of the buttons and of the Share modal."""

    @app.action("run.cancel")
    async def run_cancel(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        user, channel = origin(body)
        try:
            answer: Payload | None = await cancel(context, action["value"], user, channel)
        except UsageError as error:
            answer = ephemeral.usage_error(error, context.slash)
        tell(context, body, answer)
        await ack()

    @app.action("run.again")
    async def run_again(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        tell(context, body, await _again(context, body, action["value"]))
        await ack()

    @app.action("run.share")
    async def run_share(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        user, channel = origin(body)
        record = await context.store.run(action["value"])
        if record is None or record.report is None:
            tell(context, body, ephemeral.notice("This run has no report to share."))
        elif record.request.target not in await context.visible_targets(user, channel):
            why = f"You may not see {record.request.target}, so you cannot share its runs."
            tell(context, body, await context.refuse(user, channel, "share", why, run=action["value"]))
        else:
            modal = ephemeral.share_modal(action["value"], f"{action['value']} {channel}")
            await client.views_open(trigger_id=body["trigger_id"], view=modal)
        await ack()

    @app.view("share.submit")
    async def share_submit(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        fault = await _share(context, body["user"]["id"], view)
        await (ack(response_action="errors", errors={"channel": fault}) if fault else ack())


async def _again(context: ListenerContext, body: dict[str, Any], run: str) -> Payload | None:
    user, channel = origin(body)
    record = await context.store.run(run)
    if record is None:
        return ephemeral.notice(f"{run} is not known any more; type the command again.")
    request = record.request
    decision = await context.decide(user, request.command, request.target, channel)
    if not decision.allowed:
        return await context.refuse(
            user, channel, f"again {request.command}", decision.reason, target=request.target, run=run
        )
    _, accepted = await context.accept(
        command=request.command,
        target=request.target,
        agent=request.agent,
        user=user,
        channel=channel,
        trigger_id=str(body["trigger_id"]),
        response_url=str(body.get("response_url") or ""),
    )
    return joined(accepted.joined)


async def _share(context: ListenerContext, user: str, view: dict[str, Any]) -> str:
    """Post a run's verdict into the chosen channel. Returns the error for the modal, or an empty string."""
    run, asked_in = view["private_metadata"].split(" ", 1)
    chosen = view["state"]["values"]["channel"]["channel"].get("selected_conversation") or ""
    record = await context.store.run(run)
    if not chosen:
        return "Choose a channel."
    if record is None or record.report is None:
        return "This run has no report any more."
    if record.request.target not in await context.visible_targets(user, asked_in):
        why = f"You may not see {record.request.target}."
        await context.refuse(user, chosen, "share", why, run=run)
        return why
    post = run_message.share(record.report, record.permalink, user)
    once = Post(f"share:{run_id(view['id'])}", post.text, post.blocks)
    try:
        await asyncio.wait_for(context.messenger.post_once(run, once, channel=chosen), SHARE_PATIENCE_S)
    except Undeliverable as error:
        return f"Slack does not let csm post there ({error.error}). Invite it to that channel first."
    except TimeoutError:
        return "Slack did not answer in time. Try again."
    context.remember(
        Entry("run.shared", user, chosen, run=run, command=record.request.command, target=record.request.target)
    )
    return ""
