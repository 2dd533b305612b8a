"""
One flare: build the archive, show its review, wait for one decision, and execute it.

The Agent's upload prompt is held open by this very process, and cannot be handed to another one. So the approval row
(`bot.storage.approvals`) names the process. A flare that is started again by another process, or by a later instance
of this one, only reports what is known: it never builds, and never uploads.

Both the durable runs of Slack and the terminal use this. The caller of `Approvals.decide` checks who may decide; here,
`y` is written only after an approval of this archive's hash was found in the store.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from bot.render.progress import FlareProgress
from bot.runs.flare_outcome import BY_OUTCOME, WORDS, Ending, afterwards, ended_result, in_doubt, no_copy_kept
from bot.storage.approvals import OPEN, UNDECIDED, Approval, Approvals, State
from bot.storage.store import RunRequest, Store
from handlers.errors import NoAgents, TargetError
from handlers.executors.base import Executor
from handlers.flare import FlareFailed, FlareRequest, NoCopy
from handlers.model import (
    Agent,
    AgentResult,
    FlareReview,
    Report,
    Verdict,
    count,
)
from handlers.ports import Clock

log = structlog.get_logger(__name__)


class Held(Protocol):
    """An archive whose upload prompt waits for its answer: `handlers.flare.HeldFlare`."""

    @property
    def review(self) -> FlareReview:
        """The review of the archive that is to be decided on."""
        ...

    async def ended(self) -> AgentResult:
        """Wait until the command ends, or the connection to it is lost, before it was answered."""
        ...

    async def approve(self) -> AgentResult:
        """Write `y`, if the archive is still the one of the review."""
        ...

    async def decline(self, reason: str) -> AgentResult:
        """Write `n`."""
        ...

    async def copy(self, most_bytes: int) -> bytes:
        """Read the approved archive's bytes before the answer. Raises `NoCopy`; see `handlers.flare.HeldFlare.copy`."""
        ...


class Hold(Protocol):
    """Builds and holds an archive: `handlers.flare.hold` with its settings."""

    def __call__(
        self,
        agent: Agent,
        executor: Executor,
        request: FlareRequest,
        *,
        on_step: Callable[[str], None],
    ) -> AbstractAsyncContextManager[Held]:
        """Build the archive; raises `FlareFailed`. Leaving the block without an answer uploads nothing."""
        ...


MOST_COPIED = 64 * 1024 * 1024
"""Largest archive, in bytes, that is copied. The copy is in memory from before the upload until it is in the thread."""

COPIES_AT_ONCE = 4
"""Copies that a process may have in memory at once. One more does not wait: its upload continues without a copy."""

_GIVEN_UP = (State.BUILDING, State.WAITING, State.APPROVED, State.DECLINED)
"""States in which `y` has not been written."""


@dataclass(frozen=True)
class FlareServices:
    """Services and settings that all flares of a process share."""

    hold: Hold
    store: Store
    approvals: Approvals
    clock: Clock
    holder: str
    """Instance id of this process."""
    expires_s: float
    keep_copy: bool = False
    """Whether the archive is shared into the thread, once it was uploaded."""
    copies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COPIES_AT_ONCE))


class FlareRun:
    """The flare of one request. `carry_out` may be started again at any time; see the module."""

    def __init__(self, request: RunRequest, executor: Executor, parts: FlareServices) -> None:
        self.request = request
        self._executor = executor
        self._parts = parts
        self._decided = asyncio.Event()
        self._over = asyncio.Event()
        self._how = Ending.CANCELLED
        self._step = "Looking for the Agent"
        self._state = State.BUILDING
        self._agent: Agent | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever `progress` has changed."""
        self.on_review: Callable[[FlareReview], Awaitable[None]] = _nobody
        """Shows the review to people. When it fails, nothing is uploaded."""
        self.on_copy: Callable[[FlareReview, bytes], Awaitable[None]] | None = None
        """Takes the uploaded archive, where a copy is to be kept. Must not raise."""

    @property
    def expires_at(self) -> float:
        """Until when it may be approved, in seconds since the epoch. Counted from the request, not from the archive."""
        return self.request.accepted_at + self._parts.expires_s

    @property
    def progress(self) -> FlareProgress:
        """The current progress."""
        return FlareProgress(
            run=self.request.id,
            target=f"{self.request.target}/{self._agent.name}" if self._agent else self.request.where,
            requested_by=self.request.requested_by,
            case=self.request.case_id,
            elapsed_s=max(0.0, self._now() - self.request.accepted_at),
            expires_at=self.expires_at,
            state=str(self._state),
            step=self._step,
            ending=self._over.is_set(),
        )

    def decided(self) -> None:
        """Signal that the store may now hold a decision or an ending."""
        self._decided.set()

    def end(self, how: Ending) -> None:
        """
        End the flare without an upload, unless the upload has begun.

        The expiry does not end a flare that was approved in time. A stop or a cancellation does, so each takes effect
        also after the expiry.
        """
        if not self._over.is_set() or self._how is Ending.EXPIRED:
            self._how = how
            self._over.set()
            self.on_change()

    async def carry_out(self) -> Report:
        """
        Execute the flare from the request to its end. Every failure is in the report.

        Cancelling this task ends the Agent's command without an upload, unless the upload has begun.
        """
        if not await self._parts.approvals.claim(self.request, self._parts.holder, self.expires_at):
            return await self._left_behind()
        try:
            self._agent = await self._find()
        except TargetError as error:
            await self._ended(Ending.NOT_BUILT)
            return self._report(None, str(error))
        expiring = asyncio.create_task(self._expire(), name=f"expiry of {self.request.id}")
        try:
            return self._report(await self._kept(self._agent))
        finally:
            expiring.cancel()
            await asyncio.wait({expiring})

    async def give_up(self) -> Report:
        """End a flare that cannot continue, and report what is known of it. Nothing is uploaded from here on."""
        await self._parts.approvals.claim(self.request, self._parts.holder, self.expires_at)
        return await self._left_behind()

    # -- building and holding -----------------------------------------------------------------------------

    async def _find(self) -> Agent:
        agents = await self._executor.agents()
        agent = chosen(agents, self.request.target, self.request.agent)
        await self._parts.store.keep_inventory(self.request.id, [agent])
        await self._parts.store.asked(self.request, agent.name, self._now())
        return agent

    async def _kept(self, agent: Agent) -> AgentResult:
        """Build and hold in a separate task, which is cancelled if the flare is ended before there is an archive."""
        keeping = asyncio.create_task(self._keep(agent), name=f"flare of {agent}")
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({keeping, over}, return_when=asyncio.FIRST_COMPLETED)
            if not keeping.done() and self._state is State.BUILDING:
                keeping.cancel()
            await asyncio.wait({keeping})
        finally:
            over.cancel()
            keeping.cancel()
            # The Agent's command has ended before this returns.
            await asyncio.wait({keeping, over})
        if not keeping.cancelled():
            return keeping.result()
        await self._ended(self._how)
        return await self._keep_result(ended_result(agent, self._how, None))

    async def _keep(self, agent: Agent) -> AgentResult:
        asked = FlareRequest(case=self.request.case_id, email=self.request.email)
        try:
            async with self._parts.hold(agent, self._executor, asked, on_step=self._on_step) as held:
                return await self._answered(agent, held)
        except FlareFailed as error:
            await self._ended(Ending.IN_DOUBT if error.in_doubt else Ending.NOT_BUILT)
            return await self._keep_result(error.result)

    async def _answered(self, agent: Agent, held: Held) -> AgentResult:
        """Show the review, wait for the first event, and answer the Agent accordingly."""
        present = await self._parts.approvals.present(self.request, self._parts.holder, held.review)
        self._to(State.WAITING, "Waiting for approval")
        if not present:
            return await self._declined(agent, held, await self._ending())
        early = await self._awaited(held)
        if isinstance(early, AgentResult):
            await self._ended(in_doubt(early) or Ending.ENDED_EARLY)
            return await self._keep_result(early)
        if early is Ending.UPLOADED:
            return await self._approved(agent, held)
        return await self._declined(agent, held, early)

    async def _awaited(self, held: Held) -> AgentResult | Ending:
        """
        Wait for the command's end, and return its result, or for how the flare is to end according to the store.

        `UPLOADED` stands for an approval; every other ending is without an upload.
        """
        ended = asyncio.create_task(held.ended(), name="end of the command")
        showing = asyncio.ensure_future(self.on_review(held.review))
        try:
            while True:
                decided = asyncio.create_task(self._decided.wait())
                over = asyncio.create_task(self._over.wait())
                waiting: set[asyncio.Future[object]] = {ended, decided, over}  # type: ignore[arg-type]
                waiting |= set() if showing.done() and not showing.exception() else {showing}  # type: ignore[arg-type]
                try:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    decided.cancel()
                    over.cancel()
                if ended.done():
                    return ended.result()
                if how := await self._how_it_stands(showing):
                    return how
        finally:
            # Only one task may read from the command, and answering it reads from it too.
            for task in (ended, showing):
                task.cancel()
            await asyncio.wait({ended, showing})

    async def _how_it_stands(self, showing: asyncio.Future[None]) -> Ending | None:
        self._decided.clear()
        if self._over.is_set() and await self._gave_up(self._how):
            return self._how
        if showing.done() and showing.exception() and await self._gave_up(Ending.NOT_SHOWN):
            log.warning("flare.review_not_shown", run=self.request.id, error=str(showing.exception()))
            return Ending.NOT_SHOWN
        row = await self._row()
        match row.state:
            case State.APPROVED:
                return Ending.UPLOADED
            case State.DECLINED:
                return Ending.DECLINED
            case State.ENDED:
                return Ending(row.ending)
            case _:
                return None

    async def _gave_up(self, how: Ending) -> bool:
        """End the flare in the store if nobody has decided. A stop or a cancellation also overrides a decision."""
        states = _GIVEN_UP if how in {Ending.STOPPED, Ending.CANCELLED} else UNDECIDED
        return await self._parts.approvals.end(self.request.id, how, self._now(), from_states=states)

    # -- answering ------------------------------------------------------------------------------------------

    async def _approved(self, agent: Agent, held: Held) -> AgentResult:
        """
        Read the copy if one is wanted, then upload. The copy comes first: newer Agents remove an uploaded archive.

        While it is read, no upload is recorded yet, so a stop or a cancellation still ends the flare without one.
        """
        async with self._copied(held) as (archive, why_not):
            if self._over.is_set() and await self._gave_up(self._how):
                return await self._declined(agent, held, self._how)
            if not await self._parts.approvals.begin_upload(self.request.id, self._parts.holder, held.review.sha256):
                return await self._declined(agent, held, await self._ending())
            result = await self._uploaded(agent, held, why_not)
            if self.on_copy and archive and result.flare and result.flare.outcome.kind == "uploaded":
                await self.on_copy(held.review, archive)
            return result

    async def _uploaded(self, agent: Agent, held: Held, no_copy: str) -> AgentResult:
        """Answer `y`, and store the result."""
        self._to(State.UPLOADING, "Uploading")
        result = await held.approve()
        if no_copy and result.flare and result.flare.outcome.kind == "uploaded":
            remark = no_copy_kept(agent, held.review, no_copy)
            result = result.model_copy(update={"findings": (*result.findings, remark)})
        await self._keep_result(result)
        await self._ended(BY_OUTCOME[result.flare.outcome.kind] if result.flare else Ending.IN_DOUBT)
        return result

    @asynccontextmanager
    async def _copied(self, held: Held) -> AsyncIterator[tuple[bytes, str]]:
        """The approved archive's bytes, or why there are none; both are empty where no copy is wanted."""
        if self.on_copy is None:
            yield b"", ""
        elif self._parts.copies.locked():
            yield b"", f"csm has {COPIES_AT_ONCE} others in memory"
        else:
            async with self._parts.copies:
                self._to(State.APPROVED, "Reading the copy that is kept")
                yield await self._copy(held)

    async def _copy(self, held: Held) -> tuple[bytes, str]:
        copying = asyncio.ensure_future(held.copy(MOST_COPIED))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({copying, over}, return_when=asyncio.FIRST_COMPLETED)
            return (copying.result(), "") if copying.done() else (b"", "it was not read to its end")
        except NoCopy as error:
            return b"", str(error)
        finally:
            copying.cancel()
            over.cancel()
            await asyncio.wait({copying, over})

    async def _declined(self, agent: Agent, held: Held, how: Ending) -> AgentResult:
        result = await held.decline(WORDS[how])
        doubt = in_doubt(result)
        if not doubt and how is not Ending.DECLINED:
            result = ended_result(agent, how, held.review, like=result)
        await self._keep_result(result)
        await self._ended(doubt or how)
        return result

    # -- after the holder has gone ---------------------------------------------------------------------------

    async def _left_behind(self) -> Report:
        """Report what is known of an archive that another process, or an earlier instance of this one, was holding."""
        kept = next(iter((await self._parts.store.results(self.request.id)).values()), None)
        await self._ended(afterwards((await self._row()).state, kept))
        if kept is not None:
            return self._report(kept)
        row, agents = await self._row(), await self._parts.store.inventory(self.request.id)
        how = Ending(row.ending)
        if not agents:
            return self._report(None, WORDS[how])
        self._agent = agents[0]
        return self._report(await self._keep_result(ended_result(agents[0], how, row.review)))

    # -- helpers ----------------------------------------------------------------------------------------------

    async def _row(self) -> Approval:
        row = await self._parts.approvals.get(self.request.id)
        assert row is not None, f"{self.request.id} was claimed"
        return row

    async def _ending(self) -> Ending:
        """The ending that is in the store already; `LOST` if there is none."""
        return Ending((await self._row()).ending or Ending.LOST)

    async def _ended(self, how: Ending) -> None:
        await self._parts.approvals.end(self.request.id, how, self._now(), from_states=OPEN)

    async def _keep_result(self, result: AgentResult) -> AgentResult:
        await self._parts.store.keep_result(self.request, result, self._now())
        return result

    async def _expire(self) -> None:
        await self._parts.clock.sleep(max(0.0, self.expires_at - self._now()))
        self.end(Ending.EXPIRED)

    def _now(self) -> float:
        return self._parts.clock.now().timestamp()

    def _on_step(self, step: str) -> None:
        self._step = step
        self.on_change()

    def _to(self, state: State, step: str) -> None:
        self._state = state
        self._on_step(step)

    def _report(self, result: AgentResult | None, reason: str = "") -> Report:
        results = (result,) if result else ()
        return Report(
            run=self.request.id,
            command="flare",
            target=f"{self.request.target}/{result.agent}" if result else self.request.where,
            verdict=result.verdict if result else Verdict.UNKNOWN,
            reason=result.reason if result else reason,
            started=datetime.fromtimestamp(self.request.accepted_at, UTC),
            duration_s=round(max(0.0, self._now() - self.request.accepted_at), 3),
            counts=count(results),
            agents=results,
            requested_by=self.request.requested_by,
        )


def chosen(agents: Sequence[Agent], target: str, name: str) -> Agent:
    """The Agent of that name; without a name, the only one. Raises `NoAgents` with the nearest names."""
    if not agents:
        raise NoAgents(f"No Datadog Agent was found on {target}.")
    if not name and len(agents) == 1:
        return agents[0]
    if found := next((agent for agent in agents if agent.name == name), None):
        return found
    names = [agent.name for agent in agents]
    near = ", ".join(difflib.get_close_matches(name, names, n=3) or names[:3])
    if not name:
        raise NoAgents(f"{target} has {len(agents)} Agents; name one, such as {target}/{names[0]}.")
    raise NoAgents(f"{target} has no Agent named {name}. The nearest of its {len(names)} are: {near}.")


async def _nobody(_review: FlareReview) -> None:
    """Default of `FlareRun.on_review`: shows the review to nobody."""
