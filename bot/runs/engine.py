"""
The runs of this process: accepted, begun, cancelled, decided about, and gone on with after whoever died.

What a run does is a workflow: `bot.runs.check_workflow` for commands that ask every Agent, `bot.runs.flare_workflow` for flares.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID

from bot.runs.check import CheckLimits
from bot.runs.check_workflow import CheckWorkflow, CommandSpec
from bot.runs.failover import Failover, life_of
from bot.runs.flare_outcome import Ending
from bot.runs.flare_session import FlareServices, Hold
from bot.runs.flare_workflow import FlareWorkflow
from bot.runs.workflow import Workflow
from bot.runtime.ack_gate import AckGate
from bot.slack.live_message import Turns
from bot.slack.messenger import Messenger
from bot.storage.approvals import UNDECIDED, Approvals
from bot.storage.replicas import Replicas
from bot.storage.store import Accepted, RunRequest, Store, patience
from handlers.executors.base import Executor
from handlers.ports import Clock

log = structlog.get_logger(__name__)

WORKFLOW_VERSION = "1"
"""Raised when the order of steps changes: runs of another version are begun again, not continued (docs/adr/0012)."""

LOOK_S = 0.05
"""How soon a decision that was made through another replica is noticed."""

LOOK_ALONE_S = 1.0
"""The same where there is no other replica, for what a terminal asks of the database."""

BEAT_S = 2.0
"""How often a replica says that it is alive."""

DEAD_AFTER_S = 12.0
"""How long a replica may be silent before the others go on with its runs."""

STOP_S = 5.0
"""How long flares may take to end, and to say so, when the process is stopped."""


@dataclass(frozen=True)
class FlareHandling:
    """What the run engine needs to know of flares."""

    hold: Hold
    expires_s: float = 1800.0
    """Until when an archive may be approved, from the request."""
    keep_copy: bool = False


class RunEngine:
    """All runs of this process. `launch` before use; one per process, as the engine is."""

    def __init__(
        self,
        *,
        store: Store,
        messenger: Messenger,
        targets: Mapping[str, Executor],
        commands: Mapping[str, CommandSpec],
        clock: Clock,
        pace: CheckLimits,
        flaring: FlareHandling,
        rush: AckGate | None = None,
        replica: str = "",
        dead_after_s: float = DEAD_AFTER_S,
        look_s: float | None = None,
    ) -> None:
        self._store = store
        self.life = life_of(WORKFLOW_VERSION, f"{replica[:32]}-{secrets.token_hex(8)}".strip("-"))
        """This process, this time."""
        self.approvals = Approvals(store)
        self._replicas = Replicas(store, dead_after_s=dead_after_s)
        self._beat_s = dead_after_s / DEAD_AFTER_S * BEAT_S
        self._shared = store.engine.dialect.name != "sqlite"
        self._clock = clock
        turns = Turns()
        self._examinations = CheckWorkflow(
            store, messenger, clock, targets=targets, commands=commands, pace=pace, turns=turns
        )
        self._flares = FlareWorkflow(
            store,
            messenger,
            parts=FlareServices(
                flaring.hold, store, self.approvals, clock, self.life, flaring.expires_s, flaring.keep_copy
            ),
            targets=targets,
            turns=turns,
            look_s=look_s or (LOOK_S if self._shared else LOOK_ALONE_S),
        )
        self._rush = rush or AckGate()
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
            db_engine_kwargs={"connect_args": {"application_name": "csm", **patience(database_url)}},
        )
        logging.getLogger("dbos").setLevel(logging.WARNING)
        DBOS(config=config)
        self._workflow = self._registered("csm.run", self._examinations)
        self._flare_workflow = self._registered("csm.flare", self._flares)
        DBOS.launch()
        succession = Failover(self._store, self._replicas, version=WORKFLOW_VERSION, life=self.life, start=self._start)
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
        return self._examinations.on

    def fault(self) -> str:
        """Which of the tasks that run as long as this process does has ended all the same, or nothing."""
        ended = [task.get_name() for task in self.tasks if task.done()]
        return f"This has ended: {', '.join(ended)}." if ended else ""

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

    async def decide(
        self, run: str, decision: str, *, sha256: str, by: str, where: str, confirmed_host: str = ""
    ) -> bool:
        """
        Record a person's decision on a flare, and let whoever holds the archive know. True when it is the one that counts.

        Whether the person may decide is the caller's to know; `confirmed_host` is as in `Approvals.decide`.
        """
        at = self._clock.now().timestamp()
        counts = await self.approvals.decide(
            run, decision, sha256=sha256, by=by, at=at, where=where, confirmed_host=confirmed_host
        )
        if counts:
            log.info("flare.decided", run=run, decision=decision, by=by, sha256=sha256)
            self._flares.decided(run)
        return counts

    async def give_up(self, run: str) -> None:
        """The process that held this run's archive is gone: nobody can approve it any more, and its card says so."""
        await self.approvals.end(run, Ending.LOST, self._clock.now().timestamp(), from_states=UNDECIDED)

    async def show_record(self, run: str) -> None:
        """Somebody clicked on a card of an ended run, so it may look alive: make it the record."""
        await self._flares.show_record(run)

    async def holds(self, holder: str) -> bool:
        """Whether the process that holds an archive is alive."""
        return holder == self.life or (self._shared and await self._replicas.is_alive(holder))

    async def accept(self, request: RunRequest) -> Accepted:
        """
        Make a command durable. When this returns, it is carried out whatever happens.

        A check of Agents that are being checked joins that run; each flare is another archive, for another case.
        """
        accepted = await self._store.accept(request, join=request.command != "flare")
        if accepted.fresh:
            self._to_start.put_nowait(request)
        return accepted

    async def cancel(self, run: str, by: str, where: str) -> bool:
        """Ask a run to stop; what was found so far is kept. False when there is nothing to stop."""
        asked = await self._store.cancel(run, by, where)
        if asked:
            self._examinations.cancel(run)
            self._flares.end(run, Ending.CANCELLED)
        return asked

    def _registered(self, name: str, workflow: Workflow) -> Callable[[str], Coroutine[Any, Any, None]]:
        """What the engine calls; it marks the function that it registers, which a bound method does not allow."""

        async def carry_out(run: str) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.carrying.add(task)
            task.add_done_callback(self.carrying.discard)
            await workflow.carry_out(run)

        return DBOS.workflow(name=name)(carry_out)

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


async def end_engine() -> None:
    """
    End the durable engine. What it was carrying out is carried on when it is started again.

    It made its own threads the event loop's, and takes them with it; whoever still closes things needs others.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as own:
        await loop.run_in_executor(own, DBOS.destroy)
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="closing"))
