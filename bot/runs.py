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
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID

from bot import metrics, tracing
from bot.delivery import Delivery
from bot.examination import Ask, Examination, Pace, Places
from bot.flare import Ending, FlareParts, Hold
from bot.flare_runs import FlareRuns
from bot.live import LiveMessage, Turns
from bot.messenger import Messenger, Undeliverable
from bot.render import flare as flare_cards
from bot.render import slack
from bot.render import thread as thread_of
from bot.render.not_posted import not_posted
from bot.render.post import Post
from bot.rush import Rush
from bot.storage.approvals import UNDECIDED, Approvals
from bot.storage.replicas import Replicas
from bot.storage.store import Accepted, RunRecord, RunRequest, Store
from bot.succession import Succession, life_of
from handlers.errors import TargetError
from handlers.executors.base import Executor
from handlers.model import Report
from handlers.ports import Clock

log = structlog.get_logger(__name__)

WORKFLOW_VERSION = "1"
"""Raised when the order of steps changes: runs of another version are begun again, not continued (docs/adr/0012)."""

CANCEL_POLL_S = 1.0
"""How soon a cancellation from another process is noticed."""


LOOK_S = 0.05
"""How soon a decision that was made through another replica is noticed."""

BEAT_S = 2.0
"""How often a replica says that it is alive."""

DEAD_AFTER_S = 12.0
"""How long a replica may be silent before the others go on with its runs."""

STOP_S = 5.0
"""How long flares may take to end, and to say so, when the process is stopped."""


@dataclass(frozen=True)
class Flaring:
    """What the run engine needs to know of flares."""

    hold: Hold
    expires_s: float = 1800.0
    """Until when an archive may be approved, from the request."""
    keep_copy: bool = False


@dataclass(frozen=True)
class Command:
    """What the run engine needs to know of a command that asks every Agent."""

    ask: Ask
    events_url: Callable[[Report], str | None] = lambda _report: None
    """A link to what the command left behind in Datadog."""
    min_interval_s: float | None = None
    """Within which an Agent's last answer is taken again; `None` for what the settings say."""

    def pace(self, usual: Pace) -> Pace:
        """How hard targets are worked by this command."""
        return usual if self.min_interval_s is None else replace(usual, min_interval_s=self.min_interval_s)


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
        flaring: Flaring,
        rush: Rush | None = None,
        replica: str = "",
        dead_after_s: float = DEAD_AFTER_S,
        look_s: float | None = None,
    ) -> None:
        self._store = store
        self._messenger = messenger
        self._delivery = Delivery(store, messenger)
        self.life = life_of(WORKFLOW_VERSION, f"{replica[:32]}-{secrets.token_hex(8)}".strip("-"))
        """This process, this time."""
        self.approvals = Approvals(store)
        self._replicas = Replicas(store, dead_after_s=dead_after_s)
        self._beat_s = dead_after_s / DEAD_AFTER_S * BEAT_S
        self._shared = store.engine.dialect.name != "sqlite"
        self._targets = targets
        self._commands = commands
        self._clock = clock
        self._pace = pace
        self._places = Places(pace)
        self._turns = Turns()
        self._examinations: dict[str, Examination] = {}
        self._flares = FlareRuns(
            parts=FlareParts(
                flaring.hold, store, self.approvals, clock, self.life, flaring.expires_s, flaring.keep_copy
            ),
            store=store,
            messenger=messenger,
            delivery=self._delivery,
            targets=targets,
            turns=self._turns,
            look_s=look_s or (LOOK_S if self._shared else CANCEL_POLL_S),
        )
        self._rush = rush or Rush()
        self._to_start: asyncio.Queue[RunRequest] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []
        """What runs as long as this process does."""
        self.carrying: set[asyncio.Task[Any]] = set()
        """The runs that are on."""

    async def launch(self, database_url: str) -> None:
        """
        Start the engine, and go on with the runs that a former process left behind.

        Where several replicas share a database, each is an executor of its own, and goes on with the runs of those
        that are not heard of any more; on SQLite there is one process, and whatever is there was a former one's.
        """
        executor_id = self.life if self._shared else "local"
        if self._shared:
            await self._replicas.alive(self.life)
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
            self._remember_task()
            await self._carry_out(run)

        async def carry_out_flare(run: str) -> None:
            self._remember_task()
            await self._carry_out_flare(run)

        self._workflow = DBOS.workflow(name="csm.run")(carry_out)
        self._flare_workflow = DBOS.workflow(name="csm.flare")(carry_out_flare)
        DBOS.launch()
        succession = Succession(
            self._store, self._replicas, version=WORKFLOW_VERSION, life=self.life, start=self._start
        )
        await succession.start_unfinished()
        self.tasks = [
            asyncio.create_task(self._start_runs(), name="start runs"),
            asyncio.create_task(self._flares.watch(), name="watch flares"),
        ]
        if self._shared:
            self.tasks.append(asyncio.create_task(succession.watch(self._beat_s), name="succeed the dead"))

    @property
    def open(self) -> int:
        """How many runs are examining Agents right now."""
        return len(self._examinations)

    async def aclose(self) -> None:
        """Stop. Flares end without an upload; runs that have not ended go on when the next process is launched."""
        await self._flares.stop(STOP_S)
        # To the engine a task that is cancelled is one whose process died: nothing of it is recorded. It warns of each.
        logging.getLogger("dbos").setLevel(logging.ERROR)
        tasks = {*self.carrying, *self.tasks}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await end_engine()
        if self._shared:
            await self._replicas.left(self.life)

    async def decide(self, run: str, decision: str, *, sha256: str, by: str, where: str) -> bool:
        """
        Record a person's decision on a flare, and let whoever holds the archive know. True when it is the one that counts.

        Whether the person may decide is the caller's to know.
        """
        at = self._clock.now().timestamp()
        counts = await self.approvals.decide(run, decision, sha256=sha256, by=by, at=at, where=where)
        if counts:
            log.info("flare.decided", run=run, decision=decision, by=by, sha256=sha256)
            self._flares.decided(run)
        return counts

    async def give_up(self, run: str) -> None:
        """The process that held this run's archive is gone: nobody can approve it any more, and its card says so."""
        await self.approvals.end(run, Ending.LOST, self._clock.now().timestamp(), from_states=UNDECIDED)

    async def show_record(self, run: str) -> None:
        """Somebody clicked on a card of an ended run, so it may look alive: make it the record."""
        record = await self._store.run(run)
        if record is not None and record.report is not None:
            await self._flares.record(record.request, record.report)

    async def holds(self, holder: str) -> bool:
        """Whether the process that holds an archive is alive."""
        return holder == self.life or (self._shared and await self._replicas.is_alive(holder))

    async def accept(self, request: RunRequest) -> Accepted:
        """
        Make a command durable. When this returns, it is carried out whatever happens.

        A command for Agents that are being asked, or were within the last minute, joins that run.
        """
        since = None  # each flare is another archive, for another case
        if request.command != "flare":
            since = request.accepted_at - self._commands[request.command].pace(self._pace).min_interval_s
        accepted = await self._store.accept(request, join_since=since)
        if accepted.fresh:
            self._to_start.put_nowait(request)
        return accepted

    async def cancel(self, run: str, by: str, where: str) -> bool:
        """Ask a run to stop; what was found so far is kept. False when there is nothing to stop."""
        asked = await self._store.cancel(run, by, where)
        if asked and (examination := self._examinations.get(run)):
            examination.cancel()
        if asked:
            self._flares.end(run, Ending.CANCELLED)
        return asked

    def _remember_task(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.carrying.add(task)
        task.add_done_callback(self.carrying.discard)

    async def _start_runs(self) -> None:
        while True:
            request = await self._to_start.get()
            await self._rush.over()
            await self._start(request)

    async def _start(self, request: RunRequest) -> None:
        """Start a run's workflow; where there is one, this changes nothing."""
        workflow = self._flare_workflow if request.command == "flare" else self._workflow
        try:
            with SetWorkflowID(request.id):
                await DBOS.start_workflow_async(workflow, request.id)
        except Exception:
            # The run is in the store, and is tried again by the next process at the latest.
            log.exception("run.not_started", run=request.id)

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

    async def _carry_out_flare(self, run: str) -> None:
        structlog.contextvars.bind_contextvars(run=run)
        with self._flares.carrying_out(run):
            try:
                await self._flared(run)
            except Exception:
                log.exception("run.defect", run=run)
                await self._step("give up", self._give_up_flare, run)
            await self._step("end", self._end, run)

    async def _flared(self, run: str) -> None:
        if refused := await self._step("announce", self._announce, run):
            await self._step("apologise", self._apologise, run, refused)
            return
        await self._step("hold", self._hold, run)
        await self._step("record", self._record_flare, run)
        await self._step("close", self._close_flare, run)
        await self._step("attach", self._attach, run)

    async def _step(self, name: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await DBOS.run_step_async({"name": name}, work, *arguments)

    # -- its steps; each may be repeated, and returns plain values ------------------------------------------

    async def _announce(self, run: str) -> str:
        """Post the run's one message. Returns Slack's word for it when that is refused."""
        request = await self._request(run)
        try:
            sent = await self._messenger.post_once(run, self._opening_of(request), channel=request.channel)
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
                    self._messenger,
                    await self._delivery.opening(run),
                    lambda: slack.opening(examination.progress),
                    self._turns,
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

    async def _close(self, run: str) -> None:
        """Turn the run's message into the verdict."""
        report = await self._report(run)
        if report.agents:
            post = slack.closing(report)
        else:
            request = await self._request(run)
            post = slack.failed(self._examination(request).progress, report.reason, report.remedy)
        await self._delivery.show(run, post)

    async def _count(self, run: str) -> int:
        return len(self._thread(await self._report(run)))

    async def _tell(self, run: str, number: int) -> None:
        await self._delivery.tell(run, self._thread(await self._report(run))[number])

    async def _attach(self, run: str) -> None:
        files = thread_of.files(await self._report(run))
        await self._delivery.attach(run, "files", files, f"The full report of {run}, as JSON and as text.")

    async def _hold(self, run: str) -> None:
        """Build the archive, hold its question until it is decided, and keep the report."""
        await self._flares.hold(await self._request(run))

    async def _record_flare(self, run: str) -> None:
        await self._flares.record(await self._request(run), await self._report(run))

    async def _close_flare(self, run: str) -> None:
        record = await self._record(run)
        await self._flares.close(record.request, await self._report(run), record.cancelled_by)

    async def _give_up(self, run: str) -> None:
        """A defect of csm: say so where the run is, since every run ends visibly."""
        request = await self._request(run)
        if not await self._delivery.is_announced(run):
            await self._apologise(run, "internal_error")
            return
        reason = f"csm itself failed in {run}. Nothing is known about the Agents from this run."
        remedy = f"Ask again. If it happens again, the log of csm has the details under {run}."
        await self._delivery.show(run, slack.failed(self._examination(request).progress, reason, remedy))

    async def _give_up_flare(self, run: str) -> None:
        """A defect of csm: nothing is uploaded any more, and the card and the message say so."""
        request = await self._request(run)
        if not await self._delivery.is_announced(run):
            await self._apologise(run, "internal_error")
            return
        await self._flares.give_up(request)
        await self._record_flare(run)
        await self._close_flare(run)

    async def _end(self, run: str) -> None:
        await self._store.update_run(run, state="done", finished_at=self._clock.now().timestamp())
        record = await self._record(run)
        metrics.RUNS.labels(record.request.command, record.verdict or "none").inc()
        if record.report is not None:
            metrics.RUN_SECONDS.labels(record.request.command).observe(record.report.duration_s)

    # -- how ----------------------------------------------------------------------------------------------------

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

    def _opening_of(self, request: RunRequest) -> Post:
        if request.command == "flare":
            return flare_cards.progress(self._flares.flare(request).progress)
        return slack.opening(self._examination(request).progress)

    def _examination(self, request: RunRequest) -> Examination:
        return Examination(
            request,
            ask=self._commands[request.command].ask,
            executor=self._targets[request.target],
            store=self._store,
            clock=self._clock,
            pace=self._commands[request.command].pace(self._pace),
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


async def end_engine() -> None:
    """
    End the durable engine. What it was carrying out is carried on when it is started again.

    It made its own threads the event loop's, and takes them with it; whoever still closes things needs others.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as own:
        await loop.run_in_executor(own, DBOS.destroy)
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="closing"))
