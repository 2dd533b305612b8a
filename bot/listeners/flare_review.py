"""
`/csm flare`, the modal that asks for missing arguments, and the buttons of the review card.

Every click is authorised at the time of the click, and takes effect only if the store accepts it: a card may show an
older state than the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.commands import parser
from bot.listeners.context import ListenerContext, origin, run_id, tell
from bot.render import ephemeral
from bot.render import flare_messages as cards
from bot.render import flare_modal as modal
from bot.render.ephemeral import Payload
from bot.runs.flare_outcome import WORDS, Ending
from bot.storage.approvals import Approval, State
from bot.storage.audit import Entry
from handlers.errors import CsmError, TargetError, UsageError
from handlers.flare import FlareRequest
from handlers.model import Platform

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FlareForm:
    """A flare request as far as it is known; kept in the modal while the user fills in the rest."""

    target: str
    agent: str
    case: str
    email: str
    channel: str
    response_url: str

    def to_json(self) -> str:
        """Serialise for `private_metadata`."""
        return json.dumps(self.__dict__)

    @classmethod
    def from_json(cls, text: str) -> FlareForm:
        """Parse from `private_metadata`."""
        return cls(**json.loads(text))


def register(app: AsyncApp, context: ListenerContext) -> None:
    """Register the listeners of the modals and of the card's buttons."""

    @app.action("flare.approve")
    async def approve(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        tell(context, body, await decide(context, body, "approve", action["value"]))
        await ack()

    @app.view("flare.confirm")
    async def confirm(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await confirmed(context, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())

    @app.action("flare.decline")
    async def decline(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        tell(context, body, await decide(context, body, "decline", action["value"]))
        await ack()

    @app.action("flare.again")
    async def again(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        tell(context, body, await prepare_again(context, body, action["value"]))
        await ack()

    @app.options("flare.agent")
    async def agents(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(**await _suggested(context, body))

    @app.view("flare.submit")
    async def submit(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _submitted(context, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())


async def ask(context: ListenerContext, body: Mapping[str, Any], line: parser.FlareCommand) -> Payload | None:
    """Accept the flare, or open a modal that asks for the arguments that the line does not give."""
    user, channel = str(body["user_id"]), str(body["channel_id"])
    decision = await context.decide(user, "flare", line.target, channel)
    if not decision.allowed:
        return await context.refuse(user, channel, "flare", decision.reason, target=line.target)
    email = line.email or _usable(await context.directory.email(user))
    asked = FlareForm(
        line.target, line.agent or "", line.case or "", email, channel, str(body.get("response_url") or "")
    )
    one_agent = line.agent or context.platforms[line.target] is Platform.HOST
    if one_agent and email:
        return await _accept(context, user, asked, invocation=str(body["trigger_id"]))
    # The trigger is valid for three seconds, and finding the Agents may take longer, so a loading view comes first.
    view = await context.messenger.open_view(str(body["trigger_id"]), modal.loading(asked.target, asked.to_json()))
    if not view:
        example = f"flare {line.target}/<agent> --email <address>"
        return ephemeral.usage_error(UsageError("Slack did not open the form in time.", example=example), context.slash)
    context.background_tasks.run(_fill(context, view, asked), name="fill the flare's modal")
    return None


async def _fill(context: ListenerContext, view: str, asked: FlareForm) -> None:
    """Replace the loading view by the form."""
    try:
        agents = await context.agent_choices.agents(asked.target)
        form = modal.form(asked.target, agents, asked.to_json(), agent=asked.agent, case=asked.case, email=asked.email)
    except TargetError as error:
        form = modal.failed(asked.target, str(error))
    await context.messenger.update_view(view, form)


async def _suggested(context: ListenerContext, body: Mapping[str, Any]) -> dict[str, Any]:
    """The Agents whose name contains what was typed; none of a target that the user may not use."""
    asked = FlareForm.from_json(body["view"]["private_metadata"])
    decision = await context.decide(str(body["user"]["id"]), "flare", asked.target, asked.channel)
    if not decision.allowed:
        return {"options": []}
    try:
        return modal.suggestions(await context.agent_choices.agents(asked.target), str(body.get("value") or ""))
    except TargetError:
        return {"options": []}


async def _submitted(context: ListenerContext, body: Mapping[str, Any], view: Mapping[str, Any]) -> dict[str, str]:
    """Accept the flare of a submitted form. Returns the errors of the form, by block."""
    asked = FlareForm.from_json(view["private_metadata"])
    values = modal.values(view["state"]["values"])
    user = str(body["user"]["id"])
    agent = values.agent or asked.agent
    errors = {block: fault for block, fault in _faults(agent, values.case, values.email).items() if fault}
    if errors:
        return errors
    decision = await context.decide(user, "flare", asked.target, asked.channel)
    if not decision.allowed:
        await context.refuse(user, asked.channel, "flare", decision.reason, target=asked.target)
        return {"email": decision.reason}
    filled = FlareForm(asked.target, agent, values.case, values.email, asked.channel, asked.response_url)
    await _accept(context, user, filled, invocation=str(view["id"]))
    return {}


def _faults(agent: str, case: str, email: str) -> Mapping[str, str]:
    faults = {"agent": "" if agent else "Choose an Agent."}
    # One field at a time, so that each error is shown at its own block.
    for block, given in (("case", {"case": case, "email": "a@b.example"}), ("email", {"email": email})):
        try:
            FlareRequest(**given)
        except UsageError as error:
            faults[block] = str(error)
    return faults


def _usable(email: str) -> str:
    """The email address of a Slack profile, or an empty string if an Agent would not accept it."""
    try:
        return FlareRequest(email=email).email
    except UsageError:
        return ""


async def _accept(context: ListenerContext, user: str, asked: FlareForm, *, invocation: str) -> Payload | None:
    await context.accept(
        command="flare",
        target=asked.target,
        agent=asked.agent,
        user=user,
        channel=asked.channel,
        trigger_id=invocation,
        response_url=asked.response_url,
        case_id=asked.case,
        email=asked.email,
    )
    return None


# -- the buttons ----------------------------------------------------------------------------------------------


async def decide(context: ListenerContext, body: Mapping[str, Any], decision: str, value: str) -> Payload | None:
    """Record the decision of a click, if it takes effect. Returns an ephemeral answer for the user who clicked."""
    return await _decide(context, body, _Decision(decision, *_run_and_hash(value)))


async def confirmed(context: ListenerContext, body: Mapping[str, Any], view: Mapping[str, Any]) -> dict[str, str]:
    """
    Record the approval of an archive that goes to a host that is not Datadog's, with the host that was typed.

    Returns the errors of what was typed, by block. Any other reason why it has no effect is posted in the thread.
    """
    asked = _Confirming(**json.loads(view["private_metadata"]))
    typed = modal.typed_host(view["state"]["values"])
    row = await context.runs.approvals.get(asked.run)
    if row is not None and row.review is not None and typed != row.review.foreign_host:
        return {"host": f"That is another host than {row.review.foreign_host}, so nothing was approved."}
    there = {**body, "channel": {"id": asked.channel}, "message": {"thread_ts": asked.thread_ts, "ts": ""}}
    tell(context, there, await _decide(context, there, _Decision("approve", asked.run, asked.sha256, typed)))
    return {}


@dataclass(frozen=True)
class _Decision:
    """A decision that a user wants to record."""

    decision: str
    """`approve` or `decline`."""
    run: str
    sha256: str
    host: str = ""
    """The host that was typed, where it is not Datadog's."""


@dataclass(frozen=True)
class _Confirming:
    """The archive that is being approved; kept in the modal while the host is typed."""

    run: str
    sha256: str
    channel: str
    thread_ts: str


async def _decide(context: ListenerContext, body: Mapping[str, Any], wanted: _Decision) -> Payload | None:
    """Check that the user may decide, that it is still possible, and whether a host must be typed; then record it."""
    try:
        row = await context.runs.approvals.get(wanted.run)
        if row is None:
            return ephemeral.notice(f"{wanted.run} is not known any more. Nothing is uploaded from here; ask again.")
        refusal = await _refusal(context, body, row, wanted)
    except CsmError as error:
        return ephemeral.notice(str(error))
    if refusal is not None:
        return refusal
    if row.state in {State.BUILDING, State.WAITING} and not await context.runs.holds(row.holder):
        await context.runs.give_up(row.run)
        return ephemeral.notice(WORDS[Ending.LOST])
    if _must_name_a_host(row, wanted):
        return await _ask_for_the_host(context, body, row, wanted)
    return await _record(context, body, row, wanted)


async def _refusal(
    context: ListenerContext, body: Mapping[str, Any], row: Approval, wanted: _Decision
) -> Payload | None:
    """Why the user may not decide this, with an entry in the audit; `None` when they may."""
    user, channel = origin(body)
    may = context.policy.may_approve if wanted.decision == "approve" else context.policy.may_decline
    allowed = may(await context.directory.person(user), row.requested_by)
    if allowed.allowed:
        return None
    refused = Entry("approval.refused", user, channel, run=row.run, command="flare", outcome="refused")
    await context.store.note(replace(refused, detail=f"{wanted.decision}: {allowed.reason}"))
    return ephemeral.refusal(allowed.reason)


async def _record(
    context: ListenerContext, body: Mapping[str, Any], row: Approval, wanted: _Decision
) -> Payload | None:
    """Record the decision in the store. Returns why it had no effect, or `None`."""
    user, channel = origin(body)
    if await context.runs.decide(
        row.run, wanted.decision, sha256=wanted.sha256, by=user, where=channel, confirmed_host=wanted.host
    ):
        return None  # the card will show it to everybody
    context.background_tasks.run(context.runs.show_record(row.run), name=f"show the record of {row.run}")
    again = await context.runs.approvals.get(row.run)
    return ephemeral.said(_too_late(again or row, wanted.sha256))


def _must_name_a_host(row: Approval, wanted: _Decision) -> bool:
    """Whether this approves the waiting archive without naming the host, not Datadog's, to which the archive goes."""
    waits = row.state is State.WAITING and row.review is not None and row.review.sha256 == wanted.sha256
    foreign = row.review.foreign_host if row.review is not None else ""
    return waits and wanted.decision == "approve" and wanted.host != foreign


async def _ask_for_the_host(
    context: ListenerContext, body: Mapping[str, Any], row: Approval, wanted: _Decision
) -> Payload | None:
    assert row.review is not None, "it was looked at"
    _, channel = origin(body)
    thread_ts = str((body.get("message") or {}).get("thread_ts") or "")
    asked = _Confirming(wanted.run, wanted.sha256, channel, thread_ts)
    form = modal.confirm_host(row.review, json.dumps(asked.__dict__))
    if await context.messenger.open_view(str(body.get("trigger_id") or ""), form):
        return None
    return ephemeral.notice(
        "Slack did not open the form in which the host is typed, so nothing was decided. Click again."
    )


def _run_and_hash(value: str) -> tuple[str, str]:
    run, _, sha256 = value.partition(" ")
    return run, sha256


def _too_late(row: Approval, sha256: str) -> str:
    """Why a click had no effect."""
    if row.review is not None and row.review.sha256 != sha256:
        return "This button was for another archive than the one that is waiting. Nothing was decided."
    if row.decided_by:
        words = "approved" if row.decision == "approve" else "declined"
        when = f" at {cards.clock(row.decided_at)}" if row.decided_at else ""
        return f"<@{row.decided_by}> {words} it{when} already; your click changed nothing."
    if row.state is State.ENDED:
        return f"{WORDS[Ending(row.ending)]} Your click changed nothing."
    return f"{WORDS[Ending.EXPIRED]} Your click changed nothing."


async def prepare_again(context: ListenerContext, body: Mapping[str, Any], run: str) -> Payload | None:
    """Accept another run for the same Agent and case; one per card, however often it is clicked."""
    user, channel = origin(body)
    record = await context.store.run(run)
    if record is None:
        return ephemeral.notice(f"{run} is not known any more; type the command again.")
    request = record.request
    decision = await context.decide(user, "flare", request.target, channel)
    if not decision.allowed:
        return await context.refuse(user, channel, "again flare", decision.reason, target=request.target, run=run)
    new = run_id(f"again {run}")
    if await context.store.run(new):
        return ephemeral.notice(f"It was prepared again already, as {new}.")
    asked = FlareForm(
        request.target, request.agent, request.case_id, request.email, channel, str(body.get("response_url") or "")
    )
    return await _accept(context, user, asked, invocation=f"again {run}")
