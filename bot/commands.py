"""Which commands make runs, and what each does with one Agent."""

from __future__ import annotations

from collections.abc import Mapping

from bot.clock import SystemClock
from bot.runs import Command
from bot.settings import Settings
from handlers.executors.base import Executor
from handlers.model import Agent, AgentResult, Report
from handlers.remediation.links import events_url
from handlers.selftest import SelftestSettings, examine


def commands(settings: Settings) -> Mapping[str, Command]:
    """The commands of this version, by name."""
    clock = SystemClock()
    selftest = SelftestSettings(
        deadline_s=settings.limits.selftest_deadline.total_seconds(),
        status_deadline_s=settings.limits.status_deadline.total_seconds(),
    )

    async def ask_selftest(agent: Agent, executor: Executor) -> AgentResult:
        return await examine(agent, executor, clock, settings=selftest)

    def selftest_events(report: Report) -> str | None:
        return events_url(settings.site, [result.node or result.agent for result in report.agents], report.started)

    return {"selftest": Command(ask_selftest, selftest_events)}
