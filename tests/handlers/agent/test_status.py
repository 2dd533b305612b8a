"""Statuses as the Agent's versions print them, as JSON and as text, whole and damaged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.agent.status import read_status
from handlers.selftest.judge import RULES

BLOCK = f"""
  Self Tests
  ==========
    Last execution: 02 Jan 24 15:04 CET
    Succeeded:
      - {RULES[0]}
      - {RULES[1]}
    Failed: none

  Policies
  ========
"""
TESTS = {"LastTimestamp": "02 Jan 24 15:04 CET", "Success": list(RULES), "Fails": None}


def security_agent(**told: object) -> str:
    document = {"flavor": "security_agent", "time_nano": 1795849200 * 10**9, "runtimeSecurityStatus": told}
    return "Getting the status from the agent.\n" + json.dumps(document)


def core(cws: object) -> str:
    return json.dumps({"time_nano": 1795849200 * 10**9, "systemProbeStats": {"event_monitor": {"cws": cws}}})


def test_a_block_is_read_whatever_its_line_ends_and_indentation() -> None:
    for text in (BLOCK, BLOCK.replace("\n", "\r\n"), BLOCK.replace("    ", "\t")):
        tests = read_status(text).tests
        assert tests is not None
        assert tests.stamp is not None
        assert (tests.stamp.zone, tests.succeeded, tests.failed, tests.faults) == ("CET", RULES[:2], (), ())


def test_both_commands_tell_the_same_as_json() -> None:
    one = read_status(security_agent(connected=True, eventReceived=7, selfTests=TESTS))
    two = read_status(core({"SelfTests": {"LastTimestamp": "02 Jan 24 15:04 CET", "Success": list(RULES)}}))

    assert one.tests == two.tests
    assert one.is_json
    assert two.is_json
    assert (one.connected, one.events_received, two.connected) == (True, 7, None)
    assert one.clock is not None
    assert one.clock.now.timestamp() == 1795849200


@pytest.mark.parametrize(
    "text",
    [
        BLOCK.replace("02 Jan 24 15:04 CET", "<no value>").replace(
            f"\n      - {RULES[0]}\n      - {RULES[1]}", " none"
        ),
        security_agent(connected=False, eventReceived=0),
        security_agent(selfTests={"LastTimestamp": "", "Success": None, "Fails": None}),
        core({}),
        core({"SelfTests": {}}),
        json.dumps({"systemProbeStats": {"event_monitor": {"probe": {}}}}),
        "",
    ],
)
def test_what_is_not_told_is_no_block(text: str) -> None:
    assert read_status(text).tests is None


def test_results_without_a_time_are_told_and_cannot_be_read() -> None:
    tests = read_status(core({"SelfTests": {"Success": list(RULES)}})).tests
    assert tests is not None
    assert tests.faults


@pytest.mark.parametrize(
    "broken",
    [{"Success": "all"}, {"Success": [1, 2, 3]}, {"Fails": {}}, {"LastTimestamp": 7}, {"Success": ["x"] * 51}],
)
def test_members_of_another_kind_are_faults(broken: dict[str, object]) -> None:
    tests = read_status(security_agent(selfTests={**TESTS, **broken})).tests
    assert tests is not None
    assert tests.faults


def test_the_agents_words_for_a_module_that_cannot_be_asked_are_kept() -> None:
    assert "failed to get CWS status" in read_status(core("failed to get CWS status: x")).trouble
    unreachable = json.dumps({"systemProbeStats": {"Errors": "connection refused"}})
    assert "connection refused" in read_status(unreachable).trouble
    text = "System Probe\n============\n  Status: Not running or unreachable\n  Error: connection refused\n"
    assert "connection refused" in read_status(text).trouble


def test_security_agent_that_has_it_switched_off_says_so_in_both_ways() -> None:
    assert read_status("Runtime Security\n================\n\n  Not enabled\n").enabled is False
    assert read_status(json.dumps({"flavor": "security_agent"})).enabled is False
    assert read_status(json.dumps({"flavor": "agent"})).enabled is None


@pytest.mark.parametrize("stamp", ["02 Jan 24 15:04 XYZ9", "31 Feb 24 15:04 UTC", "yesterday", ""])
def test_a_time_that_cannot_be_read_is_a_fault(stamp: str) -> None:
    tests = read_status(BLOCK.replace("02 Jan 24 15:04 CET", stamp)).tests
    assert tests is not None
    assert tests.stamp is None
    assert tests.faults


def test_blocks_that_contradict_one_another_are_not_believed() -> None:
    tests = read_status(BLOCK + BLOCK.replace(f"      - {RULES[1]}\n", "")).tests
    assert tests is not None
    assert tests.succeeded is None
    assert tests.faults


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 5_000, "[" * 100_000, "{\n" + "x" * 500_000])
def test_json_made_to_break_a_parser_is_no_status(text: str) -> None:
    assert read_status(text).tests is None


@given(st.text())
def test_nothing_that_is_printed_raises(text: str) -> None:
    read_status(text)
    read_status("{" + text)
    read_status(BLOCK + text)
