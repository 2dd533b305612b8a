"""The stand-in's module tests itself as the Agent's does, and is blocked by runs by hand as the Agent's is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.sandbox.agent import Behaviour, Module, reply
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.bounded_gather import gather_bounded
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.model import Agent, AgentResult, Verdict
from handlers.selftest import check_agent
from tests.handlers.selftest.test_verdicts import Hasty

NOW = 1_795_000_000.0
HOUR = 3600.0


def started(ago_s: float) -> Module:
    return Module(NOW - ago_s)


@pytest.mark.parametrize(
    ("version", "up_s", "age_s"),
    [
        ("7.66.0", 5400, 270),  # every 5 min, from 30 s after the start on
        ("7.70.1", 5400, 5400 - 30 - HOUR),
        ("7.78.0", 5400, 5400 - 30 - HOUR),
        ("7.78.0", 20, 5),
    ],
)
def test_a_result_is_as_old_as_the_era_makes_it(version: str, up_s: float, age_s: float) -> None:
    stamp, succeeded, blocked = started(up_s).results(Behaviour(version), NOW)

    assert stamp is not None
    assert NOW - stamp == pytest.approx(age_s)
    assert (succeeded, blocked) == (True, False)


def test_before_its_first_test_it_has_no_result() -> None:
    assert started(10).results(Behaviour("7.78.0"), NOW)[0] is None


@pytest.mark.parametrize(("version", "hidden_h"), [("7.70.1", 2), ("7.78.0", 1)])
def test_a_break_stays_hidden_for_as_long_as_csm_says(version: str, hidden_h: float) -> None:
    module = started(10 * HOUR)
    hidden = [
        seconds
        for seconds in range(0, 3 * 3600, 60)
        if module.results(Behaviour(version, broken_at=NOW - seconds), NOW)[1]
    ]

    assert max(hidden) <= hidden_h * HOUR
    assert max(hidden) > (hidden_h - 1) * HOUR


def test_ten_runs_by_hand_block_the_status_for_good() -> None:
    """What csm did until 0.2.0, and what any other tool may do. csm itself triggers nothing from 7.65."""
    behaviour, module = Behaviour("7.70.1", "operator"), started(5400)
    line = ("system-probe", "runtime", "self-test")
    hung = [reply(line, {}, behaviour, module=module, now=NOW + n).hang for n in range(12)]

    assert hung == [False] * 9 + [True] * 3
    assert reply(("security-agent", "status"), {}, behaviour, module=module, now=NOW + 60).hang
    assert reply(("security-agent", "status"), {}, behaviour, module=module, now=NOW + 24 * HOUR).hang


def test_a_run_by_hand_makes_what_is_shown_older_evidence() -> None:
    behaviour = Behaviour("7.70.1", broken_at=NOW - 2.5 * HOUR)
    asked = Module(NOW - 10 * HOUR, [NOW - 3.2 * HOUR, NOW - 3.1 * HOUR])

    assert not started(10 * HOUR).results(behaviour, NOW)[1]
    assert asked.results(behaviour, NOW)[1], "three hours after its break it still shows a pass"


async def test_an_agent_from_7_65_is_asked_a_thousand_times_and_still_answers(tmp_path: Path) -> None:
    pod = Pod("datadog-1", "node-1", Behaviour("7.70.1"))
    async with KubernetesApi([pod]) as api:
        executor = KubernetesExecutor("c", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "k")))
        (agent,) = await executor.agents()

        async def ask(each: Agent) -> AgentResult:
            return await check_agent(each, executor, Hasty())

        results = await gather_bounded([agent] * 1000, ask, at_once=100)
        await executor.aclose()

    assert {result.verdict for result in results} == {Verdict.PASS}
    assert not pod.module.by_hand
    assert {argv for _, argv in api.commands} == {("security-agent", "status", "--json")}
