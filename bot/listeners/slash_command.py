"""The slash command: parses a line of the command language and executes it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.commands import parser
from bot.listeners import flare_review
from bot.listeners.context import RUN_COMMANDS, ListenerContext
from bot.render import ephemeral
from bot.render.ephemeral import Payload
from bot.storage.audit import Entry
from bot.storage.store import RunRecord
from handlers.errors import CsmError, UsageError

MAKING_RUNS = (parser.CheckCommand, parser.FlareCommand, parser.CancelCommand)
"""Commands that have their own audit events, so that no `command.answered` is written for them."""

AVAILABLE = (*RUN_COMMANDS, "targets", "runs", "show", "cancel", "help")


def register(app: AsyncApp, context: ListenerContext) -> None:
    """Register the slash command, and an error answer for any other slash command."""

    @app.command(context.slash)
    async def csm(ack: AsyncAck, command: dict[str, Any]) -> None:
        answer = await answer_to(context, command)
        await (ack(**answer) if answer else ack())

    @app.command(re.compile(".*"))
    async def other(ack: AsyncAck, command: dict[str, Any]) -> None:
        await ack(f"csm does not know {command['command']}; it answers to {context.slash}.")


async def answer_to(context: ListenerContext, body: Mapping[str, Any]) -> Payload | None:
    """
    Execute a line. Returns the ephemeral answer for its author.

    `None` when the answer is the run message.
    """
    user, channel, line = str(body["user_id"]), str(body["channel_id"]), str(body.get("text") or "")
    try:
        command = parser.parse(line, known_targets=context.targets, shown=await context.visible_targets(user, channel))
        answer = await _do(context, command, body, user, channel)
    except UsageError as error:
        context.remember(Entry("command.faulty", user, channel, command=line, outcome="nothing", detail=str(error)))
        return ephemeral.usage_error(error, context.slash)
    except CsmError as error:
        context.remember(Entry("command.failed", user, channel, command=line, outcome="nothing", detail=str(error)))
        return ephemeral.notice(str(error))
    if not isinstance(command, MAKING_RUNS):
        context.remember(Entry("command.answered", user, channel, command=str(command)))
    return answer


async def _do(  # noqa: PLR0911 - one return per command
    context: ListenerContext, command: parser.ParsedCommand, body: Mapping[str, Any], user: str, channel: str
) -> Payload | None:
    match command:
        case parser.CheckCommand(command=name, target=target, agent=agent):
            return await _run(context, body, command=name, target=target, agent=agent or "")
        case parser.FlareCommand():
            return await flare_review.ask(context, body, command)
        case parser.TargetsCommand():
            return ephemeral.targets_list(
                [f"{name}: {context.targets[name]}" for name in await context.visible_targets(user, channel)]
            )
        case parser.RunsCommand(target=target):
            return await _runs(context, target, user, channel)
        case parser.ShowCommand(run=run):
            return await _with_run(context, run, user, channel, _shown)
        case parser.CancelCommand(run=run):
            return await cancel(context, run, user, channel)
        case parser.HelpCommand(topic=topic):
            return ephemeral.help_text([f"{context.slash} {line}" for line in parser.usage(topic, available=AVAILABLE)])


async def _run(
    context: ListenerContext, body: Mapping[str, Any], *, command: str, target: str, agent: str
) -> Payload | None:
    user, channel = str(body["user_id"]), str(body["channel_id"])
    decision = await context.decide(user, command, target, channel)
    if not decision.allowed:
        return await context.refuse(user, channel, command, decision.reason, target=target)
    _, accepted = await context.accept(
        command=command,
        target=target,
        agent=agent,
        user=user,
        channel=channel,
        trigger_id=str(body["trigger_id"]),
        response_url=str(body.get("response_url") or ""),
    )
    return joined(accepted.joined)


def joined(record: RunRecord | None) -> Payload | None:
    """The answer to a command that joined a run in progress; `None` if it did not."""
    if record is None:
        return None
    ago_s = max(0.0, time.time() - record.request.accepted_at)
    return ephemeral.joined(record.request.id, record.permalink, ago_s)


async def _runs(context: ListenerContext, target: str | None, user: str, channel: str) -> Payload:
    visible = set(await context.visible_targets(user, channel))
    records = [r for r in await context.store.recent_runs(target=target) if r.request.target in visible]
    return ephemeral.runs_list([_line(record) for record in records])


def _line(record: RunRecord) -> str:
    state = record.verdict or ("cancelling" if record.cancelled_by else record.state)
    return f"{record.request.id}: {record.request.command} {record.request.where}, {state}"


async def _with_run(
    context: ListenerContext, run: str, user: str, channel: str, use: Callable[[RunRecord], Payload]
) -> Payload:
    record = await context.store.run(run)
    if record is None or record.request.target not in await context.visible_targets(user, channel):
        raise UsageError(f"There is no run {run} that you may see here.", example="runs")
    return use(record)


def _shown(record: RunRecord) -> Payload:
    lines = [_line(record)]
    if record.report:
        lines += [f"{verdict}: {number}" for verdict, number in record.report.counts.items()]
        lines += [record.report.reason] if record.report.reason else []
    if record.permalink:
        lines.append(record.permalink)
    return ephemeral.run_shown(lines)


async def cancel(context: ListenerContext, run: str, user: str, channel: str) -> Payload:
    """Cancel a run, if the user may. Raises `UsageError` for an unknown run."""
    record = await context.store.run(run)
    person = await context.directory.person(user)
    if record is None:
        raise UsageError(f"There is no run {run}.", example="runs")
    request = record.request
    decision = context.policy.may_cancel(person, request.requested_by, request.command, request.target, channel)
    if not decision.allowed:
        return await context.refuse(user, channel, "cancel", decision.reason, target=request.target, run=run)
    if await context.runs.cancel(run, user, channel):
        return ephemeral.notice(f"{run} is being cancelled; what was found so far is kept.")
    why = "has ended already" if not record.on else "is being cancelled already"
    return ephemeral.notice(f"{run} {why}.")
