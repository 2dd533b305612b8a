"""Listener context: what every listener needs to identify users, authorise them, accept runs and answer."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.access.directory import SlackDirectory
from bot.access.policy import Decision, Policy
from bot.commands import parser
from bot.listeners.agent_choices import AgentChoices
from bot.render import ephemeral
from bot.render.ephemeral import Payload
from bot.render.post import Post
from bot.runs.engine import RunEngine
from bot.runtime import metrics
from bot.runtime.background_tasks import BackgroundTasks
from bot.slack.messenger import Messenger
from bot.storage.audit import Entry
from bot.storage.store import Accepted, RunRequest, Store
from handlers.model import Platform

RUN_COMMANDS = ("selftest", "flare", "tc")
"""Commands that start a run."""


@dataclass(frozen=True)
class ListenerContext:
    """The services that the listeners use."""

    runs: RunEngine
    store: Store
    policy: Policy
    directory: SlackDirectory
    messenger: Messenger
    background_tasks: BackgroundTasks
    targets: Mapping[str, str]
    """Description of each target, by name: `Kubernetes, context prod-a`."""
    slash: str
    """The slash command: `/csm`."""
    platforms: Mapping[str, Platform]
    agent_choices: AgentChoices

    async def decide(self, user: str, command: str, target: str, channel: str) -> Decision:
        """The policy's decision at this moment."""
        return self.policy.decide(await self.directory.person(user), command, target, channel)

    async def visible_targets(self, user: str, channel: str) -> Collection[str]:
        """The targets on which the user may do at least something in this channel."""
        return self.policy.visible_targets(await self.directory.person(user), channel, list(self.targets))

    async def refuse(self, user: str, channel: str, what: str, why: str, *, target: str = "", run: str = "") -> Payload:
        """Refuse a command. The refusal is in the audit before the user reads it."""
        entry = Entry(
            "command.refused", user, channel, run=run, command=what, target=target, outcome="refused", detail=why
        )
        metrics.COMMANDS.labels(_word(entry), "refused").inc()
        await self.store.note(entry)
        return ephemeral.refusal(why)

    def remember(self, entry: Entry) -> None:
        """Write an audit entry in the background, for harmless events that need not be audited before the answer."""
        metrics.COMMANDS.labels(_word(entry), entry.event.partition(".")[2]).inc()
        self.background_tasks.run(self.store.note(entry), name=f"audit {entry.event}")

    async def accept(
        self,
        *,
        command: str,
        target: str,
        agent: str,
        user: str,
        channel: str,
        trigger_id: str,
        response_url: str,
        case_id: str = "",
        email: str = "",
    ) -> tuple[RunRequest, Accepted]:
        """Accept a run durably. Its id comes from Slack's trigger id, so a repeated delivery is the same run."""
        request = RunRequest(
            id=run_id(trigger_id),
            command=command,
            target=target,
            agent=agent,
            requested_by=user,
            source="slack",
            accepted_at=time.time(),
            channel=channel,
            response_url=response_url,
            case_id=case_id,
            email=email,
        )
        accepted = await self.runs.accept(request)
        outcome = "accepted" if accepted.fresh else "joined" if accepted.joined else "repeated"
        metrics.COMMANDS.labels(command, outcome).inc()
        return request, accepted


def _word(entry: Entry) -> str:
    """The command's name as a metric label. What users type must not create new labels."""
    word = entry.command.partition(" ")[0]
    return word if word in parser.USAGE or word in {"again", "share"} else "other"


def run_id(invocation: str) -> str:
    """The run id of an invocation, always the same: `r-` and ten characters that are easy to read out."""
    digest = base64.b32encode(hashlib.sha256(invocation.encode()).digest()).decode().lower()
    return f"r-{digest[:10]}"


def origin(body: Mapping[str, Any]) -> tuple[str, str]:
    """The user who clicked, and the channel."""
    channel = (body.get("channel") or {}).get("id") or (body.get("container") or {}).get("channel_id") or ""
    return str(body["user"]["id"]), str(channel)


def tell(context: ListenerContext, body: Mapping[str, Any], answer: Payload | None) -> None:
    """Post an ephemeral answer to the user who clicked, where they clicked, in the background to not delay the ack."""
    if answer is None:
        return
    user, channel = origin(body)
    post = Post("answer", answer["text"], tuple(answer["blocks"]))
    context.background_tasks.run(context.messenger.tell(user, channel, post, thread_ts=_thread(body)), name="tell")


def _thread(body: Mapping[str, Any]) -> str | None:
    """The thread of a reply that was clicked. `None` for a first message: it may have been clicked in the channel."""
    message = body.get("message") or {}
    thread = message.get("thread_ts")
    return str(thread) if thread and thread != message.get("ts") else None
