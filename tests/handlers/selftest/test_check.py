"""What is asked of an Agent, and in which order. Agents that answer by script, on a clock that is set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from handlers.errors import DeadlineExceeded
from handlers.model import Agent, AgentResult, Installation, Platform, Verdict
from handlers.selftest import check_agent, has_triggered, may_trigger
from handlers.selftest.judge import RULES
from tests.handlers.scripted import ChecklistAnswer, Said, ScriptedAgent, SetClock

STARTED = datetime(2026, 11, 24, 15, 6, 20, 123456, tzinfo=UTC)
TRIGGERED = {f"{binary} runtime self-test": [Said(b"Runtime self test: OK\n")] for binary in ("security-agent",)}


def status(at: str, *, failed: Sequence[str] = ()) -> Said:
    succeeded = "".join(f"\n      - {rule}" for rule in RULES if rule not in failed)
    failures = "".join(f"\n      - {rule}" for rule in failed) or " none"
    lines = (
        "Self Tests",
        "==========",
        f"Last execution: 24 Nov 26 {at} UTC",
        f"Succeeded:{succeeded}",
        f"Failed:{failures}",
    )
    return Said("\n".join(lines).encode())


def docker_agent(version: str | None) -> Agent:
    return Agent(target="edge", name="a", platform=Platform.DOCKER, installation=Installation.DOCKER, version=version)


async def checked(
    script: dict[str, list[ChecklistAnswer]], version: str | None
) -> tuple[AgentResult, list[str], SetClock]:
    """The result, the ends of the commands that were asked, and the clock."""
    clock, executor = SetClock(STARTED), ScriptedAgent(script)
    result = await check_agent(docker_agent(version), executor, clock)
    return result, [argv[1] if argv[-1] == "--json" else argv[-1] for argv in executor.asked], clock


def statuses(*answers: Said) -> dict[str, list[ChecklistAnswer]]:
    return {"security-agent status --json": list(answers)}


async def test_success_of_the_minutes_before_does_not_hide_the_failure_that_is_on_its_way() -> None:
    answers = statuses(status("15:05"), status("15:05"), status("15:06", failed=RULES[:1]))

    result, asked, _ = await checked({**TRIGGERED, **answers}, "7.60.1")

    assert result.verdict is Verdict.FAIL
    assert [word for word in asked if word != "+%s %z %Z"] == ["self-test", "status", "status", "status"]


async def test_results_that_stay_those_of_another_run_are_stale_after_the_agents_own_time() -> None:
    result, _, clock = await checked({**TRIGGERED, **statuses(status("15:05"))}, "7.60.1")

    assert (result.verdict, result.findings[0].code) == (Verdict.UNKNOWN, "selftest.stale")
    assert 35 <= clock.slept < 40


async def test_results_of_this_minute_are_not_waited_for() -> None:
    result, _, clock = await checked({**TRIGGERED, **statuses(status("15:06"))}, "7.60.1")

    assert result.verdict is Verdict.PASS
    assert clock.slept == 0


async def test_two_blocks_of_one_status_that_differ_are_not_believed() -> None:
    both = Said(status("15:06").stdout + b"\n\n" + status("09:00").stdout)

    result, _, _ = await checked(statuses(both), "7.70.1")

    assert (result.verdict, result.findings[0].code) == (Verdict.UNKNOWN, "selftest.unreadable")


async def test_an_agent_that_does_not_even_tell_its_version_is_asked_nothing_more() -> None:
    error = DeadlineExceeded("`agent` on edge/a was still running after 30 s and was ended")

    result, asked, _ = await checked({"agent version": [error]}, None)

    assert (result.verdict, result.findings[0].code) == (Verdict.UNKNOWN, "agent.timeout")
    assert result.argv == ("agent", "version")
    assert asked == ["version"]


async def test_an_error_in_a_log_line_is_not_taken_for_the_commands_own() -> None:
    said = (
        b"2026-11-24 | ERROR | Error: open /etc/datadog-agent/x: no such file or directory\n"
        b'Error: unable to get a process self test: rpc error: code = Unavailable desc = "dial unix /s: connect: connection refused"\n'
    )

    result, _, _ = await checked({"security-agent runtime self-test": [Said(stderr=said, exit_status=255)]}, "7.50.3")

    assert result.findings[0].code == "selftest.socket_refused"


async def test_an_agent_that_tests_itself_costs_one_command() -> None:
    result, asked, _ = await checked(statuses(_as_json("15:00")), "7.70.1")

    assert result.verdict is Verdict.PASS
    assert asked == ["status"]
    assert result.age_s == pytest.approx(380.1, abs=0.2)


async def test_what_shows_the_module_at_work_is_an_observation_and_no_part_of_the_verdict() -> None:
    stale = _as_json("09:00")

    result, _, _ = await checked(statuses(stale), "7.70.1")

    assert result.verdict is Verdict.UNKNOWN
    assert "security-agent has received 42 events since it started." in result.observations


async def test_the_agents_status_is_asked_where_the_security_agents_has_nothing_that_counts() -> None:
    script: dict[str, list[ChecklistAnswer]] = {
        "security-agent status --json": [_as_json("01 Jan 01 00:00 UTC")],
        "agent status --json": [_as_json("15:00", core=True)],
    }

    result, asked, _ = await checked(script, "7.78.0")

    assert result.verdict is Verdict.PASS
    assert asked == ["status", "status"]
    assert result.argv == ("agent", "status", "--json")


@pytest.mark.parametrize(
    ("version", "may"), [("7.50.3", True), ("7.64.9", True), ("7.65.0", False), ("7.84.0", False), (None, True)]
)
def test_an_agent_may_be_triggered_before_7_65_and_where_the_platform_does_not_tell(
    version: str | None, may: bool
) -> None:
    assert may_trigger(docker_agent(version)) is may


async def test_a_result_knows_whether_a_self_test_was_triggered_for_it() -> None:
    triggered, _, _ = await checked({**TRIGGERED, **statuses(status("15:06"))}, "7.60.1")
    read, _, _ = await checked(statuses(_as_json("15:00")), "7.70.1")

    assert has_triggered(triggered)
    assert not has_triggered(read)


def _as_json(at: str, *, core: bool = False) -> Said:
    stamp = at if " " in at else f"24 Nov 26 {at} UTC"
    tests = {"LastTimestamp": stamp, "Success": [] if " " in at else list(RULES), "Fails": []}
    document: dict[str, object] = {"time_nano": int((STARTED + timedelta(milliseconds=1)).timestamp() * 1e9)}
    document |= (
        {"systemProbeStats": {"event_monitor": {"cws": {"SelfTests": tests}}}}
        if core
        else {"runtimeSecurityStatus": {"connected": True, "eventReceived": 42, "selfTests": tests}}
    )
    return Said(json.dumps(document).encode())
