"""The commands that create runs, and what each runs on one Agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from bot.config.settings import Settings
from bot.runs.check import Reuse
from bot.runs.check_workflow import CommandSpec
from bot.runs.engine import FlareHandling
from bot.runs.flare_session import Held
from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from handlers.executors.base import Executor
from handlers.flare import FlareRequest, FlareSettings, hold
from handlers.model import Agent, AgentResult, Report
from handlers.remediation.links import events_url
from handlers.selftest import SelftestSettings, check_agent, has_triggered, may_trigger
from handlers.tc.collect import CollectSettings
from handlers.tc.examine import examine as examine_tc


def commands(settings: Settings) -> Mapping[str, CommandSpec]:
    """Return the check commands of this version, by name."""
    clock = SystemClock()
    selftest = SelftestSettings(
        deadline_s=settings.limits.selftest_deadline.total_seconds(),
        status_deadline_s=settings.limits.status_deadline.total_seconds(),
    )

    async def ask_selftest(agent: Agent, executor: Executor) -> AgentResult:
        return await check_agent(agent, executor, clock, settings=selftest)

    def selftest_events(report: Report) -> str | None:
        return events_url(settings.site, [result.node or result.agent for result in report.agents], report.started)

    collect = CollectSettings(deadline_s=settings.limits.tc_deadline.total_seconds())

    async def ask_tc(agent: Agent, executor: Executor) -> AgentResult:
        return await examine_tc(agent, executor, clock, settings=collect)

    # Only triggering a self-test costs the Agent something, so only those results are reused.
    return {
        "selftest": CommandSpec(ask_selftest, selftest_events, Reuse(may_trigger, has_triggered)),
        "tc": CommandSpec(ask_tc),
    }


def flaring(settings: Settings) -> FlareHandling:
    """Return how flares are built and held."""
    clock = SystemClock()
    expires_s = settings.approvals.flare.expires.total_seconds()
    # The run ends a held archive when its approval expires. The handler's own limit, 600 s later, is only a fallback.
    flare = FlareSettings(hold_s=expires_s + 600)
    scratch = TemporaryFiles()

    def hold_flare(
        agent: Agent, executor: Executor, request: FlareRequest, *, on_step: Callable[[str], None]
    ) -> AbstractAsyncContextManager[Held]:
        return hold(agent, executor, clock, scratch, request, settings=flare, on_step=on_step)

    return FlareHandling(hold_flare, expires_s, settings.approvals.flare.keep_copy)
