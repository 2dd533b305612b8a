"""
Every transcript comes to what was written beside it by hand, and damage makes none greener.

`follows` names the section of datadog.md, the notes on the Agent's sources, that an expectation rests on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.agent.commands import triggers_selftest
from handlers.model import AgentResult, Verdict
from handlers.selftest import check_agent
from tests.handlers.scripted import Said, ScriptedAgent, SetClock
from tests.handlers.selftest.transcripts import NOW, Transcript, transcripts

ALL = transcripts()
_CERTAINTY = {
    "csm's own run": ("", True),
    "a break of 10 min may not show": ("the last 10 min may not show", True),
    "a break of an hour may not show": ("the last hour may not show", True),
    "a break of 2 hours may not show": ("the last 2 hours may not show", True),
    "a failure of up to 5 min ago": ("for up to 5 min", True),
    "a failure of up to an hour ago": ("for up to an hour", True),
    "a failure of up to an hour ago, or late events": ("late look like a failure", True),
    "a result that does not count": ("", True),
    "none": ("", False),
}
"""What `limits` says, and whether there is a result with an age."""


def checked(
    transcript: Transcript, damage: Callable[[str, int, Said], Said] = lambda _command, _number, said: said
) -> tuple[AgentResult, ScriptedAgent]:
    """The result, and what was asked. `damage` gets each answer of a command, by its number, before it is given."""
    clock = SetClock(NOW)
    executor = ScriptedAgent(transcript.script(clock), transcript.agent.platform, damage=damage)
    return asyncio.run(check_agent(transcript.agent, executor, clock)), executor


@pytest.mark.parametrize("transcript", ALL, ids=lambda transcript: transcript.name)
def test_a_transcript_comes_to_what_is_expected_of_it(transcript: Transcript) -> None:
    result, executor = checked(transcript)
    expect = transcript.expect

    assert (result.verdict.value, [finding.code for finding in result.findings]) == (
        expect["verdict"],
        [expect["code"]] if "code" in expect else [],
    ), result
    assert expect["words"] in " ".join((result.reason, *(line for f in result.findings for line in f.evidence))), result
    words, has_age = _CERTAINTY[expect["certainty"]]
    assert words in result.limits, result.limits
    assert bool(result.limits) is bool(words)
    assert (result.age_s is not None) is has_age
    assert all(finding.remediation and finding.evidence for finding in result.findings)
    if transcript.follows.startswith("§2.3 never"):
        assert not any(triggers_selftest(argv) for argv in executor.asked)


def test_nothing_is_triggered_from_7_65_on_nor_on_an_unknown_version() -> None:
    for transcript in ALL:
        version = transcript.version or transcript.said_version
        if not version or int(version.split(".")[1]) >= 65:
            _, executor = checked(transcript)
            assert not any(triggers_selftest(argv) for argv in executor.asked), transcript.name


def test_there_are_enough_transcripts_and_all_differ() -> None:
    assert len({transcript.name for transcript in ALL}) == len(ALL) >= 110
    assert all(transcript.follows.startswith("§") for transcript in ALL)


GREEN = {Verdict.PASS, Verdict.WARN, Verdict.SKIPPED}


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_damage_makes_no_verdict_greener(data: st.DataObject) -> None:
    transcript = data.draw(st.sampled_from(ALL))
    hit = data.draw(st.sampled_from(sorted(transcript.script(SetClock(NOW)))))
    how = data.draw(st.sampled_from([_without_lines, _truncated, _garbled, _failing]))
    from_the = data.draw(st.integers(0, 2))
    seen: list[Said] = []

    def damage(command: str, number: int, said: Said) -> Said:
        if command != hit or number < from_the:
            return said
        seen.append(how(said, data))
        return seen[-1]

    result, _ = checked(transcript, damage)

    if transcript.expect.get("code") == "selftest.contradiction":
        return  # either half of it is a whole transcript of its own
    if transcript.expect["verdict"] not in {"pass", "skipped"}:
        assert result.verdict not in GREEN, (hit, seen)
    elif result.verdict in GREEN:
        assert result.verdict.value == transcript.expect["verdict"]


def _without_lines(said: Said, data: st.DataObject) -> Said:
    lines = said.stdout.split(b"\n")
    first = data.draw(st.integers(0, len(lines) - 1))
    count = data.draw(st.integers(1, 4))
    return replace(said, stdout=b"\n".join((*lines[:first], *lines[first + count :])))


def _truncated(said: Said, data: st.DataObject) -> Said:
    return replace(said, stdout=said.stdout[: data.draw(st.integers(0, len(said.stdout)))])


def _garbled(said: Said, data: st.DataObject) -> Said:
    """Bytes that could not stand there: letters and digits would be another, valid transcript."""
    found = bytearray(said.stdout)
    for at in _places(len(found), data):
        found[at] = data.draw(st.sampled_from(b"\x00\xff\x1b#?"))
    return replace(said, stdout=bytes(found))


def _failing(said: Said, data: st.DataObject) -> Said:
    return replace(said, exit_status=data.draw(st.sampled_from([1, 126, 255])))


def _places(length: int, data: st.DataObject) -> Sequence[int]:
    return data.draw(st.lists(st.integers(0, max(0, length - 1)), min_size=1, max_size=8)) if length else []
