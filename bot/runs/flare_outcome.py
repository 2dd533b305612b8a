"""Flare outcomes: how a flare ends, the texts for people, and the results and findings of flares that csm ends."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from bot.storage.approvals import State
from handlers.agent.findings import KINDS
from handlers.flare import whom_to_ask
from handlers.model import (
    Agent,
    AgentResult,
    Finding,
    FlareOutcome,
    FlareRecord,
    FlareReview,
    Installation,
    Platform,
    Verdict,
)
from handlers.remediation import remediate
from handlers.version import from_tag


class Ending(StrEnum):
    """How a flare ended."""

    UPLOADED = "uploaded"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """csm was shut down normally."""
    LOST = "lost"
    """The process that held the archive is gone."""
    ENDED_EARLY = "ended_early"
    """The Agent's command, or the connection to it, ended before a decision."""
    NOT_BUILT = "not_built"
    NOT_SHOWN = "not_shown"
    """Slack refused the review, so nobody could read it."""
    NOT_UPLOADED = "not_uploaded"
    """Approved but not uploaded: the archive had changed, or was gone."""
    FAILED = "failed"
    """Approved, and certainly nothing arrived: nothing was sent, or it was refused."""
    IN_DOUBT = "in_doubt"
    """It is not known whether the archive was uploaded."""


WORDS: Mapping[Ending, str] = {
    Ending.UPLOADED: "It was uploaded.",
    Ending.DECLINED: "It was declined. Nothing was uploaded.",
    Ending.EXPIRED: "Nobody approved it in time. Nothing was uploaded.",
    Ending.CANCELLED: "The run was cancelled. Nothing was uploaded.",
    Ending.STOPPED: "csm was stopped while it held the archive. Nothing was uploaded; prepare it again.",
    Ending.LOST: "The process that held the archive is gone. Nothing was uploaded; prepare it again.",
    Ending.ENDED_EARLY: "The Agent's command ended before anybody decided. Nothing was uploaded; prepare it again.",
    Ending.NOT_BUILT: "There is no archive, so nothing was uploaded.",
    Ending.NOT_SHOWN: "The review could not be shown, so nobody could approve it. Nothing was uploaded.",
    Ending.NOT_UPLOADED: "It was approved, and nothing was uploaded all the same.",
    Ending.FAILED: "It was approved, and the upload failed.",
    Ending.IN_DOUBT: "Whether it was uploaded is not known. Ask before it is prepared again.",
}
"""Texts for people, used where the Agent's own result does not say more."""

BY_OUTCOME: Mapping[str, Ending] = {
    "uploaded": Ending.UPLOADED,
    "declined": Ending.DECLINED,
    "not_uploaded": Ending.NOT_UPLOADED,
    "failed": Ending.FAILED,
    "in_doubt": Ending.IN_DOUBT,
}


def ended_result(
    agent: Agent, how: Ending, review: FlareReview | None, *, like: AgentResult | None = None
) -> AgentResult:
    """The result of a flare that csm ended. `like` is the Agent's own result, which does not know the reason."""
    kind = "in_doubt" if how is Ending.IN_DOUBT else "not_uploaded"
    outcome = FlareOutcome.model_validate({"kind": kind, "message": WORDS[how]})
    verdict = Verdict.SKIPPED if how in {Ending.EXPIRED, Ending.CANCELLED, Ending.STOPPED} else Verdict.UNKNOWN
    record = FlareRecord(review=review, outcome=outcome) if review else None
    if like is not None:
        return like.model_copy(update={"verdict": verdict, "reason": WORDS[how], "flare": record})
    return AgentResult(
        agent=agent.name,
        platform=Platform(agent.platform),
        installation=Installation(agent.installation),
        node=agent.node,
        agent_version=agent.version,
        verdict=verdict,
        reason=WORDS[how],
        argv=review.argv if review else (),
        container=review.container if review else None,
        why=review.why if review else "",
        findings=_findings(agent, how, review) if review else (),
        flare=record,
    )


def afterwards(state: State, kept: AgentResult | None) -> Ending:
    """
    How a flare ended whose holder is gone. `kept` is the result that was stored by then.

    An upload that began and has no stored result is in doubt.
    """
    if state is State.UPLOADING:
        return BY_OUTCOME[kept.flare.outcome.kind] if kept and kept.flare else Ending.IN_DOUBT
    return Ending.DECLINED if state is State.DECLINED else Ending.LOST


def _findings(agent: Agent, how: Ending, review: FlareReview) -> tuple[Finding, ...]:
    """Findings for an archive whose process is gone: where it lies and, if it is in doubt, whom to ask."""
    if how is not Ending.IN_DOUBT:
        return (left_behind(agent, review),)
    return (
        _finding("flare.upload_lost", agent, review, ask=whom_to_ask(agent, review, review.built_at)),
        _finding("flare.may_be_left_behind", agent, review, _where(review)),
    )


def left_behind(agent: Agent, review: FlareReview) -> Finding:
    """Finding that an archive was left on the Agent, with how to remove it."""
    return _finding("flare.left_behind", agent, review, _where(review))


def no_copy_kept(agent: Agent, review: FlareReview, why: str) -> Finding:
    """Finding that no copy of an archive was kept although one was wanted. `why` is a clause."""
    return _finding("flare.no_copy", agent, review, why.rstrip("."))


def _where(review: FlareReview) -> str:
    return f"{review.container}: {review.path}" if review.container else review.path


def _finding(code: str, agent: Agent, review: FlareReview, detail: str = "", *, ask: str = "") -> Finding:
    kind, version = KINDS[code], from_tag(agent.version or "")
    return Finding(
        code=code,
        severity=kind.severity,
        summary=kind.summary.format(agent=agent.name, detail=detail),
        remediation=remediate(code, agent, version, container=review.container or "", archive=review.path, ask=ask),
    )


def in_doubt(result: AgentResult) -> Ending | None:
    """`Ending.IN_DOUBT` if the Agent may have uploaded without an approval, otherwise `None`."""
    return Ending.IN_DOUBT if result.flare and result.flare.outcome.kind == "in_doubt" else None
