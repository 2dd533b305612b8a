"""
Who goes on with a run when the process that carried it out is gone (docs/adr/0012).

Each process is an executor of its own to the durable engine. Where several share a database, each says every moment
that it is alive, and whoever lives goes on with the runs of those that are not heard of any more. The engine continues
a run only in a process of the same workflow version; when none of that version is left, after an upgrade, a process
of another one begins the run again under its own: every step may be repeated, since the store knows what was done.
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
"""The engine's words for a workflow that has not ended."""


def life_of(version: str, mark: str) -> str:
    """The name of a process, by which others know which runs it can go on with."""
    return f"{version}-{mark}"


class Failover:
    """The runs that nobody carries out, found and begun. `start` starts a run's workflow, and changes nothing where there is one."""

    def __init__(
        self,
        store: Store,
        replicas: Replicas,
        *,
        version: str,
        life: str,
        start: Callable[[RunRequest], Awaitable[None]],
    ) -> None:
        self._store = store
        self._replicas = replicas
        self._version = version
        self._life = life
        self._start = start
        self._shared = store.engine.dialect.name != "sqlite"

    async def watch(self, beat_s: float) -> None:
        """Say that this process is alive, and go on with what the dead have left. Until cancelled."""
        while True:
            try:
                await self._replicas.alive(self._life)
                for replica in await self._replicas.dead():
                    # A process that was held up for long is not dead to itself.
                    if replica != self._life:
                        await self._succeed(replica)
            except Exception:  # whatever it was: who stops saying that it lives is taken for dead
                log.exception("replica.watch_failed")
            await asyncio.sleep(beat_s)

    async def start_unfinished(self) -> None:
        """
        Start the runs that the engine never heard of (accepted, and their process killed at once), and those of
        another version that nobody is left to go on with.
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
        # The engine lets one of those who try at once have each workflow.
        await asyncio.to_thread(DBOS._recover_pending_workflows, [replica])  # noqa: SLF001 - there is no other way
        await self.start_unfinished()
        await self._replicas.forget(replica)

    async def _is_orphan(self, found: WorkflowStatus) -> bool:
        if found.app_version == self._version or found.status not in UNFINISHED:
            return False
        return not self._shared or not await self._replicas.any_alive(life_of(found.app_version or "", ""))
