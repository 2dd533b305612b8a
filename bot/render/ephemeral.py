"""Messages to one person: refusals, usage errors, help, lists. Each is `{"text", "blocks"}`. And the Share modal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.render.formatting import duration, escape, mrkdwn, one_line, plain, title, verdict
from bot.render.post import Block, Post, context, fit, section
from bot.render.thread import safe_link
from handlers.errors import UsageError
from handlers.model import Report

Payload = dict[str, Any]
_MOST_LINES = 30
_MENTION = re.compile(r"&lt;([@#][UWCGD][A-Z0-9]{2,20})&gt;")
"""Mentions of users and channels in the policy's reasons, after escaping."""


def refusal(text: str) -> Payload:
    """A refusal by the policy: why, and who is allowed."""
    words = "⛔ Not allowed: " + _MENTION.sub(r"<\1>", mrkdwn(text, 2000))
    return _payload(words, section(words))


def usage_error(error: UsageError, slash: str) -> Payload:
    """What was wrong with the line, and a line that would have worked. `slash` is the command as typed (`/csm`)."""
    said = f"⚠️ {mrkdwn(str(error), 2000)}"
    if not error.example:
        return _payload(said, section(said))
    example = mrkdwn(f"{slash} {error.example}")
    return _payload(f"{said} For example: {example}", section(said), section(f"For example: `{example}`"))


def notice(text: str) -> Payload:
    """An answer from plain text, which is escaped."""
    return _payload(mrkdwn(text, 2000), section(mrkdwn(text, 2000)))


def said(text: str) -> Payload:
    """An answer that is mrkdwn already, made of csm's own words, mentions and times."""
    return _payload(text, section(text))


def run_shown(lines: Sequence[str]) -> Payload:
    """One run in a few lines."""
    return _list("Run", lines, "Nothing is known of it.")


def help_text(lines: Sequence[str]) -> Payload:
    """The command language, one line per command."""
    return _list("What csm can do", lines, "No help is available.")


def targets_list(lines: Sequence[str]) -> Payload:
    """The targets that the person may use, one per line."""
    return _list("Targets", lines, "There is no target that you may use here.")


def runs_list(reports: Sequence[Report | str]) -> Payload:
    """Recent runs, newest first. A string is shown as it is (a run that has not ended)."""
    lines = [each if isinstance(each, str) else _run_line(each) for each in reports]
    return _list("Recent runs", lines, "There is no run yet.")


def joined(run: str, permalink: str, since: datetime | float) -> Payload:
    """
    Says that the same run is in progress, and that the person has joined it.

    `since`: when that run began, as a time or as seconds ago.
    """
    ago = f"{duration(since)} ago" if isinstance(since, int | float) else f"at {since:%H:%M:%S} UTC"
    url = safe_link(permalink)
    link = f" <{escape(url)}|Open its thread>" if url else ""
    name = mrkdwn(run, 60)
    said = f"ℹ️ The same command was started {ago} and is still on: you have joined run {name}.{link}"
    return _payload(said, section(said))


def share_modal(run: str, private_metadata: str) -> dict[str, Any]:
    """The modal that asks for a channel. Its callback id is `share.submit`; the channel is `values.channel.channel`."""
    if len(private_metadata) > 3000:
        raise ValueError("Slack accepts at most 3,000 characters of private_metadata")

    def words(text: str) -> dict[str, str]:
        return {"type": "plain_text", "text": text}

    select = {
        "type": "conversations_select",
        "action_id": "channel",
        "placeholder": words("Choose a channel"),
        "filter": {
            "include": ["public", "private"],
            "exclude_bot_users": True,
            "exclude_external_shared_channels": True,
        },
    }
    return {
        "type": "modal",
        "callback_id": "share.submit",
        "private_metadata": private_metadata,
        "title": words("Share this run"),
        "submit": words("Share"),
        "close": words("Cancel"),
        "blocks": [
            section(
                f"The verdict of run {mrkdwn(run, 60)}, its worst findings and a link to the thread are posted there."
            ),
            {"type": "input", "block_id": "channel", "label": words("Channel"), "element": select},
        ],
    }


def _run_line(report: Report) -> str:
    what = title(report.command, report.target)
    return f"{verdict(report.verdict)}: {what}, run {report.run}, {report.started:%Y-%m-%d %H:%M} UTC"


def _list(heading: str, lines: Sequence[str], none: str) -> Payload:
    # Keep each entry on one line: a name with a line break must not look like another entry.
    shown = [mrkdwn(one_line(plain(line, 400))) for line in lines[:_MOST_LINES]] or [none]
    blocks = [section("\n".join([f"*{heading}*", *shown[:15]]))]
    if shown[15:]:
        blocks.append(section("\n".join(shown[15:])))
    more = len(lines) - _MOST_LINES
    if more > 0:
        note = f"… and {more} more; `csm {heading.rsplit(maxsplit=1)[-1].lower()}` in a terminal shows all"
        blocks.append(context(note))
        shown.append(note.replace("`", ""))
    return _payload("\n".join([heading, *shown]), *blocks)


def _payload(text: str, *blocks: Block) -> Payload:
    post = fit(Post("ephemeral", text, blocks))
    return {"text": post.text, "blocks": list(post.blocks)}
