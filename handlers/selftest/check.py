"""The self-test check of one Agent: which commands run, in which order, and the result."""

from __future__ import annotations

from handlers import version as versions
from handlers.agent.commands import triggers_selftest, version_command
from handlers.agent.findings import KINDS
from handlers.agent.selftest_output import AnswerKind
from handlers.errors import DeadlineExceeded, ExecError, Unreachable, Vanished
from handlers.executors.base import Executor
from handlers.model import Agent, AgentResult, Finding, Verdict
from handlers.ports import Clock
from handlers.redaction import clean, clean_lines, decode
from handlers.remediation import remediate
from handlers.selftest.diagnosis import diagnose
from handlers.selftest.eras import Era, era_of
from handlers.selftest.judge import Judgement
from handlers.selftest.results import Results, describe_activity, read_results
from handlers.selftest.runner import DEFAULTS, CommandRunner, Finished, SelftestSettings
from handlers.selftest.trigger import judge_answer, trigger_selftest
from handlers.version import AgentVersion

POLL_S = 3.0
"""Poll interval for the results of a self-test that goes on after its command has ended."""
_NOTHING_TELLS = "No container has a status command that would tell."


def may_trigger(agent: Agent) -> bool:
    """Whether a check of this Agent may trigger a self-test. Also true when the platform does not tell the version."""
    version = versions.from_tag(agent.version or "")
    return version is None or era_of(version).triggers


def has_triggered(result: AgentResult) -> bool:
    """Whether the check with this result triggered a self-test."""
    return any(triggers_selftest(invocation.argv) for invocation in result.invocations)


async def check_agent(
    agent: Agent,
    executor: Executor,
    clock: Clock,
    *,
    settings: SelftestSettings = DEFAULTS,
) -> AgentResult:
    """
    Check one Agent's self-test: up to 7.64 a run that is triggered here, from 7.65 the Agent's own last run.

    Every failure of the Agent, or of the connection to it, becomes the result. Raises nothing but cancellation.
    """
    return await _Check(CommandRunner(agent, executor, clock, settings)).run()


class _Check:
    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner
        self._agent = runner.agent
        self._clock = runner.clock
        self._version = versions.from_tag(runner.agent.version or "")
        self._results = Results()

    async def run(self) -> AgentResult:
        began = self._clock.monotonic()
        try:
            judgement = await self._judge()
        except Finished as finished:
            judgement = finished.judgement
        return self._result(judgement, self._clock.monotonic() - began)

    async def _judge(self) -> Judgement:
        if self._agent.phase != "Running":
            return Judgement("agent.not_running", self._agent.phase)
        if self._version is None:
            await self._ask_version()
        era = era_of(self._version)
        if self._version is not None and era.triggers:
            return await self._judge_triggered(self._version, era)
        return await self._judge_own(era)

    async def _ask_version(self) -> None:
        """Read the Agent's version. A version that cannot be read counts as new; it is not a finding of its own."""
        choice = version_command(self._agent)
        if choice.container is not None and not self._agent.container(choice.container):
            return
        try:
            completed = await self._runner.ask(choice)
        except (DeadlineExceeded, Unreachable, Vanished) as error:
            # Every further command would fail in the same way, and take as long.
            raise self._runner.cut_short(choice, error) from error
        except ExecError:
            return
        self._version = versions.from_output(decode(completed.output.stdout))

    async def _judge_own(self, era: Era) -> Judgement:
        """Judge the Agent's own last run, or find out why no status shows it."""
        self._results = await read_results(self._runner, self._version, era)
        if self._results.judgement is not None:
            return self._results.judgement
        if self._results.denied:
            return Judgement("selftest.permission_denied", evidence=tuple(self._results.evidence))
        found = await diagnose(self._runner, self._results.statuses)
        evidence = (*self._results.evidence, *found.evidence) or (_NOTHING_TELLS,)
        return Judgement(found.code, found.detail, evidence)

    async def _judge_triggered(self, version: AgentVersion, era: Era) -> Judgement:
        """Trigger a self-test and judge its results; polls for them for as long as this era may take."""
        triggered_at = self._clock.now()
        answer = await trigger_selftest(self._runner, version)
        if answer.answer is not AnswerKind.OK:
            return judge_answer(self._runner, answer)
        if not era.has_results:
            reason = "The command said OK, but an Agent before 7.36 does not tell which tests succeeded."
            return Judgement("selftest.no_block", evidence=clean_lines(answer.message), reason=reason)
        give_up = self._clock.monotonic() + era.results_within.total_seconds()
        while True:
            self._results = await read_results(self._runner, version, era, triggered_at=triggered_at)
            judgement = self._results.judgement
            if judgement is None:
                return self._not_told()
            if not judgement.may_improve or self._clock.monotonic() >= give_up:
                return judgement
            await self._clock.sleep(POLL_S)

    def _not_told(self) -> Judgement:
        """The judgement when the module accepted the trigger, but no status shows its results."""
        evidence = tuple(self._results.evidence)
        if self._results.denied:
            return Judgement("selftest.permission_denied", evidence=evidence)
        if any(status.enabled is False for status in self._results.statuses):
            return Judgement("selftest.not_enabled", evidence=(*evidence, "Runtime Security: Not enabled"))
        return Judgement("selftest.no_block", evidence=evidence or (_NOTHING_TELLS,))

    def _result(self, judgement: Judgement, took: float) -> AgentResult:
        finding = self._finding(judgement) if judgement.code is not None else None
        decisive = self._runner.decisive
        return AgentResult(
            agent=self._agent.name,
            platform=self._agent.platform,
            installation=self._agent.installation,
            node=self._agent.node,
            agent_version=str(self._version) if self._version else None,
            verdict=KINDS[finding.code].verdict if finding else Verdict.PASS,
            reason=judgement.reason or (finding.summary if finding else ""),
            argv=decisive.argv if decisive else (),
            container=decisive.container if decisive else None,
            why=decisive.why if decisive else "",
            duration_s=round(took, 3),
            findings=(finding,) if finding else (),
            invocations=tuple(self._runner.invocations),
            age_s=None if judgement.age is None else max(0.0, judgement.age.total_seconds()),
            limits=judgement.limits,
            hidden_s=judgement.hidden.total_seconds() if judgement.hidden else None,
            observations=describe_activity(self._results.statuses),
        )

    def _finding(self, judgement: Judgement) -> Finding:
        assert judgement.code is not None
        kind = KINDS[judgement.code]
        detail = clean(judgement.detail, max_chars=200).rstrip(".")
        return Finding(
            code=judgement.code,
            severity=kind.severity,
            summary=kind.summary.format(agent=self._agent.name, detail=detail),
            evidence=judgement.evidence,
            remediation=remediate(judgement.code, self._agent, self._version),
        )
