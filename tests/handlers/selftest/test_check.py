"""Whose results a status shows: those of this run, or of one before. Agents that answer by script, on a clock that is set."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.sandbox.agent import RULES
from handlers.errors import DeadlineExceeded, ExecError
from handlers.executors.base import Session, Stream
from handlers.model import Agent, AgentResult, Installation, Platform, Verdict
from handlers.selftest import examine

STARTED = datetime(2026, 11, 24, 15, 6, 20, 123456, tzinfo=UTC)
OK = b"Runtime self test: OK\n"


class Clock:
    """Stands still but for sleeping."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> datetime:
        return STARTED + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


class Said:
    """A command that has printed and ended."""

    def __init__(self, stdout: bytes) -> None:
        self._chunks: Iterator[tuple[Stream, bytes]] = iter([(Stream.STDOUT, stdout)] if stdout else [])

    async def read(self) -> tuple[Stream, bytes] | None:
        return next(self._chunks, None)

    async def exit_status(self) -> int:
        return 0

    async def write(self, data: bytes) -> None:
        raise NotImplementedError

    async def close_stdin(self) -> None:
        raise NotImplementedError

    async def end(self, grace_s: float) -> bool:
        return True


class Scripted:
    """An Agent whose commands answer from a script; the last answer of each stays."""

    platform = Platform.DOCKER

    def __init__(self, **script: Sequence[bytes | ExecError]) -> None:
        self._script = {name: list(answers) for name, answers in script.items()}
        self.asked: list[str] = []

    async def agents(self) -> Sequence[Agent]:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        name = "selftest" if argv[-1] == "self-test" else argv[-1]
        self.asked.append(name)
        answers = self._script[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, ExecError):
            raise answer
        yield Said(answer)


def status(at: str, *, failed: Sequence[str] = ()) -> bytes:
    succeeded = "".join(f"\n      - {rule}" for rule in RULES if rule not in failed)
    failures = "".join(f"\n      - {rule}" for rule in failed) or " none"
    lines = (
        "Self Tests",
        "==========",
        f"Last execution: 24 Nov 26 {at} UTC",
        f"Succeeded:{succeeded}",
        f"Failed:{failures}",
    )
    return "\n".join(lines).encode()


async def examined(executor: Scripted, version: str | None, clock: Clock) -> AgentResult:
    agent = Agent(target="edge", name="a", platform=Platform.DOCKER, installation=Installation.DOCKER, version=version)
    return await examine(agent, executor, clock)


@pytest.mark.parametrize("version", ["7.53.0", "7.60.1", "7.64.3"])
async def test_success_of_the_minutes_before_does_not_hide_the_failure_that_is_on_its_way(version: str) -> None:
    executor = Scripted(selftest=[OK], status=[status("15:05"), status("15:05"), status("15:06", failed=RULES[:1])])
    clock = Clock()

    result = await examined(executor, version, clock)

    assert result.verdict is Verdict.FAIL
    assert executor.asked == ["selftest", "status", "status", "status"]


async def test_results_that_stay_those_of_another_run_are_stale_after_the_agents_own_time() -> None:
    clock = Clock()

    result = await examined(Scripted(selftest=[OK], status=[status("15:04")]), "7.60.1", clock)

    assert (result.verdict, result.findings[0].code) == (Verdict.UNKNOWN, "selftest.stale")
    assert 35 <= clock.slept < 40


async def test_results_of_this_minute_are_not_waited_for() -> None:
    clock = Clock()

    assert (await examined(Scripted(selftest=[OK], status=[status("15:06")]), "7.60.1", clock)).verdict is Verdict.PASS
    assert clock.slept == 0


async def test_a_clock_that_is_a_little_behind_costs_time_and_no_verdict() -> None:
    clock = Clock()

    assert (await examined(Scripted(selftest=[OK], status=[status("15:05")]), "7.60.1", clock)).verdict is Verdict.PASS
    assert clock.slept >= 35


async def test_two_blocks_of_different_times_are_not_believed() -> None:
    both = status("15:06") + b"\n" + status("09:00")

    result = await examined(Scripted(selftest=[OK], status=[both]), "7.70.1", Clock())

    assert (result.verdict, result.findings[0].code) == (Verdict.UNKNOWN, "selftest.unreadable")


async def test_an_agent_that_does_not_even_tell_its_version_is_asked_nothing_more() -> None:
    executor = Scripted(version=[DeadlineExceeded("`agent` on edge/a was still running after 30 s and was ended")])

    result = await examined(executor, None, Clock())

    assert (result.verdict, result.findings[0].code) == (Verdict.UNKNOWN, "agent.timeout")
    assert result.argv == ("agent", "version")
    assert executor.asked == ["version"]


async def test_an_error_in_a_log_line_is_not_taken_for_the_commands_own() -> None:
    said = (
        b"2026-11-24 | ERROR | Error: open /etc/datadog-agent/x: no such file or directory\n"
        b'Error: unable to get a process self test: rpc error: code = Unavailable desc = "dial unix /s: connect: connection refused"\n'
    )

    class Failed(Said):
        async def exit_status(self) -> int:
            return 255

    class Refusing(Scripted):
        @contextlib.asynccontextmanager
        async def open(
            self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
        ) -> AsyncIterator[Session]:
            yield Failed(said)

    result = await examined(Refusing(), "7.70.1", Clock())

    assert result.findings[0].code == "selftest.socket_refused"
