"""
The thread below a finished run: what failed and where, every finding with what to do, the commands, the files.

The thread has at most seven posts for any report. The rest is in the files, and the posts say so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bot.render.formatting import agents, cut, mrkdwn, one_line, plain, some, title, verdict
from bot.render.grouping import ExecutedCommand, FindingGroup, commands, findings, outcomes, tables
from bot.render.post import Block, File, Post, context, fit, header, preformatted, rich_line, section
from bot.render.tables import heading, lines
from bot.render.text_report import to_text
from handlers.model import Report, Step, Verdict
from handlers.tc.document import unpacked

MOST_FINDINGS = 4
MOST_TABLES = 6
_MOST_GROUPS = 12
_MOST_STEPS = 5
_MOST_COMMANDS = 6
_MOST_EVIDENCE = 1500
_SNIPPET_BYTES = 1_000_000
_PLATFORMS = {
    "helm": "Helm chart",
    "operator": "Datadog Operator",
    "kubernetes": "Kubernetes manifest",
    "docker": "Docker",
    "host": "host",
}


def thread(report: Report, *, events_url: str | None = None) -> Sequence[Post]:
    """Return the posts in order: `summary`, `tables`, up to four `finding:<code>`, `commands`."""
    groups = findings(report)
    shown = groups[:MOST_FINDINGS]
    posts = [_summary(report, len(groups) - len(shown)), *_tables(report), *map(_finding, shown)]
    last = _commands(report, events_url)
    return [fit(post) for post in ([*posts, last] if last else posts)]


def files(report: Report) -> Sequence[File]:
    """Return the whole report as JSON for programs and as text for people, and the evidence files."""
    name = f"csm-{_safe(report.run)}"
    what = title(report.command, report.target)
    return [
        _file(f"{name}.json", f"{what}: report (JSON)", report.to_json(), "json"),
        _file(f"{name}.txt", f"{what}: report (text)", to_text(report), "text"),
        *evidence_files(report),
    ]


def evidence_files(report: Report) -> Sequence[File]:
    """Return the evidence of the verdicts: one document per outcome. `csm tc --evidence` can judge it again."""
    what = title(report.command, report.target)
    return [
        _file(
            f"csm-{_safe(report.run)}-{_safe(result.agent)}.evidence.json",
            f"{what}: evidence of {one_line(result.agent, 80)}",
            document,
            "json",
        )
        for result in report.agents
        if (document := unpacked(result.document))
    ]


def safe_link(url: str) -> str:
    """Return the URL with all that could end a link encoded; empty when it is not http(s) or is too long."""
    if len(url) > 2500 or not re.match(r"https?://[A-Za-z0-9]", url):
        return ""
    found = quote(url, safe=":/?#[]@!$&'()*+,;=%~")
    return found if len(found) <= 3000 else ""


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:80]


def _file(name: str, what: str, content: str, kind: str) -> File:
    fits = len(content.encode("utf-8", "replace")) <= _SNIPPET_BYTES
    return File(name=name, title=what, content=content, snippet_type=kind if fits else "")


def _summary(report: Report, hidden: int) -> Post:
    groups = outcomes(report)
    lines = []
    for group in groups[:_MOST_GROUPS]:
        names = (
            f" ({mrkdwn(some(group.agents), 500)})"
            if group.verdict is not Verdict.PASS or len(group.agents) < 4
            else ""
        )
        reason = f". {mrkdwn(group.reason)}" if group.reason else ""
        reason += f" {mrkdwn(group.limits)}" if group.limits else ""
        lines.append(
            f"{verdict(group.verdict).split()[0]} {agents(len(group.agents))}: {group.verdict.value}{names}{reason}"
        )
    if len(groups) > _MOST_GROUPS:
        rest = sum(len(group.agents) for group in groups[_MOST_GROUPS:])
        lines.append(
            f"… and {agents(rest)} with {len(groups) - _MOST_GROUPS} other outcomes, in the files of this thread"
        )
    if not groups:
        lines.append(f"No Agent was examined. {mrkdwn(report.reason)}".strip())
    small = "The whole report is in the files of this thread."
    if hidden > 0:
        small = f"{hidden} more findings are not shown here. {small}"
    text = "\n".join(["By outcome, worst first:", *lines, small])
    return Post("summary", text, (*[section(line) for line in lines], context(small)))


def _tables(report: Report) -> Sequence[Post]:
    """The devices that were checked, with equal ones grouped."""
    groups = tables(report)
    if not groups:
        return []
    blocks: list[Block] = [section("*Devices, alike together, worst first*")]
    said = ["Devices, alike together, worst first:"]
    for group in groups[:MOST_TABLES]:
        head = mrkdwn(heading(group), 400)
        blocks += [section(head), preformatted("\n".join(lines(group.table)))]
        said.append(head)
    if len(groups) > MOST_TABLES:
        rest = f"… and {len(groups) - MOST_TABLES} more kinds of devices, in the files of this thread"
        blocks.append(context(rest))
        said.append(rest)
    return [Post("tables", "\n".join(said), tuple(blocks))]


def _finding(group: FindingGroup) -> Post:
    finding = group.finding
    heading = f"{one_line(finding.summary, 140)}"
    where = f"{agents(len(group.agents))}: {mrkdwn(some(group.agents), 500)}"
    label = f"`{mrkdwn(group.code, 100)}`, severity {finding.severity.value}"
    blocks: list[Block] = [header(heading or group.code), section(f"{label}\n{where}")]
    evidence = cut(plain("\n".join(plain(line, 500) for line in finding.evidence[:20]), 4000), _MOST_EVIDENCE)
    if evidence.strip():
        blocks += [section(f"*Evidence*, from {mrkdwn(group.representative.agent, 100)}"), preformatted(evidence)]
    advice = [mrkdwn(line, 600) for line in group.advice[:2]]
    if advice:
        blocks.append(section("*What to do:* " + "\n".join(advice)))
    for step in group.steps[:_MOST_STEPS]:
        blocks += _step(step)
    if len(group.steps) > _MOST_STEPS or len(group.advice) > 2:
        blocks.append(context("More steps are in the files of this thread."))
    blocks += _links(group.docs[:3])
    said = [f"{mrkdwn(finding.summary)} ({mrkdwn(group.code, 100)}, severity {finding.severity.value})", where]
    said += [f"Evidence: {mrkdwn(evidence, 500)}"] if evidence.strip() else []
    said += [f"What to do: {' '.join(advice)}"] if advice else []
    said += [f"{_platform(step)}: {mrkdwn(step.title)} {mrkdwn(step.snippet, 250)}" for step in group.steps[:2]]
    return Post(f"finding:{group.code}", "\n".join(said), tuple(blocks))


def _platform(step: Step) -> str:
    return "Any installation" if step.platform == "any" else mrkdwn(_PLATFORMS.get(step.platform, step.platform), 40)


def _step(step: Step) -> Sequence[Block]:
    snippet = plain(step.snippet, 2000)
    what = f": {mrkdwn(step.title)}" if step.title else ""
    found = [section(f"*{_platform(step)}*{what}")]
    return [*found, preformatted(snippet)] if snippet.strip() else found


def _links(urls: Sequence[str]) -> Sequence[Block]:
    elements: list[dict[str, Any]] = []
    for url in urls:
        link = safe_link(url)
        if elements:
            elements.append({"type": "text", "text": "\n"})
        shown = one_line(url, 300) or "(empty)"
        elements.append({"type": "link", "url": link, "text": shown} if link else {"type": "text", "text": shown})
    return [rich_line({"type": "text", "text": "Documentation: "}, *elements)] if elements else []


def _commands(report: Report, events_url: str | None) -> Post | None:
    found = commands(report)
    blocks: list[Block] = [section("*What was run, and why*")] if found else []
    said = ["What was run, and why:"] if found else []
    for command in found[:_MOST_COMMANDS]:
        where, line = _where(command), plain(shlex.join(one_line(part, 500) for part in command.argv), 1000)
        why = mrkdwn(command.why)
        blocks += [preformatted(line), section("\n".join(filter(None, [where, why])))]
        said.append(f"{mrkdwn(line, 300)} ({where}). {why}".strip())
    if len(found) > _MOST_COMMANDS:
        blocks.append(context(f"… and {len(found) - _MOST_COMMANDS} more commands, in the files of this thread"))
        said.append(f"And {len(found) - _MOST_COMMANDS} more commands, in the files of this thread.")
    link = safe_link(events_url) if events_url else ""
    if link:
        blocks.append(rich_line({"type": "link", "url": link, "text": "The self-test's events in the Log Explorer"}))
        said.append(f"The self-test's events in the Log Explorer: {mrkdwn(link, 1000)}")
    return Post("commands", "\n".join(said), tuple(blocks)) if blocks else None


def _where(command: ExecutedCommand) -> str:
    inside = f"In container {mrkdwn(command.container, 80)}" if command.container else "On the host"
    return f"{inside}, on {agents(len(command.agents))}: {mrkdwn(some(command.agents, 3))}"
