"""
A run's message in the Slack channel: it shows the progress, then the verdict.

The thread below it is in `bot.render.thread`, messages to one person are in `bot.render.ephemeral`. Both are
re-exported here, so that callers need one import. Glyph and word together, never a colour or an emoji alone
(`docs.slack.dev: surfaces/app-design`, accessibility).
"""

from __future__ import annotations

from bot.render.ephemeral import (
    help_text,
    joined,
    refusal,
    runs_list,
    share_modal,
    targets_list,
    usage_error,
)
from bot.render.formatting import agents, counted, duration, escape, mrkdwn, person, some, title, verdict
from bot.render.grouping import findings, outcomes
from bot.render.post import Block, Post, actions, button, context, fit, section
from bot.render.progress import Progress
from bot.render.thread import files, safe_link, thread
from handlers.model import Report, Severity, Verdict

__all__ = [
    "closing",
    "failed",
    "files",
    "help_text",
    "joined",
    "opening",
    "refusal",
    "runs_list",
    "share",
    "share_modal",
    "targets_list",
    "thread",
    "usage_error",
]

_BAR = 12


def opening(progress: Progress) -> Post:
    """The run's message while the run is in progress."""
    heading = _title(progress.command, progress.target)
    asked = f", asked by {person(progress.requested_by)}" if progress.requested_by else ""
    state = _state(progress)
    lines = [f"*{heading}*{asked}", state]
    if progress.total:
        lines[1] = f"`{_bar(progress.done, progress.total)}` {progress.done}/{progress.total}  {state}"
    counts = counted(progress.counts)
    if counts:
        lines.append(counts)
    blocks: list[Block] = [section("\n".join(lines))]
    running = f"Still running: {mrkdwn(some(progress.running, 3), 400)}" if progress.running else ""
    if running:
        blocks.append(context(running))
    notes = [mrkdwn(note) for note in progress.notes[:5]]
    blocks += [context(f"ℹ️ {note}") for note in notes]
    blocks.append(context(f"Run `{mrkdwn(progress.run, 60)}`, {duration(progress.elapsed_s)} so far"))
    if not progress.cancelling:
        blocks.append(actions(_cancel(progress)))
    so_far = f"{progress.done} of {agents(progress.total)} answered" if progress.total else ""
    said = [f"{heading}{asked}: {state}", so_far, counts, running, *notes, f"Run {mrkdwn(progress.run, 60)}"]
    return fit(Post("opening", ". ".join(filter(None, said)) + ".", tuple(blocks)))


def closing(report: Report) -> Post:
    """The run's message after the run has ended: the verdict."""
    heading = f"{verdict(report.verdict)}: {_title(report.command, report.target)}"
    counts = counted(report.counts) or "No Agent was examined"
    why = "\n".join(_matters(report))
    people = [f"asked by {person(report.requested_by)}"] if report.requested_by else []
    people += [f"cancelled by {person(report.cancelled_by)}"] if report.cancelled_by else []
    small = ", ".join([f"Run `{mrkdwn(report.run, 60)}`", *people, f"took {duration(report.duration_s)}"])
    blocks = (
        section("\n".join(filter(None, [f"*{heading}*", counts, why]))),
        context(small),
        actions(button("Run again", "run.again", report.run), button("Share", "run.share", report.run)),
    )
    text = ". ".join(filter(None, [heading, counts, why.rstrip(".").replace("\n", " "), small.replace("`", "")])) + "."
    return fit(Post("opening", text, blocks))


def failed(progress: Progress, reason: str, remedy: str) -> Post:
    """The run's message when no Agent could be checked at all: why, and what to do."""
    heading = f"{verdict(Verdict.UNKNOWN)}: {_title(progress.command, progress.target)} could not be run"
    small = f"Run `{mrkdwn(progress.run, 60)}`"
    small += f", asked by {person(progress.requested_by)}" if progress.requested_by else ""
    why, todo = mrkdwn(reason, 1000), mrkdwn(remedy, 1000)
    blocks = (
        section("\n".join(filter(None, [f"*{heading}*", why]))),
        *([section(f"*What to do:* {todo}")] if todo else []),
        context(f"{small}, after {duration(progress.elapsed_s)}"),
        actions(button("Run again", "run.again", progress.run)),
    )
    said = [heading, why.rstrip("."), f"What to do: {todo.rstrip('.')}" if todo else "", small.replace("`", "")]
    return fit(Post("opening", ". ".join(filter(None, said)) + ".", blocks))


def share(report: Report, permalink: str, by: str) -> Post:
    """The message for another channel: the verdict, the worst outcomes and the link to the thread."""
    heading = f"{verdict(report.verdict)}: {_title(report.command, report.target)}"
    counts = counted(report.counts) or "No Agent was examined"
    bad = [group for group in outcomes(report) if group.verdict.badness > Verdict.PASS.badness]
    lines = [
        f"{verdict(group.verdict)}: {agents(len(group.agents))} ({mrkdwn(some(group.agents, 3))}). {mrkdwn(group.reason)}"
        for group in bad[:3]
    ]
    if len(bad) > 3:
        lines.append(f"and {len(bad) - 3} more outcomes, in the thread")
    url = safe_link(permalink)
    link = f"<{escape(url)}|Open the thread>" if url else mrkdwn(permalink)
    small = f"Shared by {person(by)}, run `{mrkdwn(report.run, 60)}`"
    blocks = (section("\n".join([f"*{heading}*", counts, _why(report), *lines])), section(link), context(small))
    text = ". ".join(filter(None, [heading, counts, _why(report).rstrip("."), *lines, small.replace("`", ""), link]))
    return fit(Post("share", text, blocks))


def _title(command: str, target: str) -> str:
    return mrkdwn(title(command, target), 150)


def _state(progress: Progress) -> str:
    if progress.cancelling:
        return "⏳ Cancelling: waiting for the Agents that are being asked to stop"
    if progress.total is None:
        return "⏳ Finding the Agents"
    return "⏳ Running"


def _bar(done: int, total: int) -> str:
    filled = min(_BAR, _BAR * done // total)
    return "█" * filled + "░" * (_BAR - filled)


def _cancel(progress: Progress) -> dict[str, object]:
    def words(text: str) -> dict[str, str]:
        return {"type": "plain_text", "text": text}

    confirm = {
        "title": words("Cancel this run?"),
        "text": words("Agents that have answered keep their results. The others are stopped and count as skipped."),
        "confirm": words("Cancel the run"),
        "deny": words("Keep running"),
        "style": "danger",
    }
    return button("Cancel", "run.cancel", progress.run, style="danger", confirm=confirm)


def _matters(report: Report) -> list[str]:
    """The reason of the verdict, or for `tc` with several findings the worst three of them."""
    groups = [group for group in findings(report) if group.finding.severity.badness > Severity.LOW.badness]
    if report.command != "tc" or report.reason or len(groups) < 2:
        return [_why(report)]
    return [
        f"{agents(len(group.agents))} ({mrkdwn(some(group.agents, 3))}): {mrkdwn(group.finding.summary)}"
        for group in groups[:3]
    ]


def _why(report: Report) -> str:
    """One line: the report's own reason, or that of the worst outcome."""
    if report.reason:
        return mrkdwn(report.reason)
    group = next(iter(outcomes(report)), None)
    if group is None:
        return ""
    if group.verdict is Verdict.PASS:
        return mrkdwn(f"{group.reason} {group.limits}".strip(), 1000)
    return f"{agents(len(group.agents))} ({mrkdwn(some(group.agents, 3))}): {mrkdwn(group.reason)}"
