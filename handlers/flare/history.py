"""The history of one flare, and the result made from it: findings, verdict and record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from handlers.agent.commands import AgentCommand
from handlers.agent.findings import KINDS
from handlers.errors import CsmError
from handlers.model import (
    Agent,
    AgentResult,
    Finding,
    FlareOutcome,
    FlareRecord,
    FlareReview,
    Invocation,
    Verdict,
)
from handlers.ports import Clock
from handlers.redaction import clean, clean_lines
from handlers.remediation import remediate
from handlers.version import AgentVersion


class FlareFailed(CsmError):
    """No archive was reviewed, or it was held for too long. `result` says why."""

    def __init__(self, result: AgentResult) -> None:
        super().__init__(result.reason)
        self.result = result

    @property
    def in_doubt(self) -> bool:
        """
        Whether something may have been uploaded all the same: without asking, or because the deadline came during the
        upload.
        """
        return any(finding.code in _MAY_HAVE_UPLOADED for finding in self.result.findings)


def whom_to_ask(agent: Agent, review: FlareReview, at: datetime) -> str:
    """A sentence that says whom to ask whether an upload at about that time arrived, and what they need to find it."""
    who = f"whoever runs {review.foreign_host}" if review.foreign_host else "Datadog's support"
    case = f"for case {review.case}" if review.case else f"for a new case of {review.email}"
    return (
        f"Ask {who} whether the flare arrived, before another one is sent: {case}, from the host"
        f" {agent.node or agent.name}, at about {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, as {review.name}."
    )


_MAY_HAVE_UPLOADED = {"flare.uploaded_unasked", "flare.upload_timeout"}


@dataclass(slots=True)
class FlareHistory:
    """What was done so far for one flare; makes its findings and its result."""

    agent: Agent
    clock: Clock
    began: float
    version: AgentVersion | None = None
    choice: AgentCommand | None = None
    invocations: list[Invocation] = field(default_factory=list)
    archive: str = ""
    ask: str = ""
    """Whom to ask when it was not seen whether the upload arrived: the text of `whom_to_ask`."""
    _since: float = 0.0

    def begun(self, choice: AgentCommand) -> None:
        """Record that a command was started."""
        self.choice = choice
        self._since = self.clock.monotonic()
        self.invocations.append(Invocation(argv=choice.argv, container=choice.container, why=choice.why))

    def ended(self, exit_status: int | None) -> None:
        """Record the end of the last command; `None` when its end was not seen."""
        took = round(self.clock.monotonic() - self._since, 3)
        self.invocations[-1] = self.invocations[-1].model_copy(update={"exit_status": exit_status, "duration_s": took})

    def finding(self, code: str, detail: str = "", evidence: bytes | str | Sequence[str] = ()) -> Finding:
        """A finding with its remediation."""
        kind = KINDS[code]
        words = " ".join(clean(detail, max_chars=300).split()).rstrip(".")
        container = self.choice.container if self.choice else None
        return Finding(
            code=code,
            severity=kind.severity,
            summary=kind.summary.format(
                agent=self.agent.name, detail=words or "it did not say why", container=container
            ),
            evidence=clean_lines(evidence) if isinstance(evidence, (bytes, str)) else tuple(evidence),
            remediation=remediate(
                code, self.agent, self.version, container=container or "", archive=self.archive, ask=self.ask
            ),
        )

    def failed(self, finding: Finding) -> FlareFailed:
        """The error whose result has only this finding."""
        return FlareFailed(self.result(KINDS[finding.code].verdict, finding.summary, (finding,)))

    def result(
        self,
        verdict: Verdict,
        reason: str,
        findings: Sequence[Finding] = (),
        *,
        review: FlareReview | None = None,
        outcome: FlareOutcome | None = None,
    ) -> AgentResult:
        """The Agent's result. Findings are sorted, worst first."""
        choice = self.choice
        return AgentResult(
            agent=self.agent.name,
            platform=self.agent.platform,
            installation=self.agent.installation,
            node=self.agent.node,
            agent_version=str(self.version) if self.version else None,
            verdict=verdict,
            reason=reason,
            argv=choice.argv if choice else (),
            container=choice.container if choice else None,
            why=choice.why if choice else "",
            duration_s=round(self.clock.monotonic() - self.began, 3),
            findings=tuple(sorted(findings, key=lambda finding: -finding.severity.badness)),
            invocations=tuple(self.invocations),
            flare=FlareRecord(review=review, outcome=outcome) if review and outcome else None,
        )
