"""
What every run does: it is announced, carried out step by step, and ended where people can see it.

A run is a workflow of the durable engine, and each step may be repeated: the store knows what was found, the messenger
which posts were sent. So a process that is killed at any moment goes on where it was when it is started again.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from dbos import DBOS

from bot.render import thread
from bot.render.ephemeral_fallback import not_posted
from bot.render.post import Post
from bot.runtime import metrics
from bot.slack.messenger import Messenger, Undeliverable
from bot.slack.run_thread import RunThread
from bot.storage.store import RunRecord, RunRequest, Store
from handlers.model import Report
from handlers.ports import Clock

log = structlog.get_logger(__name__)


class Workflow(abc.ABC):
    """One kind of run. Its steps' names and order are what `bot.runs.engine.WORKFLOW_VERSION` stands for."""

    def __init__(self, store: Store, messenger: Messenger, clock: Clock) -> None:
        self.store = store
        self.messenger = messenger
        self.clock = clock
        self.delivery = RunThread(store, messenger)

    async def carry_out(self, run: str) -> None:
        """From the accepted command to the last message of its thread, wherever it stands."""
        structlog.contextvars.bind_contextvars(run=run)  # for every log line of this workflow and of what it starts
        try:
            if refused := await self.step("announce", self._announce, run):
                await self.step("apologise", self._apologise, run, refused)
            else:
                await self.proceed(run)
        except Exception:  # every accepted run ends visibly, also through a defect of ours
            log.exception("run.defect", run=run)
            await self.step("give up", self._give_up, run)
        await self.step("end", self._end, run)

    async def step(self, name: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Do `work` once, or take what it returned in an earlier life of this run. It returns plain values."""
        return await DBOS.run_step_async({"name": name}, work, *arguments)

    # -- what each kind does in its own way ---------------------------------------------------------------------

    @abc.abstractmethod
    def opening(self, request: RunRequest) -> Post:
        """The run's one message, as it begins."""

    @abc.abstractmethod
    async def proceed(self, run: str) -> None:
        """The steps between the announcement and the end."""

    @abc.abstractmethod
    async def own_up(self, request: RunRequest) -> None:
        """A defect of csm: say so where the run is, since every run ends visibly."""

    # -- the steps of all -----------------------------------------------------------------------------------------

    async def attach(self, run: str) -> None:
        """Put the report's files into the thread."""
        comment = f"The full report of {run}, as JSON and as text."
        await self.delivery.attach(run, "files", thread.files(await self.report(run)), comment)

    async def _announce(self, run: str) -> str:
        """Post the run's one message. Returns Slack's word for it when that is refused."""
        record = await self.record(run)
        request = record.request
        try:
            sent = await self.messenger.post_once(run, self.opening(request), channel=request.channel)
        except Undeliverable as error:
            return error.error
        if not record.permalink:
            await self.store.update_run(run, permalink=await self.messenger.permalink(sent))
        return ""

    async def _apologise(self, run: str, error: str) -> None:
        """Tell the person alone, since the channel cannot be told."""
        request = (await self.record(run)).request
        post = not_posted(request.where, error)
        if not (request.response_url and await self.messenger.respond(request.response_url, post)):
            with contextlib.suppress(Undeliverable):
                await self.messenger.post_once(run, post, channel=request.requested_by)

    async def _give_up(self, run: str) -> None:
        if await self.delivery.is_announced(run):
            await self.own_up((await self.record(run)).request)
        else:
            await self._apologise(run, "internal_error")

    async def _end(self, run: str) -> None:
        record = await self.record(run)  # before it is done, since what is done may be forgotten at once
        await self.store.update_run(run, state="done", finished_at=self.now())
        metrics.RUNS.labels(record.request.command, record.verdict or "none").inc()
        if record.report is not None:
            metrics.RUN_SECONDS.labels(record.request.command).observe(record.report.duration_s)

    # -- what the steps know --------------------------------------------------------------------------------------

    async def record(self, run: str) -> RunRecord:
        """What the store knows of a run that was accepted."""
        record = await self.store.run(run)
        assert record is not None, f"{run} was accepted, so it is in the store"
        return record

    async def report(self, run: str) -> Report:
        """The report of a run that has one by now."""
        report = (await self.record(run)).report
        assert report is not None, f"{run} was carried out, so its report is in the store"
        return report

    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock.now().timestamp()
