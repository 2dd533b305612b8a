"""Hold a reviewed archive and the process that waits for an answer; approve or decline it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

from handlers.agent.findings import KINDS
from handlers.agent.flare_output import Trouble, Uploaded, claims_an_upload, read_answer
from handlers.errors import CsmError, ExecError, OutputLimitExceeded
from handlers.executors.base import Executor
from handlers.flare.archive import Archive, ArchiveTrouble
from handlers.flare.building import Building
from handlers.flare.history import FlareHistory, whom_to_ask
from handlers.flare.request import DEFAULTS, FlareRequest, FlareSettings
from handlers.flare.waiting import Waiting
from handlers.model import Agent, AgentResult, Finding, FlareOutcome, FlareReview, Verdict, worst
from handlers.ports import Clock, TemporarySpace
from handlers.redaction import clean


class NoCopy(CsmError):
    """The archive cannot be copied. `str(error)` says why, for people."""


Kind = Literal["uploaded", "declined", "not_uploaded", "failed", "in_doubt"]


@contextlib.asynccontextmanager
async def hold(
    agent: Agent,
    executor: Executor,
    clock: Clock,
    scratch: TemporarySpace,
    request: FlareRequest,
    *,
    settings: FlareSettings = DEFAULTS,
    on_step: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[HeldFlare]:
    """
    Build an archive, review it, and hold the process that asks whether to upload it. Enter and leave the block in one
    task.

    Raises `FlareFailed` when no archive was reviewed, and out of the block when it was held for longer than
    `settings.hold_s`. Leaving the block without a decision, in any way, writes `n` where that is still possible and
    ends the process.
    """
    building = Building(agent, executor, clock, scratch, request, settings=settings, on_step=on_step)
    async with contextlib.AsyncExitStack() as stack:
        process, archive, review = await building.begin(stack)
        yield HeldFlare(process, archive, review, building.account, settings)


class HeldFlare:
    """One archive, its review, and the process that waits for the decision. It can be decided once."""

    def __init__(
        self, process: Waiting, archive: Archive, review: FlareReview, account: FlareHistory, settings: FlareSettings
    ) -> None:
        self._process = process
        self._archive = archive
        self._account = account
        self._settings = settings
        self._decided = False
        self._seen_changed = ""
        """The hash of the copy, if it is not that of the reviewed archive; else empty."""
        self.review = review
        """The review of the archive."""

    @property
    def answered(self) -> bool:
        """Whether `y` was written, or may have been. From then on an upload cannot be excluded."""
        return self._process.answer == b"y"

    async def ended(self) -> AgentResult:
        """Wait until the process ends or its connection is lost, without a decision; return the result."""
        await self._process.ended()
        return self._gone()

    async def approve(self) -> AgentResult:
        """
        Hash the archive again, and answer `y` only when it is the one that was reviewed.

        Never raises because of the Agent. Cancellation ends the process; `answered` then says whether `y` may have been
        written.
        """
        self._decide()
        if self._process.over():
            return self._gone()
        if trouble := await self._changed():
            return await self._not_uploaded(trouble)
        if self._process.over():
            return self._gone()
        if spoke := self._process.spoke_on:
            return await self._not_uploaded(self._account.finding("flare.spoke_on", evidence=spoke))
        self._account.ask = whom_to_ask(self._account.agent, self.review, self._account.clock.now())
        try:
            await self._process.yes()
        except ExecError as error:
            return self._result("in_doubt", self._account.finding("flare.upload_lost", evidence=str(error)))
        return await self._uploaded()

    async def decline(self, reason: str) -> AgentResult:
        """Answer `n`, and wait for the process to end. `reason` is a sentence for people."""
        self._decide()
        return await self._declined("declined", Verdict.SKIPPED, reason, ())

    async def copy(self, most_bytes: int) -> bytes:
        """
        The archive's bytes, for a copy that a person asked for. Call it only once the flare is approved, and before
        `approve`: from about 7.78 the Agent removes the archive that it uploaded.

        Raises `NoCopy` when the archive cannot be copied. If it is not the reviewed one any more, `approve` uploads
        nothing.
        """
        assert not self._decided, "the copy is taken before the answer"
        if self.review.size > most_bytes:
            raise NoCopy(f"it is larger than {most_bytes // 1024**2} MiB")
        try:
            data, sha256 = await self._archive.copy(most_bytes)
        except ArchiveTrouble as trouble:
            raise NoCopy(self._words(trouble)) from trouble
        if sha256 != self.review.sha256:
            self._seen_changed = sha256
            raise NoCopy("it is not the reviewed one any more")
        return data

    def _decide(self) -> None:
        assert not self._decided, "a flare is decided once"
        self._decided = True

    async def _changed(self) -> Finding | None:
        """A finding when the archive is not the reviewed one, or when that cannot be checked; else `None`."""
        try:
            now = self._seen_changed or await self._archive.sha256()
        except ArchiveTrouble as trouble:
            code = "flare.vanished" if trouble.code == "flare.archive_missing" else "flare.not_rechecked"
            return self._account.finding(code, self._words(trouble), trouble.evidence)
        if now != self.review.sha256:
            return self._account.finding("flare.changed", evidence=[f"reviewed: {self.review.sha256}", f"now: {now}"])
        return None

    async def _not_uploaded(self, finding: Finding) -> AgentResult:
        return await self._declined("not_uploaded", KINDS[finding.code].verdict, finding.summary, (finding,))

    async def _declined(self, kind: Kind, verdict: Verdict, reason: str, findings: Sequence[Finding]) -> AgentResult:
        await self._process.no()
        await self._process.ended(self._settings.decline_deadline_s)
        if claims_an_upload(self._process.stdout):
            return self._result("in_doubt", self._account.finding("flare.uploaded_despite_no", evidence=self._said()))
        if not any(finding.code == "flare.vanished" for finding in findings):
            findings = (*findings, self._left_behind())
        return self._recorded(kind, verdict, reason, findings)

    def _gone(self) -> AgentResult:
        """The result of a process that ended, or whose connection was lost, before it was answered."""
        process = self._process
        if claims_an_upload(process.stdout):
            return self._result("in_doubt", self._account.finding("flare.uploaded_unasked", evidence=self._said()))
        if lost := process.lost:
            code = "flare.spoke_on" if isinstance(lost, OutputLimitExceeded) else "flare.lost_waiting"
            return self._result("not_uploaded", self._account.finding(code, evidence=str(lost)))
        said = clean(self._said(), max_chars=200) or "it said nothing more"
        detail = f"exit status {process.exit_status}, {said}"
        return self._result("not_uploaded", self._account.finding("flare.ended_waiting", detail, self._said()))

    async def _uploaded(self) -> AgentResult:
        """Wait for the Agent's output after `y`, and make the result from it."""
        process = self._process
        if not await process.ended(self._settings.upload_deadline_s):
            return self._result("in_doubt", self._account.finding("flare.upload_timeout", evidence=self._said()))
        answer = read_answer(process.stdout, process.stderr, process.exit_status)
        if isinstance(answer, Uploaded):
            return await self._confirmed(answer)
        first = next(iter(answer.words.splitlines()), "it said nothing")
        evidence = self._said() or str(process.lost or "it said nothing")
        finding = self._account.finding(answer.code, answer.detail or first, evidence)
        failed = KINDS[answer.code].verdict is Verdict.FAIL
        return self._result("failed" if failed else "in_doubt", finding, answer)

    async def _confirmed(self, answer: Uploaded) -> AgentResult:
        """
        The result of a confirmed upload. A finding says so if the archive changed during the upload, or was built
        without the running Agent.
        """
        remarks = [self._account.finding("flare.local")] if self.review.local else []
        if remark := await self._changed_during_upload():
            remarks.append(remark)
        verdict = worst([Verdict.PASS, *(KINDS[remark.code].verdict for remark in remarks)])
        reason = f"{self._whose()}{f', as case {answer.case}' if answer.case else ''}."
        return self._recorded("uploaded", verdict, reason, remarks, case=answer.case, message=answer.words)

    def _whose(self) -> str:
        """Text that says who has the archive, as far as that is known."""
        if host := self.review.foreign_host:
            return f"{host}, which is not Datadog's, has the archive"
        return "Datadog has the archive" if self.review.site else "The archive was uploaded"

    async def _changed_during_upload(self) -> Finding | None:
        """
        A finding when the archive's hash differs after the upload, or cannot be taken. A missing archive is no finding,
        because the Agent removes it.
        """
        try:
            if await self._archive.sha256() != self.review.sha256:
                return self._account.finding("flare.changed_during_upload")
        except ArchiveTrouble as trouble:
            if trouble.code != "flare.archive_missing":
                return self._account.finding("flare.not_rechecked_after", self._words(trouble), trouble.evidence)
        return None

    def _result(self, kind: Kind, finding: Finding, trouble: Trouble | None = None) -> AgentResult:
        left = self._left_behind("flare.may_be_left_behind" if kind == "in_doubt" else "flare.left_behind")
        findings, words = (finding, left), trouble.words if trouble else ""
        return self._recorded(kind, KINDS[finding.code].verdict, finding.summary, findings, message=words)

    def _recorded(
        self,
        kind: Kind,
        verdict: Verdict,
        reason: str,
        findings: Sequence[Finding],
        *,
        case: str = "",
        message: str = "",
    ) -> AgentResult:
        self._account.ended(self._process.exit_status)
        outcome = FlareOutcome(kind=kind, case=case, message=clean(message, max_chars=500) or reason)
        return self._account.result(verdict, reason, findings, review=self.review, outcome=outcome)

    def _words(self, trouble: ArchiveTrouble) -> str:
        return self._account.finding(trouble.code, trouble.detail).summary

    def _left_behind(self, code: str = "flare.left_behind") -> Finding:
        where = f"{self.review.container}: {self.review.path}" if self.review.container else self.review.path
        return self._account.finding(code, where)

    def _said(self) -> bytes:
        """The output after the question, and the end of stderr."""
        return b"\n".join(filter(None, (self._process.spoke_on, self._process.stderr[-4000:].strip())))


__all__ = ["HeldFlare", "NoCopy", "hold"]
