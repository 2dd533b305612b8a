"""
What Agents print for a flare, by version and branch: one verdict, one certainty and one class of words each; and that
no damage to what they print makes an outcome greener or more certain.
"""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.agent.findings import KINDS
from handlers.model import Verdict
from tests.handlers.flare.transcripts import Transcript, corpus, outcome

GREEN = {Verdict.PASS, Verdict.WARN}


def test_the_corpus_is_large_and_every_transcript_follows_a_section() -> None:
    assert len(corpus()) >= 60
    assert len({transcript.name for transcript in corpus()}) == len(corpus())
    assert all(transcript.follows.startswith("datadog.md §") for transcript in corpus())
    assert {transcript.expect["certainty"] for transcript in corpus()} == {"uploaded", "failed", "in_doubt", "ended"}


@pytest.mark.parametrize("transcript", corpus(), ids=lambda transcript: transcript.name)
async def test_a_transcript_has_its_verdict_its_certainty_and_its_words(transcript: Transcript) -> None:
    found = await outcome(transcript)

    seen = {"verdict": str(found.result.verdict), "certainty": found.certainty, "code": found.code}
    assert seen == {key: transcript.expect[key] for key in seen}
    assert transcript.expect["words"] in found.result.reason
    assert (b"y\n" in found.told) is (transcript.expect["certainty"] != "ended")
    if found.certainty in {"failed", "in_doubt"}:
        assert found.result.verdict is KINDS[found.code].verdict


@pytest.mark.parametrize(
    "transcript", [each for each in corpus() if each.expect["certainty"] == "in_doubt"], ids=lambda each: each.name
)
async def test_what_is_in_doubt_is_never_called_failed_and_says_whom_to_ask(transcript: Transcript) -> None:
    found = await outcome(transcript)

    assert "the upload failed" not in found.result.reason.lower()
    assert found.result.findings[0].remediation is not None
    assert "Ask Datadog's support whether the flare arrived" in found.result.findings[0].remediation.summary


@pytest.mark.parametrize("transcript", corpus(), ids=lambda transcript: transcript.name)
async def test_not_datadogs_service_is_said_only_where_the_headers_say_so(transcript: Transcript) -> None:
    found = await outcome(transcript)

    assert ("not Datadog's" in found.result.reason) is (b"unknown content-type" in transcript.stderr)


GARBAGE = st.sampled_from([b"\0", b"\xff", b"\x1b", b"#", b"~", b"\xe2\x80", b"\r"])
"""Bytes that are no part of any text of the Agent's: no letter, digit or space."""


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """A text that lost lines, its end or its beginning, or in which bytes were replaced."""
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(("lines", "end", "beginning", "bytes")))
        at = draw(st.integers(0, len(data)))
        if how == "lines":
            lines = data.splitlines(keepends=True)
            data = b"".join(line for line in lines if draw(st.booleans()))
        elif how == "end":
            data = data[:at]
        elif how == "beginning":
            data = data[data.find(b"\n", at) + 1 :]
        else:
            garbage = draw(GARBAGE)
            data = data[:at] + garbage + data[at + len(garbage) :]
    return data


@st.composite
def damaged_transcripts(draw: st.DrawFn) -> tuple[Transcript, Transcript]:
    """A transcript, and the same one after one of its streams, or its end, was damaged."""
    whole = draw(st.sampled_from(corpus()))
    match draw(st.sampled_from(("stdout", "stderr", "exit"))):
        case "stdout":
            return whole, dataclasses.replace(whole, stdout=draw(damaged(whole.stdout)))
        case "stderr":
            return whole, dataclasses.replace(whole, stderr=draw(damaged(whole.stderr)))
        case _ if whole.exit is None:  # an end that was not seen cannot be damaged any more
            return whole, whole
        case _:
            return whole, dataclasses.replace(whole, exit=draw(st.none() | st.integers(0, 255)))


@settings(max_examples=500, deadline=None)
@given(damaged_transcripts())
def test_damage_makes_nothing_greener_or_more_certain(pair: tuple[Transcript, Transcript]) -> None:
    whole, damaged = pair
    found = asyncio.run(outcome(damaged))

    expected = whole.expect
    assert found.certainty != "uploaded" or expected["certainty"] == "uploaded"
    assert found.result.verdict not in GREEN or Verdict(expected["verdict"]) in GREEN
    if found.certainty == "failed" and expected["code"] != "flare.contradiction":
        # Of two lines that contradict each other, either is a whole transcript of its own.
        assert expected["certainty"] == "failed", "that nothing arrived was not certain before"
