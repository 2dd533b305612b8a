"""
Steps common to all runs: a run is announced, executed step by step, and ended visibly.

A run is a workflow of the durable engine, and each step may be repeated: the store knows which results exist, the
messenger which posts were sent. So a process that is killed at any moment continues where it was after its restart.
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
    """One kind of run. `bot.runs.engine.WORKFLOW_VERSION` is the version of its steps' names and order."""

    def __init__(self, store: Store, messenger: Messenger, clock: Clock) -> None:
        self.store = store
        self.messenger = messenger
        self.clock = clock
        self.delivery = RunThread(store, messenger)

    async def carry_out(self, run: str) -> None:
        """Execute a run from the accepted command to the last message of its thread, or resume it at any step."""
        structlog.contextvars.bind_contextvars(run=run)  # for every log line of this workflow and of what it starts
        try:
            if refused := await self.step("announce", self._announce, run):
                await self.step("apologise", self._notify_requester, run, refused)
            else:
                await self.proceed(run)
        except Exception:  # every accepted run ends visibly, also after an internal error
            log.exception("run.defect", run=run)
            await self.step("give up", self._give_up, run)
        await self.step("end", self._end, run)

    async def step(self, name: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run `work`, or take what it returned before a restart. It returns plain values, which the engine stores."""
        return await DBOS.run_step_async({"name": name}, work, *arguments)

    # -- specific to each kind of run ---------------------------------------------------------------------------

    @abc.abstractmethod
    def opening(self, request: RunRequest) -> Post:
        """The run message, as it is first posted."""

    @abc.abstractmethod
    async def proceed(self, run: str) -> None:
        """The steps between the announcement and the end."""

    @abc.abstractmethod
    async def report_internal_error(self, request: RunRequest) -> None:
        """Called after an internal error: says so in the run message, because every run must end visibly."""

    # -- steps of all runs ----------------------------------------------------------------------------------------

    async def attach(self, run: str) -> None:
        """Share the report's files into the thread."""
        comment = f"The full report of {run}, as JSON and as text."
        await self.delivery.attach(run, "files", thread.files(await self.report(run)), comment)

    async def _announce(self, run: str) -> str:
        """Post the run message. Returns Slack's error code if it is refused, otherwise an empty string."""
        get_run = await self.get_run(run)
        request = get_run.request
        try:
            sent = await self.messenger.post_once(run, self.opening(request), channel=request.channel)
        except Undeliverable as error:
            return error.error
        if not get_run.permalink:
            await self.store.update_run(run, permalink=await self.messenger.permalink(sent))
        return ""

    async def _notify_requester(self, run: str, error: str) -> None:
        """Notify the requester alone that the run message cannot be posted in the channel."""
        request = (await self.get_run(run)).request
        post = not_posted(request.where, error)
        if not (request.response_url and await self.messenger.respond(request.response_url, post)):
            with contextlib.suppress(Undeliverable):
                await self.messenger.post_once(run, post, channel=request.requested_by)

    async def _give_up(self, run: str) -> None:
        if await self.delivery.is_announced(run):
            await self.report_internal_error((await self.get_run(run)).request)
        else:
            await self._notify_requester(run, "internal_error")

    async def _end(self, run: str) -> None:
        get_run = await self.get_run(run)  # read it before it is done: a run that is done may be pruned at once
        await self.store.update_run(run, state="done", finished_at=self.now())
        metrics.RUNS.labels(get_run.request.command, get_run.verdict or "none").inc()
        if get_run.report is not None:
            metrics.RUN_SECONDS.labels(get_run.request.command).observe(get_run.report.duration_s)

    # -- helpers for steps ----------------------------------------------------------------------------------------

    async def get_run(self, run: str) -> RunRecord:
        """The stored run, which must have been accepted."""
        get_run = await self.store.run(run)
        assert get_run is not None, f"{run} was accepted, so it is in the store"
        return get_run

    async def report(self, run: str) -> Report:
        """The report of a run, which must have one by now."""
        report = (await self.get_run(run)).report
        assert report is not None, f"{run} was carried out, so its report is in the store"
        return report

    def now(self) -> float:
        """The current time, in seconds since the epoch."""
        return self.clock.now().timestamp()
