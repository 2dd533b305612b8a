"""
`selftest`: does Workload Protection on this Agent really see what it should?

`Runtime self test: OK` does not mean that the tests passed, and a failed self-test exits 0. So the command
only triggers the test and shows that the module answers; the verdict rests on the *Self Tests* block of the
status, by the era of the Agent (DataDog/datadog-agent:pkg/security/module/cws.go, selftests/tester.go):

    before 7.36     no block: what succeeded cannot be seen, so the best is `unknown`; an error is a failure
    7.36 to 7.52    the command waits for the tests; the block must be of this run
    7.53 to 7.64    the command returns at once; the block is awaited for up to 35 s
    from 7.65       the Agent tests itself, and hourly once it has passed; the block may be 65 minutes old
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from handlers import version as versions
from handlers.agent.commands import Choice, selftest_commands, status_commands, version_command, with_socket
from handlers.agent.findings import CODES, KINDS
from handlers.agent.selftest_output import Answer, SelftestAnswer, read_answer
from handlers.agent.status import NEVER, SelfTests, read_status
from handlers.errors import DeadlineExceeded, ExecError, NotReady, Unreachable, Vanished
from handlers.executors.base import Completed, Executor, Limits, run
from handlers.model import Agent, AgentResult, Finding, Invocation, Verdict
from handlers.ports import Clock
from handlers.redaction import clean, clean_lines
from handlers.remediation import remediate

RULES = tuple(f"datadog_agent_cws_self_test_rule_{what}" for what in ("open", "chmod", "chown"))
"""What must succeed on Linux (DataDog/datadog-agent:pkg/security/probe/selftests/)."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

HAS_BLOCK = (36, 0)
ASYNCHRONOUS = (53, 0)
CONTINUOUS = (65, 0)

AWAITED = timedelta(seconds=35)
"""An asynchronous result comes within the Agent's own 30 s, or not."""
POLL_S = 3.0
SKEW = timedelta(minutes=2)
"""How far a node's clock may be behind ours, on top of the status's resolution of a minute."""
SKEW_ASYNCHRONOUS = timedelta(seconds=30)
"""The same where the command's end does not say that its tests have ended: results of minutes ago may be another run's."""
FUTURE = timedelta(minutes=5)
HOURLY = timedelta(minutes=65)


@dataclass(frozen=True, slots=True)
class SelftestSettings:
    """What the examination of one Agent may cost. Seconds and bytes, per command."""

    deadline_s: float = 60.0
    status_deadline_s: float = 30.0
    max_bytes: int = 1024 * 1024


_ANSWERS: dict[Answer, str] = {
    Answer.DISABLED: "selftest.disabled",
    Answer.EBPFLESS: "selftest.ebpfless",
    Answer.ALREADY_RUNNING: "selftest.already_running",
    Answer.FAILED: "selftest.rule_failed",
    Answer.ERRORED: "selftest.errored",
    Answer.UNKNOWN_COMMAND: "selftest.unknown_command",
    Answer.SOCKET_NOT_SET: "selftest.socket_dead",
    Answer.SOCKET_DEAD: "selftest.socket_dead",
    Answer.SOCKET_REFUSED: "selftest.socket_refused",
    Answer.PERMISSION_DENIED: "selftest.permission_denied",
    Answer.STARTING: "selftest.module_starting",
    Answer.UNREADABLE: "selftest.unreadable",
}


async def examine(
    agent: Agent,
    executor: Executor,
    clock: Clock,
    *,
    settings: SelftestSettings = SelftestSettings(),
) -> AgentResult:
    """
    Run one Agent's self-test and judge its results.

    Every failure of the Agent or of the way to it becomes the result; nothing is raised but cancellation.
    """
    return await _Examination(agent, executor, clock, settings).result()


class _Finished(Exception):
    """The verdict is found; no more is asked."""

    def __init__(self, code: str | None, detail: str = "", evidence: Sequence[str] = (), reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.evidence = tuple(evidence)
        self.reason = reason


class _Examination:
    def __init__(self, agent: Agent, executor: Executor, clock: Clock, settings: SelftestSettings) -> None:
        self._agent = agent
        self._executor = executor
        self._clock = clock
        self._settings = settings
        self._invocations: list[Invocation] = []
        self._version = versions.from_tag(agent.version or "")
        self._chosen: Choice | None = None

    async def result(self) -> AgentResult:
        began = self._clock.monotonic()
        try:
            await self._decide()
            raise AssertionError("deciding always finishes")
        except _Finished as finished:
            return self._finished(finished, self._clock.monotonic() - began)

    async def _decide(self) -> None:
        """Ask, and finish with what was found."""
        if self._agent.phase != "Running":
            raise _Finished("agent.not_running", self._agent.phase)
        if self._version is None:
            await self._ask_version()
        started = self._clock.now()
        answer = await self._trigger()
        if answer.answer is not Answer.OK:
            raise _Finished(
                _ANSWERS[answer.answer],
                answer.message.splitlines()[0][:200] if answer.message else "it said nothing",
                clean_lines(answer.message),
            )
        if self._version is not None and self._version.era < HAS_BLOCK:
            raise _Finished(
                "selftest.no_block",
                evidence=clean_lines(answer.message),
                reason="The command said OK, but an Agent before 7.36 does not tell which tests succeeded.",
            )
        await self._await_results(started)

    async def _ask_version(self) -> None:
        """A version that cannot be found out leaves the choice open; it is no finding of its own."""
        choice = version_command(self._agent)
        if choice.container is not None and not self._agent.container(choice.container):
            return
        try:
            completed = await self._run(choice, self._settings.status_deadline_s)
        except (DeadlineExceeded, Unreachable, Vanished) as error:
            self._chosen = choice
            raise self._cut_short(choice, error) from error  # whatever is asked next would only cost the same again
        except ExecError:
            return
        self._version = versions.from_output(_text(completed.output.stdout))

    async def _trigger(self) -> SelftestAnswer:
        """Run the self-test's command; the next choice only when the one before provably ran nothing."""
        choices = list(selftest_commands(self._agent, self._version))
        if not choices:
            raise _Finished(
                "selftest.no_command", evidence=[f"containers: {', '.join(c.name for c in self._agent.containers)}"]
            )
        answer: SelftestAnswer | None = None
        while choices:
            choice = self._chosen = choices.pop(0)
            try:
                completed = await self._run(choice, self._settings.deadline_s)
            except ExecError as error:
                if CODES[type(error)] == "agent.binary_missing" and choices:
                    continue
                raise self._cut_short(choice, error) from error
            answer = read_answer(_text(completed.output.stdout), _text(completed.output.stderr), completed.exit_status)
            if answer.answer is Answer.UNKNOWN_COMMAND:
                continue
            retry = (
                with_socket(self._agent, choice)
                if answer.answer in {Answer.SOCKET_NOT_SET, Answer.SOCKET_DEAD}
                else None
            )
            if retry is None:
                return answer
            choices.insert(0, retry)
        assert answer is not None, "the last choice either answered or was cut short"
        return answer

    @property
    def _asynchronous(self) -> bool:
        return self._version is None or ASYNCHRONOUS <= self._version.era < CONTINUOUS

    async def _await_results(self, started: datetime) -> None:
        """Read the status until its results are of this run, for as long as this era may take."""
        give_up = self._clock.monotonic() + (AWAITED.total_seconds() if self._asynchronous else 0.0)
        while True:
            block = await self._status()
            finished = self._judge(block, started)
            outdated = finished.code in {"selftest.stale", "selftest.never_finished"} or (
                # Of the minute before, so perhaps of another run; the Agent's own time for this one must be over first.
                self._asynchronous
                and block.last_execution is not None
                and block.last_execution < started.replace(second=0, microsecond=0)
            )
            if not outdated or self._clock.monotonic() >= give_up:
                raise finished
            await self._clock.sleep(POLL_S)

    async def _status(self) -> SelfTests:
        """The Self Tests block, from the first status that has one."""
        seen: list[str] = []
        enabled: bool | None = None
        for choice in status_commands(self._agent, self._version):
            try:
                completed = await self._run(choice, self._settings.status_deadline_s)
            except ExecError as error:
                if CODES[type(error)] == "agent.binary_missing":
                    continue
                raise self._cut_short(choice, error) from error
            status = read_status(_text(completed.output.stdout))
            if status.block is not None and completed.exit_status == 0:
                return status.block
            enabled = status.enabled if enabled is None else enabled
            seen += [
                f"{' '.join(choice.argv)} exited {completed.exit_status}",
                *clean_lines(completed.output.stderr, max_lines=3),
            ]
        if enabled is False:
            raise _Finished("selftest.not_enabled", evidence=[*seen, "Runtime Security: Not enabled"])
        raise _Finished("selftest.no_block", evidence=seen or ["no container has a status command that would tell"])

    def _judge(self, block: SelfTests, started: datetime) -> _Finished:  # noqa: PLR0911 - one for each thing that may be wrong
        """What a block is worth. Never greener than what it says."""
        evidence = clean_lines("\n".join(block.lines))
        if block.faults or block.last_execution is None or block.succeeded is None or block.failed is None:
            return _Finished("selftest.unreadable", "; ".join(block.faults), evidence)
        if both := set(block.succeeded) & set(block.failed):
            return _Finished("selftest.contradiction", f"{_names(both)} both succeeded and failed", evidence)
        if block.last_execution == NEVER:
            return _Finished("selftest.never_finished", evidence=evidence)
        now = self._clock.now()
        age = now - block.last_execution
        if age < -FUTURE:
            return _Finished("selftest.future", evidence=evidence)
        if self._version is not None and self._version.era >= CONTINUOUS:
            fresh = age <= HOURLY
        else:
            skew = SKEW_ASYNCHRONOUS if self._asynchronous else SKEW
            fresh = block.last_execution >= started - timedelta(minutes=1) - skew
        if not fresh:
            # Each Agent's own age would make an outcome of its own of each.
            return _Finished("selftest.stale", evidence=[*evidence, f"That was {_ago(age)} ago."])
        if block.failed:
            return _Finished("selftest.rule_failed", f"{_names(block.failed)} failed", evidence)
        if missing := [rule for rule in RULES if rule not in block.succeeded]:
            return _Finished("selftest.incomplete", f"{_names(missing)} has no result", evidence)
        return _Finished(
            None, evidence=evidence, reason=f"All {len(RULES)} tests succeeded, {_ago(max(age, timedelta()))} ago."
        )

    async def _run(self, choice: Choice, deadline_s: float) -> Completed:
        container = self._agent.container(choice.container) if choice.container else None
        if container is not None and not container.ready:
            raise NotReady(f"{container.name} is {container.state}")
        limits = Limits(deadline_s=deadline_s, max_bytes=self._settings.max_bytes)
        began = self._clock.monotonic()
        status: int | None = None
        try:
            completed = await run(self._executor, self._agent, choice.argv, container=choice.container, limits=limits)
            status = completed.exit_status
        finally:
            took = round(self._clock.monotonic() - began, 3)
            self._invocations.append(
                Invocation(
                    argv=choice.argv, container=choice.container, why=choice.why, exit_status=status, duration_s=took
                )
            )
        return completed

    def _cut_short(self, choice: Choice, error: ExecError) -> _Finished:
        said = [
            *clean_lines(str(error)),
            *clean_lines(error.output.stdout, max_lines=5),
            *clean_lines(error.output.stderr, max_lines=5),
        ]
        if not error.ended:
            said.append("The process may still be running there.")
        detail = clean(str(error), max_chars=200) if CODES[type(error)] == "agent.container_not_ready" else ""
        return _Finished(CODES[type(error)], detail, [f"command: {' '.join(choice.argv)}", *said])

    def _finished(self, finished: _Finished, took: float) -> AgentResult:
        chosen = self._chosen
        findings: tuple[Finding, ...] = ()
        verdict, reason = Verdict.PASS, finished.reason
        if finished.code is not None:
            kind = KINDS[finished.code]
            summary = kind.summary.format(
                agent=self._agent.name, detail=clean(finished.detail, max_chars=200).rstrip(".")
            )
            findings = (
                Finding(
                    code=finished.code,
                    severity=kind.severity,
                    summary=summary,
                    evidence=finished.evidence,
                    remediation=remediate(finished.code, self._agent, self._version),
                ),
            )
            verdict, reason = kind.verdict, finished.reason or summary
        return AgentResult(
            agent=self._agent.name,
            platform=self._agent.platform,
            installation=self._agent.installation,
            node=self._agent.node,
            agent_version=str(self._version) if self._version else None,
            verdict=verdict,
            reason=reason,
            argv=chosen.argv if chosen else (),
            container=chosen.container if chosen else None,
            why=chosen.why if chosen else "",
            duration_s=round(took, 3),
            findings=findings,
            invocations=tuple(self._invocations),
        )


def _text(data: bytes) -> str:
    """Output as text to be read, without escape sequences but not redacted."""
    return _ANSI.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n"))


def _names(rules: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(rule.removeprefix("datadog_agent_cws_self_test_rule_") for rule in rules))[:200]


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes} minutes" if minutes != 1 else "a minute"
