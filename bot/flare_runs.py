"""
The flares of this process in Slack: the archive being built, the review card, and the card as the record.

A card gets its buttons only when the store knows where it is. So whatever a process leaves behind when it dies, every
card that looks alive can be found, and is turned into the record by whoever goes on with the run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from bot.delivery import Delivery
from bot.flare import Ending, Flare, FlareParts
from bot.live import LiveMessage, Turns
from bot.messenger import Messenger, Undeliverable
from bot.render import flare as cards
from bot.render.post import File
from bot.storage.store import RunRequest, Store
from handlers.executors.base import Executor
from handlers.model import FlareReview, Report

log = structlog.get_logger(__name__)

CARD = "review"
"""The key of the card among a run's posts."""

PRESENTING_S = 15.0
"""How long a card that is being posted may still take when its flare has ended."""


@dataclass(frozen=True)
class FlareRuns:
    """What a flare's run does besides what every run does. Every method may be repeated."""

    parts: FlareParts
    store: Store
    messenger: Messenger
    delivery: Delivery
    targets: Mapping[str, Executor]
    turns: Turns
    look_s: float
    """How often the store is asked for decisions that were made elsewhere."""
    held: dict[str, Flare] = field(default_factory=dict)
    """The flares that this process is building or holding, by run."""
    on: set[str] = field(default_factory=set)
    """The runs that are on in this process: held, or being recorded."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever the last of them has ended."""

    def flare(self, request: RunRequest) -> Flare:
        """The flare of a request."""
        return Flare(request, self.targets[request.target], self.parts)

    @contextlib.contextmanager
    def carrying_out(self, run: str) -> Iterator[None]:
        """While a run is carried out, a process that is stopped waits for it a little."""
        self.on.add(run)
        try:
            yield
        finally:
            self.on.discard(run)
            if not self.on:
                self.idle.set()

    async def hold(self, request: RunRequest) -> None:
        """Build, show, wait, do as was decided, and keep the report."""
        run = request.id
        flare = self.held[run] = self.flare(request)
        opening = await self.delivery.opening(run)
        progress = LiveMessage(self.messenger, opening, lambda: cards.progress(flare.progress), self.turns)
        presenting: list[asyncio.Task[None]] = []

        async def present(review: FlareReview) -> None:
            presenting.append(asyncio.create_task(self._present(request, review), name=f"review of {run}"))
            await asyncio.shield(presenting[0])

        try:
            async with progress as live:
                flare.on_change, flare.on_review = live.changed, present
                if self.parts.keep_copy:
                    flare.on_copy = lambda review, archive: self._keep_copy(run, review, archive)
                report = await flare.carry_out()
            # A call that is on its way must not reach Slack after the record: its buttons would look alive.
            if presenting:
                await asyncio.wait(presenting, timeout=PRESENTING_S)
        finally:
            for task in presenting:
                task.cancel()
            self.held.pop(run, None)
        await self.store.finish(run, report, self.parts.clock.now().timestamp())

    async def give_up(self, request: RunRequest) -> None:
        """Nothing more is done for this flare, and its report says what is known."""
        report = await self.flare(request).give_up()
        await self.store.finish(request.id, report, self.parts.clock.now().timestamp())

    async def close(self, request: RunRequest, report: Report, cancelled_by: str) -> None:
        """Turn the run's message into the outcome."""
        row = await self.parts.approvals.get(request.id)
        ending, decided_by = (row.ending, row.decided_by) if row else ("", "")
        await self.delivery.show(request.id, cards.closing(report, ending, decided_by, cancelled_by))

    async def record(self, request: RunRequest, report: Report) -> None:
        """Turn the card into the record of what was decided, if there is a card."""
        run = request.id
        if await self.store.post(run, CARD) is None:
            return
        opening = await self.delivery.opening(run)
        row = await self.parts.approvals.get(run)
        assert row is not None, f"{run} has a card, so it was claimed"
        assert row.review is not None, f"{run} has a card, so there was an archive"
        post = cards.record(
            report,
            row.review,
            ending=row.ending,
            decided_by=row.decided_by,
            decided_at=row.decided_at,
        )
        try:
            sent = await self.messenger.post_once(run, post, channel=opening.channel, thread_ts=opening.ts)
            await self.messenger.update(sent, post)
        except Undeliverable as error:
            log.warning("flare.card_not_updated", run=run, error=error.error)

    def decided(self, run: str) -> None:
        """Somebody has decided here: do not wait to find it in the store."""
        if flare := self.held.get(run):
            flare.decided()

    def end(self, run: str, how: Ending) -> None:
        """End a flare that this process holds."""
        if flare := self.held.get(run):
            flare.end(how)

    async def watch(self) -> None:
        """Notice, for as long as it runs, what was decided or cancelled through another process."""
        while True:
            try:
                if self.held:
                    for run, cancelled in await self.parts.approvals.news(self.parts.holder):
                        self.end(run, Ending.CANCELLED) if cancelled else self.decided(run)
            except Exception:
                log.exception("flare.watch_failed")
            await asyncio.sleep(self.look_s)

    async def stop(self, patience_s: float) -> None:
        """End all that are held; returns when they have ended and their cards say so, or patience is at its end."""
        for flare in list(self.held.values()):
            flare.end(Ending.STOPPED)
        self.idle.clear()
        if self.on:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), patience_s)

    # -- how ----------------------------------------------------------------------------------------------------

    async def _keep_copy(self, run: str, review: FlareReview, archive: bytes) -> None:
        """Put the archive into the thread. It went to Datadog already, so a copy that fails changes nothing."""
        file = File(review.name, review.name, "", "", archive)
        try:
            await self.delivery.attach(
                run, "archive", [file], f"The archive that was approved, SHA-256 {review.sha256}."
            )
        except Exception:
            log.exception("flare.copy_not_kept", run=run)

    async def _present(self, request: RunRequest, review: FlareReview) -> None:
        """Post the card without its buttons, then the list of files, then give the card its buttons."""
        run = request.id
        opening = await self.delivery.opening(run)
        expires_at = request.accepted_at + self.parts.expires_s
        asked = (run, self.held[run].progress.target, request.requested_by, review, expires_at)
        sent = await self.messenger.post_once(
            run, cards.card(*asked, buttons=False), channel=opening.channel, thread_ts=opening.ts
        )
        await self.delivery.attach(run, "list", [cards.file_list(run, review)], "Everything that is in the archive.")
        await self.messenger.update(sent, cards.card(*asked))
