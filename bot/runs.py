"""
A run, from the accepted command to the last message of its thread, durable at every step.

A run is a workflow of the durable engine, and each step may be repeated: the store knows which Agents
have answered, the messenger which posts were sent. So a process that is killed at any moment goes on
where it was when it is started again, and no thread is left without its ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID

from bot import metrics, tracing
from bot.examination import Ask, Examination, Pace, Places
from bot.live import LiveMessage, Turns
from bot.messenger import GONE, Messenger, Undeliverable
from bot.render import slack
from bot.render import thread as thread_of
from bot.render.not_posted import not_posted
from bot.render.post import Post
from bot.storage.store import Accepted, RunRecord, RunRequest, Sent, Store
from handlers.errors import TargetError
from handlers.executors.base import Executor
from handlers.model import Report
from handlers.ports import Clock

log = structlog.get_logger(__name__)

WORKFLOW_VERSION = "1"
"""Raised when the order of steps changes. Runs of another version are not continued by this process."""

CANCEL_POLL_S = 1.0
"""How soon a cancellation from another process is noticed."""


@dataclass(frozen=True)
class Command:
    """What the run engine needs to know of a command."""

    ask: Ask
    events_url: Callable[[Report], str | None] = lambda _report: None
    """A link to what the command left behind in Datadog."""


class Runs:
    """All runs of this process. `launch` before use; one per process, as the engine is."""

    def __init__(
        self,
        *,
        store: Store,
        messenger: Messenger,
        targets: Mapping[str, Executor],
        commands: Mapping[str, Command],
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._store = store
        self._messenger = messenger
        self._targets = targets
        self._commands = commands
        self._clock = clock
        self._pace = pace
        self._places = Places(pace)
        self._turns = Turns()
        self._examinations: dict[str, Examination] = {}
        self._to_start: asyncio.Queue[str] = asyncio.Queue()
        self._starter: asyncio.Task[None] | None = None
        self._carrying: set[asyncio.Task[Any]] = set()

    async def launch(self, database_url: str, *, executor_id: str = "local") -> None:
        """Start the engine, and go on with the runs that a former process left behind."""
        config = DBOSConfig(
            name="csm",
            system_database_url=database_url,
            application_version=WORKFLOW_VERSION,
            executor_id=executor_id,
            notification_listener_polling_interval_sec=0.05,
            log_level="WARNING",
        )
        logging.getLogger("dbos").setLevel(logging.WARNING)
        DBOS(config=config)

        # The engine marks the function that it registers, which a bound method does not allow.
        async def carry_out(run: str) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)
            await self._carry_out(run)

        self._workflow = DBOS.workflow(name="csm.run")(carry_out)
        DBOS.launch()
        # Those that the engine never heard of: accepted, and killed before they were started.
        left = [request.id for request in await self._store.unfinished()]
        known = {found.workflow_id for found in await DBOS.list_workflows_async(workflow_ids=left)} if left else set()
        for run in left:
            if run not in known:
                self._to_start.put_nowait(run)
        self._starter = asyncio.create_task(self._start_runs(), name="start runs")

    @property
    def open(self) -> int:
        """How many runs are examining Agents right now."""
        return len(self._examinations)

    async def aclose(self) -> None:
        """Stop. Runs that have not ended go on when the next process is launched."""
        tasks = {*self._carrying, *([self._starter] if self._starter else [])}
        # To the engine a task that is cancelled is one whose process died: nothing of it is recorded. It warns of each.
        logging.getLogger("dbos").setLevel(logging.ERROR)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as own:
            await loop.run_in_executor(own, DBOS.destroy)
        # The engine made its pool the loop's own, and has shut it down.
        loop.set_default_executor(ThreadPoolExecutor())

    async def accept(self, request: RunRequest) -> Accepted:
        """
        Make a command durable. When this returns, it is carried out whatever happens.

        A command for Agents that are being asked, or were within the last minute, joins that run.
        """
        accepted = await self._store.accept(request, join_since=request.accepted_at - self._pace.min_interval_s)
        if accepted.fresh:
            self._to_start.put_nowait(request.id)
        return accepted

    async def cancel(self, run: str, by: str, where: str) -> bool:
        """Ask a run to stop; what was found so far is kept. False when there is nothing to stop."""
        asked = await self._store.cancel(run, by, where)
        if asked and (examination := self._examinations.get(run)):
            examination.cancel()
        return asked

    async def _start_runs(self) -> None:
        while True:
            run = await self._to_start.get()
            try:
                with SetWorkflowID(run):
                    await DBOS.start_workflow_async(self._workflow, run)
            except Exception:
                # The run is in the store, and is tried again by the next process at the latest.
                log.exception("run.not_started", run=run)

    # -- the workflow -------------------------------------------------------------------------------------

    async def _carry_out(self, run: str) -> None:
        structlog.contextvars.bind_contextvars(run=run)  # for every log line of this workflow and of what it starts
        try:
            if refused := await self._step("announce", self._announce, run):
                await self._step("apologise", self._apologise, run, refused)
            else:
                with tracing.span("run", run=run):
                    await self._step("examine", self._examine, run)
                await self._step("close", self._close, run)
                for number in range(await self._step("count", self._count, run)):
                    await self._step(f"tell {number}", self._tell, run, number)
                await self._step("attach", self._attach, run)
        except Exception:
            log.exception("run.defect", run=run)
            await self._step("give up", self._give_up, run)
        await self._step("end", self._end, run)

    async def _step(self, name: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await DBOS.run_step_async({"name": name}, work, *arguments)

    # -- its steps; each may be repeated, and returns plain values ------------------------------------------

    async def _announce(self, run: str) -> str:
        """Post the run's one message. Returns Slack's word for it when that is refused."""
        request = await self._request(run)
        try:
            sent = await self._messenger.post_once(
                run, slack.opening(self._examination(request).progress), channel=request.channel
            )
        except Undeliverable as error:
            return error.error
        if not (await self._record(run)).permalink:
            await self._store.update_run(run, permalink=await self._messenger.permalink(sent))
        return ""

    async def _apologise(self, run: str, error: str) -> None:
        """Tell the person alone, since the channel cannot be told."""
        request = await self._request(run)
        post = not_posted(request.where, error)
        if not (request.response_url and await self._messenger.respond(request.response_url, post)):
            with contextlib.suppress(Undeliverable):
                await self._messenger.post_once(run, post, channel=request.requested_by)

    async def _examine(self, run: str) -> None:
        """Ask the Agents, show how it goes, and keep the report."""
        request = await self._request(run)
        examination = self._examinations[run] = self._examination(request)
        try:
            async with (
                LiveMessage(
                    self._messenger, await self._opening(run), lambda: slack.opening(examination.progress), self._turns
                ) as live,
                self._cancellable(examination),
            ):
                examination.on_change = live.changed
                try:
                    await examination.examine()
                    report = await examination.report()
                except TargetError as error:
                    report = examination.failed(error)
                    await self._store.update_run(run, state="running")
                    log.info("run.target_failed", run=run, target=request.target, error=type(error).__name__)
        finally:
            del self._examinations[run]
        await self._store.finish(run, report, self._clock.now().timestamp())
        metrics.RUNS.labels(report.command, report.verdict).inc()
        metrics.RUN_SECONDS.labels(report.command).observe(report.duration_s)

    async def _close(self, run: str) -> None:
        """Turn the run's message into the verdict."""
        report = await self._report(run)
        if report.agents:
            post = slack.closing(report)
        else:
            request = await self._request(run)
            post = slack.failed(self._examination(request).progress, report.reason, report.remedy)
        await self._show(run, post)

    async def _count(self, run: str) -> int:
        return len(self._thread(await self._report(run)))

    async def _tell(self, run: str, number: int) -> None:
        post = self._thread(await self._report(run))[number]
        opening = await self._opening(run)
        await self._undelivered_is_logged(
            run, self._messenger.post_once(run, post, channel=opening.channel, thread_ts=opening.ts)
        )

    async def _attach(self, run: str) -> None:
        report = await self._report(run)
        opening = await self._opening(run)
        comment = f"The full report of {run}, as JSON and as text."
        await self._undelivered_is_logged(
            run,
            self._messenger.attach_once(
                run, "files", thread_of.files(report), channel=opening.channel, thread_ts=opening.ts, comment=comment
            ),
        )

    async def _give_up(self, run: str) -> None:
        """A defect of csm: say so where the run is, since every run ends visibly."""
        request = await self._request(run)
        if not await self._is_announced(run):
            await self._apologise(run, "internal_error")
            return
        reason = f"csm itself failed in {run}. Nothing is known about the Agents from this run."
        remedy = f"Ask again. If it happens again, the log of csm has the details under {run}."
        await self._show(run, slack.failed(self._examination(request).progress, reason, remedy))

    async def _end(self, run: str) -> None:
        await self._store.update_run(run, state="done", finished_at=self._clock.now().timestamp())

    # -- how ----------------------------------------------------------------------------------------------------

    async def _show(self, run: str, post: Post) -> None:
        """Update the run's message, or, when that is not possible any more, say it in its thread."""
        opening = await self._opening(run)
        try:
            await self._messenger.update(opening, post)
        except Undeliverable as error:
            log.warning("run.message_not_updated", run=run, error=error.error)
            if error.error in GONE:
                await self._undelivered_is_logged(
                    run, self._messenger.post_once(run, _renamed(post, "closing"), channel=opening.channel)
                )

    async def _undelivered_is_logged(self, run: str, sending: Awaitable[Any]) -> None:
        try:
            await sending
        except Undeliverable as error:
            log.warning("run.post_undeliverable", run=run, error=error.error)

    @contextlib.asynccontextmanager
    async def _cancellable(self, examination: Examination) -> AsyncIterator[None]:
        """Notice a cancellation that another process, or an earlier life of this one, was asked for."""

        async def watch() -> None:
            while not await self._store.cancelled_by(examination.request.id):
                await self._clock.sleep(CANCEL_POLL_S)
            examination.cancel()

        watching = asyncio.create_task(watch(), name=f"watch {examination.request.id}")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    def _examination(self, request: RunRequest) -> Examination:
        return Examination(
            request,
            ask=self._commands[request.command].ask,
            executor=self._targets[request.target],
            store=self._store,
            clock=self._clock,
            pace=self._pace,
            places=self._places,
        )

    def _thread(self, report: Report) -> list[Post]:
        if not report.agents:
            return []
        return list(thread_of.thread(report, events_url=self._commands[report.command].events_url(report)))

    async def _request(self, run: str) -> RunRequest:
        return (await self._record(run)).request

    async def _record(self, run: str) -> RunRecord:
        record = await self._store.run(run)
        assert record is not None, f"{run} was accepted, so it is in the store"
        return record

    async def _report(self, run: str) -> Report:
        report = (await self._record(run)).report
        assert report is not None, f"{run} was examined, so its report is in the store"
        return report

    async def _is_announced(self, run: str) -> bool:
        sent = await self._store.post(run, "opening")
        return sent is not None and bool(sent.ts)

    async def _opening(self, run: str) -> Sent:
        sent = await self._store.post(run, "opening")
        assert sent is not None, f"{run} was announced"
        return sent


def _renamed(post: Post, key: str) -> Post:
    return Post(key=key, text=post.text, blocks=post.blocks)
