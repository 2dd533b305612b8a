"""The report as JUnit XML: never greener than the exit status, and XML whatever an Agent printed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.render.junit import to_junit
from handlers.model import AgentResult, Finding, Installation, Platform, Report, Severity, Verdict, count

PASS, FAIL, UNKNOWN, SKIPPED = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIPPED


def report(verdict: Verdict, agents: Sequence[Verdict], *, said: str = "it is so") -> Report:
    finding = Finding(code="selftest.stale", severity=Severity.LOW, summary=said, evidence=(said,))
    results = tuple(
        AgentResult(
            agent=f"node-{number}",
            platform=Platform.KUBERNETES,
            installation=Installation.HELM,
            verdict=each,
            reason=said,
            findings=(finding,),
        )
        for number, each in enumerate(agents)
    )
    return Report(
        run="r-1",
        command="selftest",
        target="cluster-a",
        verdict=verdict,
        reason=said,
        started=datetime(2026, 11, 24, tzinfo=UTC),
        duration_s=1.0,
        counts=count(results),
        agents=results,
    )


@pytest.mark.parametrize(
    ("verdict", "agents", "bad"),
    [
        (PASS, [PASS, SKIPPED], 0),
        (FAIL, [FAIL, PASS], 1),
        (UNKNOWN, [UNKNOWN, PASS], 1),
        (UNKNOWN, [], 1),
        (UNKNOWN, [PASS, SKIPPED], 1),  # cancelled before it had asked all
        (UNKNOWN, [SKIPPED], 1),
        (FAIL, [FAIL, SKIPPED], 1),
    ],
)
def test_a_suite_has_faults_exactly_when_the_command_would_not_exit_with_0(
    verdict: Verdict, agents: Sequence[Verdict], bad: int
) -> None:
    root = ET.fromstring(to_junit(report(verdict, agents)))
    cases = root.findall(".//testcase")

    assert len(root.findall(".//failure")) + len(root.findall(".//error")) == bad
    assert int(root.get("failures", "")) + int(root.get("errors", "")) == bad
    assert int(root.get("tests", "")) == len(cases)


@given(st.text())
def test_whatever_was_said_it_is_xml(said: str) -> None:
    ET.fromstring(to_junit(report(UNKNOWN, [UNKNOWN, SKIPPED, PASS], said=said)))
