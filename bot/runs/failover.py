"""
Failover: resumes the runs of processes that are gone (docs/adr/0012).

Each process is an executor of its own to the durable engine. Where several share a database, each sends heartbeats,
and the live ones take over the runs of those whose heartbeats have stopped. The engine continues a run only in a
process of the same workflow version. When none of that version is left, after an upgrade, a process of another version
restarts the run under its own: every step may be repeated, because the store knows what was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from dbos import DBOS, WorkflowStatus

from bot.storage.replicas import Replicas
from bot.storage.store import RunRequest, Store

log = structlog.get_logger(__name__)

UNFINISHED = frozenset({"PENDING", "ENQUEUED", "DELAYED"})
"""The engine's status values for a workflow that has not ended."""


def instance_id_of(version: str, mark: str) -> str:
    """
    The instance id of a process, which starts with the version of the runs that it can continue.

    An empty `mark` gives the prefix that all instance ids of that version share.
    """
    return f"{version}-{mark}"


class Failover:
    """Finds and starts runs that no process executes. `start` starts a run's workflow; no-op if that exists."""

    def __init__(
        self,
        store: Store,
        replicas: Replicas,
        *,
        version: str,
        instance_id: str,
        start: Callable[[RunRequest], Awaitable[None]],
    ) -> None:
        self._store = store
        self._replicas = replicas
        self._version = version
        self._life = instance_id
        self._start = start
        self._shared = store.engine.dialect.name != "sqlite"

    async def watch(self, heartbeat_s: float) -> None:
        """Send heartbeats, and take over the runs of dead processes, until cancelled."""
        while True:
            try:
                await self._replicas.alive(self._life)
                for replica in await self._replicas.dead():
                    # A process that was paused for long may find itself among the dead.
                    if replica != self._life:
                        await self._succeed(replica)
            except Exception:  # any error: a process that stops sending heartbeats is taken for dead
                log.exception("replica.watch_failed")
            await asyncio.sleep(heartbeat_s)

    async def start_unfinished(self) -> None:
        """
        Start the runs that the engine does not know (accepted, and their process killed at once), and restart those of
        another version that no live process can continue.
        """
        async with self._replicas.alone():
            left = {request.id: request for request in await self._store.unfinished()}
            known = await DBOS.list_workflows_async(workflow_ids=list(left)) if left else []
            by_run = {found.workflow_id: found for found in known}
            for run, request in left.items():
                if run not in by_run:
                    await self._start(request)
                elif await self._is_orphan(by_run[run]):
                    log.warning("run.begun_again", run=run, version=by_run[run].app_version)
                    await DBOS.delete_workflow_async(run)
                    await self._start(request)

    async def _succeed(self, replica: str) -> None:
        log.warning("replica.gone", replica=replica)
        # When several processes try at once, the engine gives each workflow to one of them.
        await asyncio.to_thread(DBOS._recover_pending_workflows, [replica])  # noqa: SLF001 - there is no other way
        await self.start_unfinished()
        await self._replicas.forget(replica)

    async def _is_orphan(self, found: WorkflowStatus) -> bool:
        if found.app_version == self._version or found.status not in UNFINISHED:
            return False
        return not self._shared or not await self._replicas.any_alive(instance_id_of(found.app_version or "", ""))
