"""Workflow of commands that check every Agent, in Slack: progress in one message, then the verdict, then the thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from bot.render import run_message
from bot.render import thread as thread_of
from bot.render.post import Post
from bot.runs.cancel_watch import cancellable
from bot.runs.check import NO_REUSE, Ask, CheckLimits, ConcurrencySlots, Reuse, TargetCheck
from bot.runs.workflow import Workflow
from bot.runtime import tracing
from bot.slack.live_message import LiveMessage, Turns
from bot.slack.messenger import Messenger
from bot.storage.store import RunRequest, Store
from handlers.errors import TargetError
from handlers.executors.base import Executor
from handlers.model import Report
from handlers.ports import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CommandSpec:
    """What the run engine needs to know about a command that checks every Agent."""

    ask: Ask
    events_url: Callable[[Report], str | None] = lambda _report: None
    """A link to the events in Datadog that the command caused, or `None`."""
    reuse: Reuse = NO_REUSE
    """Which recent results are reused instead of checking the Agent again."""


class CheckWorkflow(Workflow):
    """Workflow of a check: announce, check, close, post the thread, attach the report."""

    def __init__(
        self,
        store: Store,
        messenger: Messenger,
        clock: Clock,
        *,
        targets: Mapping[str, Executor],
        commands: Mapping[str, CommandSpec],
        check_limits: CheckLimits,
        turns: Turns,
    ) -> None:
        super().__init__(store, messenger, clock)
        self._targets = targets
        self._commands = commands
        self._check_limits = check_limits
        self._slots = ConcurrencySlots(check_limits)
        self._turns = turns
        self._on: dict[str, TargetCheck] = {}

    @property
    def on(self) -> int:
        """Number of runs that are checking Agents right now."""
        return len(self._on)

    def cancel(self, run: str) -> None:
        """Cancel a check that is in progress in this process. Its results so far are kept."""
        if check := self._on.get(run):
            check.cancel()

    # -- the workflow ---------------------------------------------------------------------------------------------

    def opening(self, request: RunRequest) -> Post:
        """The run message, before anything is known."""
        return run_message.opening(self._make_check(request).progress)

    async def proceed(self, run: str) -> None:
        """Check the Agents, show the verdict in the run message, and post the results in as many replies as needed."""
        with tracing.span("run", run=run):
            await self.step("examine", self._check, run)
        await self.step("close", self._close, run)
        for number in range(await self.step("count", self._count, run)):
            await self.step(f"tell {number}", self._tell, run, number)
        await self.step("attach", self.attach, run)

    async def report_internal_error(self, request: RunRequest) -> None:
        """Report an internal error in the run message."""
        reason = f"csm itself failed in {request.id}. Nothing is known about the Agents from this run."
        remedy = f"Ask again. If it happens again, the log of csm has the details under {request.id}."
        await self.delivery.show(request.id, run_message.failed(self._make_check(request).progress, reason, remedy))

    async def _check(self, run: str) -> None:
        """Check the Agents, show the progress, and store the report."""
        opening = await self.delivery.opening(run)
        check = self._on[run] = self._make_check((await self.get_run(run)).request)
        live = LiveMessage(self.messenger, opening, lambda: run_message.opening(check.progress), self._turns)
        try:
            async with live, cancellable(self.store, self.clock, run, check.cancel):
                check.on_change = live.changed
                report = await self._run_check(check)
        finally:
            del self._on[run]
        await self.store.finish(run, report, self.now())

    async def _run_check(self, check: TargetCheck) -> Report:
        request = check.request
        try:
            await check.check_agents()
            return await check.report()
        except TargetError as error:
            await self.store.update_run(request.id, state="running")
            log.info("run.target_failed", run=request.id, target=request.target, error=type(error).__name__)
            return check.failed(error)

    async def _close(self, run: str) -> None:
        """Turn the run message into the verdict."""
        report = await self.report(run)
        if report.agents:
            post = run_message.closing(report)
        else:
            request = (await self.get_run(run)).request
            post = run_message.failed(self._make_check(request).progress, report.reason, report.remedy)
        await self.delivery.show(run, post)

    async def _count(self, run: str) -> int:
        return len(self._thread(await self.report(run)))

    async def _tell(self, run: str, number: int) -> None:
        await self.delivery.tell(run, self._thread(await self.report(run))[number])

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _make_check(self, request: RunRequest) -> TargetCheck:
        command = self._commands[request.command]
        return TargetCheck(
            request,
            ask=command.ask,
            executor=self._targets[request.target],
            store=self.store,
            clock=self.clock,
            check_limits=self._check_limits,
            reuse=command.reuse,
            slots=self._slots,
        )

    def _thread(self, report: Report) -> list[Post]:
        if not report.agents:
            return []
        return list(thread_of.thread(report, events_url=self._commands[report.command].events_url(report)))
