"""
One check of a target: find its Agents, run the command on each, store every result as it arrives, report.

Both the durable runs of Slack and the terminal's commands use this. It may be started again at any time with the
same request, after a crash: the Agents are those that were found the first time, and those that already have a
result are not checked again.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from bot.render.progress import Progress
from bot.runtime import metrics, tracing
from bot.storage.store import RunRequest, Store
from handlers.bounded_gather import gather_bounded
from handlers.errors import NoAgents, TargetDenied, TargetError, TargetUnreachable
from handlers.executors.base import Executor
from handlers.model import Agent, AgentResult, Finding, Report, Severity, Verdict, count, worst, worst_first
from handlers.ports import Clock
from handlers.redaction import clean

log = structlog.get_logger(__name__)

Ask = Callable[[Agent, Executor], Awaitable[AgentResult]]
"""Runs a command on one Agent. Turns every failure of the Agent into a result."""


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """How many Agents are checked at once, and how often one Agent."""

    per_target: int = 1000
    """Agents of one target checked at once, over all runs."""
    overall: int = 2000
    min_interval_s: float = 60.0
    """Seconds within which nothing is triggered twice on one Agent."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """Which results of the last `CheckLimits.min_interval_s` are reused. By default none: a check costs nothing."""

    may_cost: Callable[[Agent], bool] = lambda _agent: False
    """Whether a check may cost this Agent something. If so, a check of it that is in progress is waited for."""
    has_cost: Callable[[AgentResult], bool] = lambda _result: False
    """Whether the check that led to this result did cost the Agent something. Only such results are reused."""


NO_REUSE = Reuse()
MOST_DOCUMENTS = 3

_REMEDIES: Mapping[type[TargetError], str] = {
    TargetUnreachable: "Check that {target} is up and that csm can reach its address from where it runs; then ask again.",
    TargetDenied: "Give csm's account on {target} the right that is named above; then ask again.",
    NoAgents: "Check that the Agent is deployed on {target}, and the namespace and selector of {target} in the configuration.",
    TargetError: "Check the entry for {target} in the configuration; then ask again.",
}


class TargetCheck:
    """The check of one request's Agents, from finding them to the report."""

    def __init__(
        self,
        request: RunRequest,
        *,
        ask: Ask,
        executor: Executor,
        store: Store,
        clock: Clock,
        check_limits: CheckLimits,
        slots: ConcurrencySlots,
        reuse: Reuse = NO_REUSE,
    ) -> None:
        self.request = request
        self._ask = ask
        self._executor = executor
        self._store = store
        self._clock = clock
        self._check_limits = check_limits
        self._slots = slots
        self._reuse = reuse
        self._agents: Sequence[Agent] | None = None
        self._results: dict[str, AgentResult] = {}
        self._cancel = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever `progress` has changed."""
        self.notes: tuple[str, ...] = ()

    @property
    def progress(self) -> Progress:
        """The current progress."""
        agents = self._agents
        return Progress(
            run=self.request.id,
            command=self.request.command,
            target=self.request.where,
            requested_by=self.request.requested_by,
            started=datetime.fromtimestamp(self.request.accepted_at, UTC),
            elapsed_s=max(0.0, self._clock.now().timestamp() - self.request.accepted_at),
            total=None if agents is None else len(agents),
            counts=count(self._results.values()),
            running=tuple(agent.name for agent in agents or () if agent.name not in self._results),
            cancelling=self._cancel.is_set(),
            notes=self.notes,
        )

    def cancel(self) -> None:
        """Stop checking. `check_agents` returns soon, and the results so far are kept."""
        self._cancel.set()
        self.on_change()

    async def find(self) -> Sequence[Agent]:
        """
        Find the Agents, or load those that were found before.

        Raises a `TargetError` when there is none to check.
        """
        self._agents = await self._store.inventory(self.request.id)
        if self._agents is None:
            self._agents = self._chosen(await self._executor.agents())
            await self._store.keep_inventory(self.request.id, self._agents)
        else:
            self._results.update(await self._store.results(self.request.id))
        self.on_change()
        return self._agents

    async def check_agents(self) -> None:
        """Check every Agent that has no result yet. Returns early when cancelled."""
        agents = await self.find()
        pending = [agent for agent in agents if agent.name not in self._results]
        asking = asyncio.ensure_future(gather_bounded(pending, self._answer, at_once=self._check_limits.per_target))
        stopping = asyncio.ensure_future(self._cancel.wait())
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not asking.done():
                asking.cancel()
            # Each check in progress ends its remote process before this returns.
            await asyncio.wait({asking, stopping})
        if not asking.cancelled():
            asking.result()

    async def report(self) -> Report:
        """The report of the results stored so far. Agents without a result are `skipped`."""
        record = await self._store.run(self.request.id)
        cancelled_by = record.cancelled_by if record else ""
        agents = await self._store.inventory(self.request.id) or ()
        kept = await self._store.results(self.request.id)
        results = worst_first(kept.get(agent.name) or _unasked(agent) for agent in agents)
        verdict = worst(result.verdict for result in results)
        if all(agent.name in kept for agent in agents):
            return self._report(results, verdict, "", cancelled_by)
        # Some Agents have no result, so the verdict cannot be a pass.
        how = "was cancelled" if cancelled_by else "ended"
        reason = f"The run {how} before every Agent had answered."
        return self._report(results, worst((verdict, Verdict.UNKNOWN)), reason, cancelled_by)

    def failed(self, error: TargetError) -> Report:
        """The report of a run that could not check any Agent."""
        remedy = _REMEDIES.get(type(error), _REMEDIES[TargetError]).format(target=self.request.target)
        return self._report((), Verdict.UNKNOWN, clean(str(error), max_chars=1000), "").model_copy(
            update={"remedy": remedy}
        )

    def _report(self, results: Sequence[AgentResult], verdict: Verdict, reason: str, cancelled_by: str) -> Report:
        return Report(
            run=self.request.id,
            command=self.request.command,
            target=self.request.where,
            verdict=verdict,
            reason=reason,
            started=datetime.fromtimestamp(self.request.accepted_at, UTC),
            duration_s=round(max(0.0, self._clock.now().timestamp() - self.request.accepted_at), 3),
            counts=count(results),
            agents=_few_documents(results),
            requested_by=self.request.requested_by,
            cancelled_by=cancelled_by,
        )

    def _chosen(self, agents: Sequence[Agent]) -> Sequence[Agent]:
        if not agents:
            raise NoAgents(f"No Datadog Agent was found on {self.request.target}.")
        if not self.request.agent:
            return agents
        chosen = [agent for agent in agents if agent.name == self.request.agent]
        if not chosen:
            names = [agent.name for agent in agents]
            near = difflib.get_close_matches(self.request.agent, names, n=3) or names[:3]
            raise NoAgents(
                f"{self.request.target} has no Agent named {self.request.agent}. The nearest of its {len(names)} are: {', '.join(near)}."
            )
        return chosen

    async def _answer(self, agent: Agent) -> AgentResult:
        result = await self._reusable(agent) or await self._asked(agent)
        await self._store.keep_result(self.request, result, self._clock.now().timestamp())
        metrics.VERDICTS.labels(self.request.command, result.platform, result.verdict).inc()
        self._results[agent.name] = result
        self.on_change()
        return result

    async def _asked(self, agent: Agent) -> AgentResult:
        wanted = self._clock.monotonic()
        async with self._slots.of(self.request.target):
            metrics.QUEUE_WAIT.observe(self._clock.monotonic() - wanted)
            await self._store.asked(self.request, agent.name, self._clock.now().timestamp())
            try:
                with (
                    tracing.span("agent", command=self.request.command, agent=str(agent), platform=agent.platform),
                    metrics.AGENT_SECONDS.labels(self.request.command, agent.platform).time(),
                ):
                    return await self._ask(agent, self._executor)
            except Exception:
                # An internal error in the check of one Agent becomes that Agent's result, and the others continue.
                log.exception("examination.defect", run=self.request.id, agent=str(agent))
                return _defect(agent, self.request.id)

    async def _reusable(self, agent: Agent) -> AgentResult | None:
        """The result to reuse, after waiting for a check in progress. `None` if a new check is due or costs nothing."""
        while self._reuse.may_cost(agent):
            since = self._clock.now().timestamp() - self._check_limits.min_interval_s
            last = (await self._recent(since)).get(agent.name)
            if last is None:
                return None
            asked_at, run, result = last
            if result is not None:
                return (
                    result.model_copy(update={"reused_from": result.reused_from or run})
                    if self._reuse.has_cost(result)
                    else None
                )
            await self._clock.sleep(min(1.0, max(0.05, asked_at - since)))
        return None

    async def _recent(self, since: float) -> Mapping[str, tuple[float, str, AgentResult | None]]:
        return await self._slots.recent(
            (self.request.command, self.request.target),
            lambda: self._store.last_asked(self.request.command, self.request.target, since),
        )


class ConcurrencySlots:
    """Shared by all checks of one process: concurrency limits, and one query for recently checked Agents."""

    def __init__(self, check_limits: CheckLimits) -> None:
        self._check_limits = check_limits
        self._overall = asyncio.Semaphore(check_limits.overall)
        self._targets: dict[str, asyncio.Semaphore] = {}
        self._looks: dict[tuple[str, str], asyncio.Task[Mapping[str, tuple[float, str, AgentResult | None]]]] = {}

    def of(self, target: str) -> _Slot:
        """A slot for one Agent, under both the limit of its target and the overall limit."""
        return _Slot(self._targets.setdefault(target, asyncio.Semaphore(self._check_limits.per_target)), self._overall)

    async def recent(
        self, key: tuple[str, str], look: Callable[[], Awaitable[Mapping[str, tuple[float, str, AgentResult | None]]]]
    ) -> Mapping[str, tuple[float, str, AgentResult | None]]:
        """Run the query `look`, or share the one in progress for `key`: a thousand Agents at once cost one query."""
        task = self._looks.get(key)
        if task is None or task.done():

            async def shared() -> Mapping[str, tuple[float, str, AgentResult | None]]:
                return await look()

            task = self._looks[key] = asyncio.create_task(shared(), name=f"recent {key}")
        return await asyncio.shield(task)


class _Slot:
    def __init__(self, *semaphores: asyncio.Semaphore) -> None:
        self._semaphores = semaphores

    async def __aenter__(self) -> None:
        taken: list[asyncio.Semaphore] = []
        try:
            for semaphore in self._semaphores:
                await semaphore.acquire()
                taken.append(semaphore)
        except BaseException:
            for semaphore in taken:
                semaphore.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        for semaphore in self._semaphores:
            semaphore.release()


def _few_documents(results: Sequence[AgentResult]) -> tuple[AgentResult, ...]:
    """Keep one document per outcome, at most `MOST_DOCUMENTS` in all: a thousand equal nodes would repeat one."""
    kept: dict[tuple[Verdict, str], str] = {}
    for result in results:
        if result.document and len(kept) < MOST_DOCUMENTS:
            kept.setdefault((result.verdict, result.reason), result.agent)
    names = set(kept.values())
    return tuple(
        result if result.agent in names or not result.document else result.model_copy(update={"document": ""})
        for result in results
    )


def _unasked(agent: Agent) -> AgentResult:
    return AgentResult(
        agent=agent.name,
        platform=agent.platform,
        installation=agent.installation,
        node=agent.node,
        agent_version=agent.version,
        verdict=Verdict.SKIPPED,
        reason="The run ended before this Agent had answered.",
    )


def _defect(agent: Agent, run: str) -> AgentResult:
    finding = Finding(
        code="csm.defect",
        severity=Severity.MEDIUM,
        summary=f"csm itself failed while it examined {agent.name}; its log has the details under {run}.",
    )
    return _unasked(agent).model_copy(
        update={"verdict": Verdict.UNKNOWN, "reason": finding.summary, "findings": (finding,)}
    )
