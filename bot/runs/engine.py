"""
Run engine of this process: accepts commands, starts and cancels their workflows, records approvals, resumes runs of
dead replicas.

The workflows: `bot.runs.check_workflow` for commands that check every Agent, `bot.runs.flare_workflow` for flares.
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
from bot.runs.failover import Failover, instance_id_of
from bot.runs.flare_outcome import Ending
from bot.runs.flare_session import FlareServices, Hold
from bot.runs.flare_workflow import FlareWorkflow
from bot.runs.workflow import Workflow
from bot.runtime.ack_gate import AckGate
from bot.slack.live_message import Turns
from bot.slack.messenger import Messenger
from bot.storage.approvals import UNDECIDED, Approvals
from bot.storage.replicas import Replicas
from bot.storage.store import Accepted, RunRequest, Store, connect_args
from handlers.executors.base import Executor
from handlers.ports import Clock

log = structlog.get_logger(__name__)

WORKFLOW_VERSION = "1"
"""Incremented when the order of steps changes: runs of another version are restarted, not continued (docs/adr/0012)."""

POLL_S = 0.05
"""Poll interval, in seconds, for decisions made through another replica."""

POLL_SINGLE_S = 1.0
"""Poll interval, in seconds, without other replicas: for what a terminal command writes to the database."""

HEARTBEAT_S = 2.0
"""Heartbeat interval of a replica, in seconds."""

DEAD_AFTER_S = 12.0
"""Seconds without a heartbeat after which the other replicas take over a replica's runs."""

STOP_S = 5.0
"""Seconds that flares may take to end, and to say so, when the process is stopped."""


@dataclass(frozen=True)
class FlareHandling:
    """What the run engine needs to know about flares."""

    hold: Hold
    expires_s: float = 1800.0
    """Seconds from the request within which an archive may be approved."""
    keep_copy: bool = False


class RunEngine:
    """All runs of this process. Call `launch` before use. One per process, because there is one durable engine."""

    def __init__(
        self,
        *,
        store: Store,
        messenger: Messenger,
        targets: Mapping[str, Executor],
        commands: Mapping[str, CommandSpec],
        clock: Clock,
        check_limits: CheckLimits,
        flaring: FlareHandling,
        ack_gate: AckGate | None = None,
        replica: str = "",
        dead_after_s: float = DEAD_AFTER_S,
        poll_s: float | None = None,
    ) -> None:
        self._store = store
        self.instance_id = instance_id_of(WORKFLOW_VERSION, f"{replica[:32]}-{secrets.token_hex(8)}".strip("-"))
        """Instance id: names this process, with a new value at every start."""
        self.approvals = Approvals(store)
        self._replicas = Replicas(store, dead_after_s=dead_after_s)
        self._beat_s = dead_after_s / DEAD_AFTER_S * HEARTBEAT_S
        self._shared = store.engine.dialect.name != "sqlite"
        self._clock = clock
        turns = Turns()
        self._checks = CheckWorkflow(
            store, messenger, clock, targets=targets, commands=commands, check_limits=check_limits, turns=turns
        )
        self._flares = FlareWorkflow(
            store,
            messenger,
            parts=FlareServices(
                flaring.hold, store, self.approvals, clock, self.instance_id, flaring.expires_s, flaring.keep_copy
            ),
            targets=targets,
            turns=turns,
            poll_s=poll_s or (POLL_S if self._shared else POLL_SINGLE_S),
        )
        self._ack_gate = ack_gate or AckGate()
        self._to_start: asyncio.Queue[RunRequest] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []
        """Tasks that run as long as this process does."""
        self.carrying: set[asyncio.Task[Any]] = set()
        """Tasks of the runs in progress."""

    async def launch(self, database_url: str) -> None:
        """
        Start the durable engine, and resume the runs that an earlier process did not finish.

        Where several replicas share a database, each is an executor of its own, and resumes the runs of dead
        replicas. On SQLite there is one process, so all unfinished runs are those of an earlier one.
        """
        executor_id = self.instance_id if self._shared else "local"
        if self._shared:
            await self._replicas.alive(self.instance_id)
        config = DBOSConfig(
            name="csm",
            system_database_url=database_url,
            application_version=WORKFLOW_VERSION,
            executor_id=executor_id,
            notification_listener_polling_interval_sec=0.05,
            log_level="WARNING",
            db_engine_kwargs={"connect_args": {"application_name": "csm", **connect_args(database_url)}},
        )
        logging.getLogger("dbos").setLevel(logging.WARNING)
        DBOS(config=config)
        self._workflow = self._registered("csm.run", self._checks)
        self._flare_workflow = self._registered("csm.flare", self._flares)
        DBOS.launch()
        failover = Failover(
            self._store, self._replicas, version=WORKFLOW_VERSION, instance_id=self.instance_id, start=self._start
        )
        await failover.start_unfinished()
        self.tasks = [
            asyncio.create_task(self._start_runs(), name="start runs"),
            asyncio.create_task(self._flares.watch(), name="watch flares"),
        ]
        if self._shared:
            self.tasks.append(asyncio.create_task(failover.watch(self._beat_s), name="succeed the dead"))

    @property
    def open(self) -> int:
        """Number of runs that are checking Agents right now."""
        return self._checks.on

    def fault(self) -> str:
        """Which of `tasks` have ended although they never should, or an empty string."""
        ended = [task.get_name() for task in self.tasks if task.done()]
        return f"This has ended: {', '.join(ended)}." if ended else ""

    async def aclose(self) -> None:
        """Shut down. Flares end without an upload; other unfinished runs resume when the next process is launched."""
        await self._flares.stop(STOP_S)
        # The engine treats a cancelled task as one whose process died: it records nothing, and logs a warning for each.
        logging.getLogger("dbos").setLevel(logging.ERROR)
        tasks = {*self.carrying, *self.tasks}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await end_engine()
        if self._shared:
            await self._replicas.left(self.instance_id)

    async def decide(
        self, run: str, decision: str, *, sha256: str, by: str, where: str, confirmed_host: str = ""
    ) -> bool:
        """
        Record a person's decision on a flare, and wake the flare if this process holds it. True when it takes effect.

        The caller checks whether the person may decide. `confirmed_host` is as in `Approvals.decide`.
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
        """Mark a flare as lost because its holder is gone: nobody can approve it any more, and its card will say so."""
        await self.approvals.end(run, Ending.LOST, self._clock.now().timestamp(), from_states=UNDECIDED)

    async def show_record(self, run: str) -> None:
        """Turn the card of an ended run into the record, after a click that shows that it still has buttons."""
        await self._flares.show_record(run)

    async def holds(self, holder: str) -> bool:
        """Whether the process with the instance id `holder` is alive, and so still holds its archives."""
        return holder == self.instance_id or (self._shared and await self._replicas.is_alive(holder))

    async def accept(self, request: RunRequest) -> Accepted:
        """
        Accept a command durably. Once this returns, the command is executed even if this process dies.

        A check of Agents that are being checked joins that run. A flare never joins: each is another archive, for
        another case.
        """
        accepted = await self._store.accept(request, join=request.command != "flare")
        if accepted.fresh:
            self._to_start.put_nowait(request)
        return accepted

    async def cancel(self, run: str, by: str, where: str) -> bool:
        """Cancel a run. Its results so far are kept. False when it has ended or was cancelled before."""
        asked = await self._store.cancel(run, by, where)
        if asked:
            self._checks.cancel(run)
            self._flares.end(run, Ending.CANCELLED)
        return asked

    def _registered(self, name: str, workflow: Workflow) -> Callable[[str], Coroutine[Any, Any, None]]:
        """Register a workflow as a plain function: the engine sets attributes on it, which a bound method refuses."""

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
            await self._ack_gate.over()
            await self._start(request)

    async def _start(self, request: RunRequest) -> None:
        """Start a run's workflow. Does nothing if it was started before."""
        workflow = self._flare_workflow if request.command == "flare" else self._workflow
        try:
            with SetWorkflowID(request.id):
                await DBOS.start_workflow_async(workflow, request.id)
        except Exception:
            # The run is in the store; at the latest, the next process starts it.
            log.exception("run.not_started", run=request.id)


async def end_engine() -> None:
    """
    Shut down the durable engine. It resumes unfinished workflows when it is started again.

    The engine replaced the event loop's default executor by its own and shuts that down, so this sets a new one for the
    remaining shutdown.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as own:
        await loop.run_in_executor(own, DBOS.destroy)
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="closing"))
