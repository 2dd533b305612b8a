"""
Slack messages of a flare: the run's message during and after the run, the review card, and the card as the record.

The card shows what a person must know to decide: what would be uploaded, where to, for whom, what in it looks
sensitive, and until when it may be approved. After the decision the same card shows who decided, when, and the outcome.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.render import flare_text as text
from bot.render.formatting import duration, mrkdwn, one_line, person, plain, some, title, verdict
from bot.render.post import Block, File, Post, actions, button, context, fit, preformatted, section
from bot.render.progress import FlareProgress
from bot.render.thread import safe_link
from handlers.model import FlareReview, Report

MOST_FILES = 8
"""How many sensitive files the card names; the whole list is attached."""

PORTAL = "https://help.datadoghq.com/hc/requests/"
"""Address of a support case at Datadog, for those who may see it; the case id is appended."""

LEFT_BEHIND = frozenset({"flare.left_behind", "flare.may_be_left_behind"})
"""Codes of the findings that say where an archive is, or may be, left on the target."""

_GLYPHS: Mapping[str, tuple[str, str]] = {
    "uploaded": ("✅", "Uploaded"),
    "declined": ("🚫", "Declined"),
    "expired": ("⌛", "Expired, not uploaded"),
    "cancelled": ("🚫", "Cancelled, not uploaded"),
    "stopped": ("⚠️", "Not uploaded: csm was stopped"),
    "lost": ("⚠️", "Not uploaded: the process that held it is gone"),
    "ended_early": ("⚠️", "Not uploaded: the Agent's command ended early"),
    "not_built": ("❌", "No archive was built"),
    "not_shown": ("⚠️", "Not uploaded: the review could not be shown"),
    "not_uploaded": ("⚠️", "Approved, and not uploaded"),
    "failed": ("❌", "The upload failed"),
    "in_doubt": ("❔", "It is not known whether it was uploaded"),
}
"""Glyph and words for each ending of a flare."""

_PERHAPS_THERE = frozenset({"uploaded", "in_doubt"})
"""Endings after which Datadog may have an archive, so `Prepare again` shows a warning first."""


# -- the run's message --------------------------------------------------------------------------------------


def progress(moment: FlareProgress) -> Post:
    """The run's message while the archive is built, waits for approval or is uploaded."""
    heading = f"{mrkdwn(title('flare', moment.target), 200)} for {_case(moment.case)}"
    asked = f", asked by {person(moment.requested_by)}"
    state = f"⏳ {mrkdwn(moment.step)}"
    if moment.ending:
        state = "⏳ Ending it without an upload"
    elif moment.state == "waiting":
        state = f"✋ Waiting for approval until {clock(moment.expires_at)}. The review is in the thread."
    small = f"Run `{mrkdwn(moment.run, 60)}`, {duration(moment.elapsed_s)} so far"
    blocks: list[Block] = [section(f"*{heading}*{asked}\n{state}"), context(small)]
    if not moment.ending and moment.state != "uploading":
        blocks.append(actions(_cancel(moment.run)))
    return fit(Post("opening", f"{heading}{asked}: {state.rstrip('.')}. {small.replace('`', '')}.", tuple(blocks)))


def closing(report: Report, ending: str, decided_by: str, cancelled_by: str = "") -> Post:
    """The run's message after the run has ended: the outcome."""
    glyph, words = _GLYPHS.get(ending) or (verdict(report.verdict).split()[0], "Not uploaded")
    heading = f"{glyph} {words}: {mrkdwn(title('flare', report.target), 200)}"
    lines = [f"*{heading}*", *_outcome(report, ending)]
    people = [f"asked by {person(report.requested_by)}"]
    people += [f"{_decision(ending)} by {person(decided_by)}"] if decided_by else []
    people += [f"cancelled by {person(cancelled_by)}"] if cancelled_by else []
    small = ", ".join([f"Run `{mrkdwn(report.run, 60)}`", *people, f"took {duration(report.duration_s)}"])
    said = ". ".join(line.strip("*").rstrip(".") for line in [*lines, small.replace("`", "")])
    return fit(
        Post("opening", f"{said}.", (section("\n".join(lines)), context(small), actions(_again(report.run, ending))))
    )


# -- the card -------------------------------------------------------------------------------------------------


def card(
    run: str, where: str, requested_by: str, review: FlareReview, expires_at: float, *, buttons: bool = True
) -> Post:
    """The review card: what there is to decide about. Without buttons until it is known where the card was posted."""
    if not buttons:
        said = f"⏳ The review of the archive of {mrkdwn(where, 200)} is on its way"
        return fit(Post("review", f"{said}.", (*_alarm(review), section(said), *_facts(review, requested_by))))
    heading = f"✋ Look at this archive before it leaves {mrkdwn(where, 200)}"
    blocks: list[Block] = [*_alarm(review), section(f"*{heading}*")]
    blocks += [*_facts(review, requested_by), *_contents(review)]
    blocks += [section(f"⚠️ {mrkdwn(warning, 400)}") for warning in review.warnings[:5]]
    blocks += [preformatted(_command(review)), context(mrkdwn(_why(review), 400))]
    stands = f"Approving uploads this very archive, and no other. It may be approved until {clock(expires_at)}"
    blocks += [context(stands), actions(*_decisions(run, where, review))]
    spoken = [
        *(mrkdwn(sentence.rstrip(".")) for sentence in text.alarm(review)),
        heading,
        text.size(review),
        f"it goes to {_destination(review)}",
        f"asked by {person(requested_by)}",
    ]
    spoken += [_sensitive_line(review), *(mrkdwn(warning) for warning in review.warnings[:5]), stands]
    return fit(Post("review", ". ".join(spoken) + ".", tuple(blocks)))


def record(report: Report, review: FlareReview, *, ending: str, decided_by: str, decided_at: float | None) -> Post:
    """The review card after the decision: who decided, when, and the outcome."""
    glyph, words = _GLYPHS.get(ending, ("⚠️", "Not uploaded"))
    heading = f"{glyph} {words}"
    lines = [f"*{heading}*"]
    if decided_by and decided_at is not None:
        lines.append(f"{_decision(ending).capitalize()} by {person(decided_by)} at {clock(decided_at)}")
    lines += _outcome(report, ending)
    blocks: list[Block] = [section("\n".join(lines)), *_facts(review, report.requested_by)]
    blocks += [context(_sensitive_line(review))]
    if ending != "uploaded":
        blocks += _leftover(report)
    blocks.append(actions(_again(report.run, ending)))
    said = [*(line.strip("*") for line in lines), text.size(review), f"asked by {person(report.requested_by)}"]
    return fit(Post("review", ". ".join(line.rstrip(".") for line in said) + ".", tuple(blocks)))


def file_list(run: str, review: FlareReview) -> File:
    """A text file that lists all files in the archive, with what looks sensitive in each."""
    return File(f"csm-{run}-files.txt", "Files of the archive", text.file_list(review), "text")


def clock(at: float) -> str:
    """A time that Slack shows in each reader's own time zone."""
    there = datetime.fromtimestamp(at, UTC)
    return f"<!date^{int(at)}^{{time}}|{there:%H:%M} UTC>"


# -- helpers ---------------------------------------------------------------------------------------------------


def _alarm(review: FlareReview) -> Iterator[Block]:
    """The first lines of the card, if the archive does not go to Datadog or its destination is unknown."""
    for number, sentence in enumerate(text.alarm(review)):
        said = mrkdwn(sentence, 600)
        if host := mrkdwn(review.foreign_host, 300):
            said = said.replace(host, f"`{host}`")  # Slack makes no link of text in code format
        yield section(said if number else f"🚨 *{said}*")


def _facts(review: FlareReview, requested_by: str) -> Sequence[Block]:
    lines = [
        f"*Archive:* `{mrkdwn(review.name, 200)}`, {text.size(review)}",
        f"*SHA-256:* `{mrkdwn(review.sha256, 64)}`",
        f"*Goes to:* {_destination(review)}",
        *(
            [f"*By the Agent's settings:* {mrkdwn(review.destination_source, 300)}"]
            if review.destination_source
            else []
        ),
        f"*Asked by:* {person(requested_by)}",
    ]
    return [section("\n".join(lines))]


def _contents(review: FlareReview) -> Iterator[Block]:
    lines = [f"*{_sensitive_line(review)}*"]
    found = [file for file in review.files if file.sensitive]
    lines += [f"• `{mrkdwn(file.name, 120)}`: {mrkdwn(text.kinds(file.sensitive))}" for file in found[:MOST_FILES]]
    if len(found) > MOST_FILES:
        lines.append(f"and {len(found) - MOST_FILES} more files; all are in the list below")
    yield section("\n".join(lines))
    if review.unscanned:
        number = review.unscanned_count or len(review.unscanned)
        yield section(f"*Not looked into:* {text.files(number)} ({mrkdwn(some(review.unscanned, 3), 600)})")


def _sensitive_line(review: FlareReview) -> str:
    if not review.sensitive:
        return "Nothing in it looks like a secret, as far as it could be looked into"
    files = sum(1 for file in review.files if file.sensitive)
    return f"🔑 Looks sensitive: {mrkdwn(text.kinds(review.sensitive))}, in {text.files(files)}"


def _case(case: str) -> str:
    return f"case {mrkdwn(case, 20)}" if case else "a new case"


def _destination(review: FlareReview) -> str:
    host = f"`{mrkdwn(review.host, 300)}`"
    place = f"{host}, which is not Datadog's" if review.foreign_host else mrkdwn(review.place, 100)
    place += f" ({host})" if review.host and review.site else ""
    return f"{place}, {_case(review.case)}, as {mrkdwn(review.email, 320)}"


def _command(review: FlareReview) -> str:
    return plain(shlex.join(one_line(part, 500) for part in review.argv), 1000) or "(no command)"


def _why(review: FlareReview) -> str:
    inside = f"in container {review.container}" if review.container else "on the host"
    return f"Run {inside}" + (f": {review.why}" if review.why else "")


def _outcome(report: Report, ending: str) -> list[str]:
    """The lines on the outcome: the support case, if any, the reason in the Agent's or csm's words, and what to do."""
    result = next(iter(report.agents), None)
    flare = result.flare if result else None
    lines = []
    if flare and flare.outcome.case.isdigit() and not flare.review.foreign_host:
        link = safe_link(f"{PORTAL}{flare.outcome.case}")
        lines.append(f"It is in case <{link}|{flare.outcome.case}>.")
    if ending != "uploaded":
        lines.append(mrkdwn(report.reason, 1000))
    if ending == "uploaded" and not lines:
        lines.append(mrkdwn(report.reason, 500))
    findings = [f for f in (result.findings if result else ()) if f.code not in LEFT_BEHIND]
    advice = [f.remediation.summary for f in findings if f.remediation]
    lines += [mrkdwn(finding.summary, 500) for finding in findings if finding.code == "flare.no_copy"]
    lines += [f"*What to do:* {mrkdwn(each, 600)}" for each in ([report.remedy] if report.remedy else advice[:2])]
    return [line for line in lines if line]


def _leftover(report: Report) -> Iterator[Block]:
    """Where the archive still is on the target, and how to remove it."""
    findings = [finding for result in report.agents for finding in result.findings if finding.code in LEFT_BEHIND]
    for finding in findings[:1]:
        yield section(f"{mrkdwn(finding.summary, 500)} To remove it:")
        for step in finding.remediation.steps[:1] if finding.remediation else ():
            yield preformatted(plain(step.snippet, 1000))


def _decision(ending: str) -> str:
    return "declined" if ending == "declined" else "approved"


def _words(said: str, limit: int) -> dict[str, str]:
    return {"type": "plain_text", "text": one_line(said, limit)}


def _confirm(heading: str, said: str, yes: str, *, style: str = "primary") -> dict[str, Any]:
    return {
        "title": _words(heading, 100),
        "text": _words(said, 300),
        "confirm": _words(yes, 30),
        "deny": _words("Go back", 30),
        "style": style,
    }


def _decisions(run: str, where: str, review: FlareReview) -> Sequence[dict[str, Any]]:
    what = f"{text.in_bytes(review.size)} from {one_line(where, 60)} to {one_line(review.place, 80)}, {_plain_case(review)}"
    value = f"{run} {review.sha256}"
    approve = _confirm("Upload this archive?", f"{what}, as {one_line(review.email, 80)}.", "Upload")
    decline = _confirm(
        "Decline the upload?", f"{what}: nothing is uploaded, and the archive stays there.", "Decline", style="danger"
    )
    # For a host other than Datadog's, a modal follows instead, in which the person types the host.
    more = {} if review.foreign_host else {"confirm": approve}
    return [
        button("Approve", "flare.approve", value, style="danger" if review.foreign_host else "primary", **more),
        button("Decline", "flare.decline", value, style="danger", confirm=decline),
    ]


def _plain_case(review: FlareReview) -> str:
    return f"case {review.case}" if review.case else "a new case"


def _cancel(run: str) -> dict[str, Any]:
    confirm = _confirm("Cancel this flare?", "Nothing is uploaded.", "Cancel the flare", style="danger")
    return button("Cancel", "run.cancel", run, style="danger", confirm=confirm)


def _again(run: str, ending: str) -> dict[str, Any]:
    if ending not in _PERHAPS_THERE:
        return button("Prepare again", "flare.again", run)
    words = "An archive of this Agent may have been uploaded already. Another one is built, and asked about again."
    return button("Prepare again", "flare.again", run, confirm=_confirm("Prepare another one?", words, "Prepare"))


__all__ = ["card", "clock", "closing", "file_list", "progress", "record"]
