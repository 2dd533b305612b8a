"""
An Agent in memory that keeps the handlers' contract of a flare, and records what it was told.

Whoever may hold it can cut its connection, edit or remove its archive, end its command early, make it slow, or
take away the process that holds it: then nothing can be written to it any more, as with a process that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.runs.flare_outcome import left_behind
from handlers.executors.base import Executor
from handlers.flare import FlareRequest, NoCopy
from handlers.model import (
    Agent,
    AgentResult,
    FlareFile,
    FlareOutcome,
    FlareRecord,
    FlareReview,
    Installation,
    Platform,
    Verdict,
)


class Killed(BaseException):
    """The process is gone: nothing that it would have done happens."""


@dataclass
class Life:
    """One process. When it is dead, whatever it still tries comes to nothing."""

    dead: bool = False
    gone: bool = False
    """The engine has ended: now its tasks may be cancelled, and learn of it."""

    async def check(self) -> None:
        if self.gone:
            raise Killed
        if self.dead:
            await asyncio.Event().wait()


@dataclass
class Question:
    """One command that asks about its archive."""

    archive: bytes
    review: FlareReview
    life: Life
    open: bool = True
    """Whether it still waits for an answer, and can get one."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        self.open = False
        self.gone.set()


class MemoryExecutor:
    """A target with one Agent."""

    platform = Platform.HOST

    def __init__(self) -> None:
        self.agent = Agent(
            target="this-host", name="host-1", platform=Platform.HOST, installation=Installation.HOST, version="7.70.1"
        )

    async def agents(self) -> list[Agent]:
        return [self.agent]

    def open(self, *_: object, **__: object) -> object:
        raise AssertionError("nothing else is run on this Agent")

    async def aclose(self) -> None:
        pass


class MemoryAgent:
    """The Agent. `uploads` holds what left it: the very bytes' hash, at the moment of `y`."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.uploads: list[str] = []
        self.answers: list[tuple[str, str]] = []
        """Hash of the review, and `y` or `n`, in order."""
        self.host = ""
        """Where it sends what it builds from now on; empty for Datadog."""
        self.build_s = 0.0
        self.copy_s = 0.0
        self.hash_s = 0.0
        self.upload_s = 0.0
        self.upload_fails = False
        self._builds = 0

    def for_life(self, life: Life) -> Callable[..., contextlib.AbstractAsyncContextManager[MemoryHeld]]:
        """`bot.runs.flare_session.Hold`, as one process has it."""

        def hold(
            agent: Agent, executor: Executor, request: FlareRequest, *, on_step: Callable[[str], None]
        ) -> contextlib.AbstractAsyncContextManager[MemoryHeld]:
            return self._hold(agent, request, on_step, life)

        return hold

    @contextlib.asynccontextmanager
    async def _hold(
        self, agent: Agent, request: FlareRequest, on_step: Callable[[str], None], life: Life
    ) -> AsyncIterator[MemoryHeld]:
        await life.check()
        on_step("The Agent builds the archive")
        await asyncio.sleep(self.build_s)
        await life.check()
        self._builds += 1
        archive = f"archive {self._builds}".encode()
        question = Question(archive, review_of(archive, request, self._builds, host=self.host), life)
        self.questions.append(question)
        held = MemoryHeld(self, agent, question)
        try:
            yield held
        finally:
            if question.open and not life.dead:
                self.answers.append((question.review.sha256, "n"))
            question.end()


class MemoryHeld:
    """`handlers.flare.HeldFlare`, in memory."""

    def __init__(self, memory: MemoryAgent, agent: Agent, question: Question) -> None:
        self._memory = memory
        self._agent = agent
        self._question = question
        self.review = question.review

    async def ended(self) -> AgentResult:
        await self._question.gone.wait()
        await self._question.life.check()
        return self._result("not_uploaded", Verdict.UNKNOWN, "The command ended before it was answered.")

    async def approve(self) -> AgentResult:
        await asyncio.sleep(self._memory.hash_s)
        await self._question.life.check()
        if sha256(self._question.archive) != self.review.sha256:
            await self._write("n")
            self._question.end()
            return self._result("not_uploaded", Verdict.UNKNOWN, "The archive has changed since it was looked at.")
        if not await self._write("y"):
            return self._result(
                "not_uploaded", Verdict.UNKNOWN, "The connection was lost before the answer was written."
            )
        await asyncio.sleep(self._memory.upload_s)
        await self._question.life.check()
        if not self._question.open:
            return self._result("in_doubt", Verdict.UNKNOWN, "The connection was lost during the upload.")
        self._question.end()
        if self._memory.upload_fails:
            return self._result("failed", Verdict.FAIL, "HTTP 403 Forbidden")
        return self._result("uploaded", Verdict.PASS, "Uploaded.", case="4242")

    async def decline(self, reason: str) -> AgentResult:
        await self._write("n")
        self._question.end()
        return self._result("declined", Verdict.SKIPPED, reason)

    async def copy(self, most_bytes: int) -> bytes:
        await asyncio.sleep(self._memory.copy_s)
        await self._question.life.check()
        assert not [answer for sha, answer in self._memory.answers if sha == self.review.sha256]
        archive = self._question.archive
        if sha256(archive) != self.review.sha256 or len(archive) > most_bytes:
            raise NoCopy("it is not the reviewed one any more")
        return archive

    async def _write(self, answer: str) -> bool:
        await self._question.life.check()
        if not self._question.open:
            return False
        self._memory.answers.append((self.review.sha256, answer))
        if answer == "y":
            # As with the real one: the Agent opens the archive when it has read the answer.
            self._memory.uploads.append(sha256(self._question.archive))
        return True

    def _result(self, kind: str, verdict: Verdict, reason: str, case: str = "") -> AgentResult:
        outcome = FlareOutcome.model_validate({"kind": kind, "case": case, "message": reason})
        return AgentResult(
            agent=self._agent.name,
            platform=self._agent.platform,
            installation=self._agent.installation,
            verdict=verdict,
            reason=reason,
            argv=self.review.argv,
            findings=() if kind == "uploaded" else (left_behind(self._agent, self.review),),
            flare=FlareRecord(review=self.review, outcome=outcome),
        )


def sha256(archive: bytes) -> str:
    return hashlib.sha256(archive).hexdigest()


def review_of(archive: bytes, request: FlareRequest, number: int = 1, *, host: str = "") -> FlareReview:
    path = f"/tmp/datadog-agent-{number}.zip"
    return FlareReview(
        path=path,
        name=path.rsplit("/", 1)[1],
        size=len(archive),
        sha256=sha256(archive),
        built_at=datetime(2026, 11, 24, tzinfo=UTC),
        files=(FlareFile(name="etc/datadog.yaml", size=9, sensitive={"api_key": 2}), FlareFile(name="log", size=3)),
        file_count=2,
        unpacked=12,
        site="" if host else "datadoghq.com",
        host=host or "7-70-1-flare.agent.datadoghq.com",
        destination_source="dd_url in etc/datadog.yaml",
        case=request.case,
        email=request.email,
        argv=("security-agent", "flare", request.case, "--email", request.email),
        why="the Agent is older than 7.77",
    )
