"""
Workflow of flares in Slack: the archive being built, the review card, and the card as the record of the outcome.

A card gets its buttons only after the store has recorded where the card is. So when a process dies, every card with
buttons can be found, and the process that resumes the run turns it into the record.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import structlog

from bot.render import flare_messages as cards
from bot.render.post import File, Post
from bot.runs.flare_outcome import Ending
from bot.runs.flare_session import FlareRun, FlareServices
from bot.runs.workflow import Workflow
from bot.slack.live_message import LiveMessage, Turns
from bot.slack.messenger import Messenger, Undeliverable
from bot.storage.store import RunRequest, Store
from handlers.executors.base import Executor
from handlers.model import FlareReview

log = structlog.get_logger(__name__)

CARD = "review"
"""Post key of the review card."""

PRESENTING_S = 15.0
"""How long to wait for a card that is still being posted when its flare has ended."""


class FlareWorkflow(Workflow):
    """Workflow of a flare: announce, hold until it is decided, record that on the card, close, attach the report."""

    def __init__(
        self,
        store: Store,
        messenger: Messenger,
        *,
        parts: FlareServices,
        targets: Mapping[str, Executor],
        turns: Turns,
        poll_s: float,
    ) -> None:
        super().__init__(store, messenger, parts.clock)
        self._parts = parts
        self._targets = targets
        self._turns = turns
        self._look_s = poll_s
        """Poll interval, in seconds, for decisions made through other processes."""
        self._held: dict[str, FlareRun] = {}
        """The flares that this process is building or holding, by run."""
        self._on: set[str] = set()
        """The runs in progress in this process: held, or being recorded."""
        self._idle = asyncio.Event()
        """Set when the last run of `_on` has ended."""

    # -- the workflow ---------------------------------------------------------------------------------------------

    async def carry_out(self, run: str) -> None:
        """Execute a run, and register it so that `stop` waits for it."""
        self._on.add(run)
        try:
            await super().carry_out(run)
        finally:
            self._on.discard(run)
            if not self._on:
                self._idle.set()

    def opening(self, request: RunRequest) -> Post:
        """The run message, before the Agent was found."""
        return cards.progress(self._flare(request).progress)

    async def proceed(self, run: str) -> None:
        """
        Hold the archive until the decision, and execute it.

        Then turn the card into the record of the decision, and the run message into the outcome.
        """
        await self.step("hold", self._hold, run)
        await self.step("record", self._record, run)
        await self.step("close", self._close, run)
        await self.step("attach", self.attach, run)

    async def report_internal_error(self, request: RunRequest) -> None:
        """Report an internal error: upload nothing from here on, and say so on the card and in the run message."""
        report = await self._flare(request).give_up()
        await self.store.finish(request.id, report, self.now())
        await self._record(request.id)
        await self._close(request.id)

    async def _hold(self, run: str) -> None:
        """Build the archive, show the review, wait for the decision, execute it, and store the report."""
        request = (await self.get_run(run)).request
        opening = await self.delivery.opening(run)
        flare = self._held[run] = self._flare(request)
        progress = LiveMessage(self.messenger, opening, lambda: cards.progress(flare.progress), self._turns)
        presenting: list[asyncio.Task[None]] = []

        async def present(review: FlareReview) -> None:
            presenting.append(asyncio.create_task(self._present(request, review), name=f"review of {run}"))
            await asyncio.shield(presenting[0])

        try:
            async with progress as live:
                flare.on_change, flare.on_review = live.changed, present
                if self._parts.keep_copy:
                    flare.on_copy = lambda review, archive: self._keep_copy(run, review, archive)
                report = await flare.carry_out()
            # A call in progress must not reach Slack after the record: it would show the buttons again.
            if presenting:
                await asyncio.wait(presenting, timeout=PRESENTING_S)
        finally:
            for task in presenting:
                task.cancel()
            self._held.pop(run, None)
        await self.store.finish(run, report, self.now())

    async def _record(self, run: str) -> None:
        """Turn the card, if there is one, into the record of the decision."""
        if await self.store.post(run, CARD) is None:
            return
        opening = await self.delivery.opening(run)
        row = await self._parts.approvals.get(run)
        assert row is not None, f"{run} has a card, so it was claimed"
        assert row.review is not None, f"{run} has a card, so there was an archive"
        post = cards.record(
            await self.report(run),
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

    async def _close(self, run: str) -> None:
        """Turn the run message into the outcome."""
        row = await self._parts.approvals.get(run)
        ending, decided_by = (row.ending, row.decided_by) if row else ("", "")
        cancelled_by = (await self.get_run(run)).cancelled_by
        await self.delivery.show(run, cards.closing(await self.report(run), ending, decided_by, cancelled_by))

    # -- decisions, cancellation, shutdown ------------------------------------------------------------------------

    def decided(self, run: str) -> None:
        """Wake the flare after a decision in this process, so that it does not wait for the next poll."""
        if flare := self._held.get(run):
            flare.decided()

    def end(self, run: str, how: Ending) -> None:
        """End a flare that this process holds, as `FlareRun.end` does."""
        if flare := self._held.get(run):
            flare.end(how)

    async def show_record(self, run: str) -> None:
        """Turn the card of an ended run into the record, after a click that shows that it still has buttons."""
        get_run = await self.store.run(run)
        if get_run is not None and get_run.report is not None:
            await self._record(run)

    async def watch(self) -> None:
        """Poll for decisions and cancellations made through other processes, until cancelled."""
        while True:
            try:
                if self._held:
                    for run, cancelled in await self._parts.approvals.news(self._parts.holder):
                        self.end(run, Ending.CANCELLED) if cancelled else self.decided(run)
            except Exception:  # any error: the next poll must still see the decisions made elsewhere
                log.exception("flare.watch_failed")
            await asyncio.sleep(self._look_s)

    async def stop(self, patience_s: float) -> None:
        """End all flares held here. Returns when they have ended and their cards say so, or after `patience_s`."""
        for flare in list(self._held.values()):
            flare.end(Ending.STOPPED)
        self._idle.clear()
        if self._on:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), patience_s)

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _flare(self, request: RunRequest) -> FlareRun:
        return FlareRun(request, self._targets[request.target], self._parts)

    async def _keep_copy(self, run: str, review: FlareReview, archive: bytes) -> None:
        """Share the archive into the thread. It was uploaded to Datadog already, so a failed copy is only logged."""
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
        expires_at = request.accepted_at + self._parts.expires_s
        asked = (run, self._held[run].progress.target, request.requested_by, review, expires_at)
        sent = await self.messenger.post_once(
            run, cards.card(*asked, buttons=False), channel=opening.channel, thread_ts=opening.ts
        )
        await self.delivery.attach(run, "list", [cards.file_list(run, review)], "Everything that is in the archive.")
        await self.messenger.update(sent, cards.card(*asked))
