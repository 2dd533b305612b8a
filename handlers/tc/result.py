"""Turns a judgement into the Agent's result: findings with remediations, device tables, and the saved document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from handlers import version as versions
from handlers.agent.findings import KINDS
from handlers.model import Agent, AgentResult, Finding, Invocation, Severity, Table, Verdict
from handlers.redaction import clean
from handlers.remediation import TcFacts, VendorAdvice, remediate_tc
from handlers.tc.devices import Group
from handlers.tc.document import packed, saved
from handlers.tc.effects import Effect
from handlers.tc.evidence import Attachment, Evidence, Setting
from handlers.tc.hooks import Link
from handlers.tc.judge import Found, NodeJudgement, judge
from handlers.version import AgentVersion

COLUMNS = ("Direction", "Runs", "Whose", "Program", "Priority", "Can return", "Effect")
MOST_TABLES = 8
MOST_ROWS = 24
_HANDLES_FROM = 100


def result_of(
    agent: Agent, evidence: Evidence, *, invocations: Sequence[Invocation] = (), took: float = 0.0
) -> AgentResult:
    """Judge the evidence and return the Agent's result. Pure, and bounded: about ten seconds for the worst document."""
    version = versions.from_tag(evidence.agent.version or "") or versions.from_tag(agent.version or "")
    judgement = judge(evidence, version)
    findings = tuple(_finding(found, agent, version, judgement) for found in judgement.found)
    last = invocations[-1] if invocations else None
    return AgentResult(
        agent=agent.name,
        platform=agent.platform,
        installation=agent.installation,
        node=agent.node,
        agent_version=str(version) if version else None,
        verdict=judgement.verdict,
        reason=findings[0].summary if findings else _why_fine(judgement),
        argv=_shown(last.argv) if last else (),
        container=last.container if last else None,
        why=last.why if last else "",
        duration_s=round(took, 3),
        findings=findings,
        invocations=tuple(each.model_copy(update={"argv": _shown(each.argv)}) for each in invocations),
        tables=tuple(table for table in map(_table, judgement.groups) if table.rows)[:MOST_TABLES],
        document=packed(saved(evidence)),
    )


def unjudged(
    agent: Agent,
    code: str,
    detail: str,
    said: Sequence[str],
    *,
    invocations: Sequence[Invocation] = (),
    took: float = 0.0,
) -> AgentResult:
    """Return the result of an Agent whose evidence could not be collected."""
    from handlers.remediation import remediate

    kind, version = KINDS[code], versions.from_tag(agent.version or "")
    summary = kind.summary.format(agent=agent.name, detail=clean(detail, max_chars=200).rstrip("."))
    finding = Finding(
        code=code,
        severity=kind.severity,
        summary=summary,
        evidence=tuple(said),
        remediation=remediate(code, agent, version),
    )
    last = invocations[-1] if invocations else None
    return AgentResult(
        agent=agent.name,
        platform=agent.platform,
        installation=agent.installation,
        node=agent.node,
        agent_version=str(version) if version else None,
        verdict=kind.verdict,
        reason=summary,
        argv=_shown(last.argv) if last else (),
        container=last.container if last else None,
        why=last.why if last else "",
        duration_s=round(took, 3),
        findings=(finding,),
        invocations=tuple(each.model_copy(update={"argv": _shown(each.argv)}) for each in invocations),
    )


def _finding(found: Found, agent: Agent, version: AgentVersion | None, judgement: NodeJudgement) -> Finding:
    kind = KINDS[found.code]
    summary = kind.summary.format(agent=agent.name, detail=found.detail.rstrip("."))
    checklist = (f"By the documentation's checklist: {'; '.join(judgement.answers)}",)
    relevant = kind.verdict is Verdict.FAIL and kind.severity is not Severity.LOW
    context = (*(checklist if relevant and judgement.answers else ()), *(judgement.plugins if found.links else ()))
    return Finding(
        code=found.code,
        severity=kind.severity,
        summary=summary[:1].upper() + summary[1:],
        evidence=(*found.evidence, *context),
        remediation=remediate_tc(found.code, agent, version, facts_of(found, judgement)),
    )


def facts_of(found: Found, judgement: NodeJudgement) -> TcFacts:
    """Return the facts that the remediation of a finding uses."""
    vendors = {link.vendor.name: link.vendor for link in found.links if link.vendor}
    return TcFacts(
        current=judgement.priority,
        priority=better_priority(judgement.links),
        handles=free_handles(judgement.links),
        old_key=_is_old(judgement.settings.priority_setting),
        old_switch=_is_old(judgement.settings.network_setting),
        vendors=tuple(
            VendorAdvice(each.name, each.knob, each.danger, each.races, each.source) for each in vendors.values()
        ),
    )


def _is_old(setting: Setting | None) -> bool:
    return setting is not None and setting.key.lower().removeprefix("dd_").startswith("runtime_security_config")


def better_priority(links: Iterable[Link]) -> int | None:
    """
    Return the priority at which the Agent's filters run before every entry that may end the chain; `None` without one.

    That is the default of 10 where it is enough, otherwise the largest unused priority below the first such entry.
    """
    foreign = [link for link in links if not link.own]
    if any(link.entry.attachment is not Attachment.FILTER and link.effect in {Effect.ENDS, Effect.UNKNOWN} for link in foreign):  # fmt: skip
        return None
    in_the_way = [link.entry.pref or 0 for link in foreign if link.entry.attachment is Attachment.FILTER and (link.effect is not Effect.CONTINUES or link.by_table)]  # fmt: skip
    used = {link.entry.pref for link in foreign}
    first = min(in_the_way, default=11)
    below = [number for number in range(min(first - 1, 10), 0, -1) if number not in used]
    return next(iter(below), None) if first > 1 else None


def free_handles(links: Iterable[Link]) -> tuple[int, int]:
    """Return two handles that no filter uses."""
    used = {link.entry.handle for link in links}
    free = [number for number in range(_HANDLES_FROM, _HANDLES_FROM + len(used) + 2) if number not in used]
    return free[0], free[1]


def _why_fine(judgement: NodeJudgement) -> str:
    devices = sum(len(group.devices) for group in judgement.groups)
    return (
        f"Nothing ends the chain before the Agent's filters, on {devices} devices ({'; '.join(judgement.answers[:3])})."
    )


def _table(group: Group) -> Table:
    first = group.devices[0]
    rows = [
        (hook.direction, str(number), link.who, link.what[:60], _priority(link), link.codes, _effect(link))
        for hook in first.hooks
        for number, link in enumerate(hook.links, 1)
    ]
    rows += [
        (hook.direction, "-", "the Agent", "no filter", "", "", "should be here")
        for hook in first.hooks
        if hook.expected and not hook.attached
    ]
    return Table(
        title=group.title,
        verdict=group.verdict,
        places=tuple(each.label for each in group.devices[:5]),
        count=len(group.devices),
        columns=COLUMNS,
        rows=tuple(rows[:MOST_ROWS]),
    )


def _priority(link: Link) -> str:
    return str(link.entry.pref) if link.entry.attachment is Attachment.FILTER else link.entry.attachment.value


def _effect(link: Link) -> str:
    return "sees packets" if link.own else link.effect.value


def _shown(argv: Sequence[str]) -> tuple[str, ...]:
    """The command for people. A word of more than 200 characters, such as a program, is replaced by a placeholder."""
    return tuple(word if len(word) <= 200 else f"<{PurePosixPath(argv[0]).name} program>" for word in argv)
