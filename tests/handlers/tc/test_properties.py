"""
Whatever the evidence: an answer, and never a greener one for evidence that is hidden or taken away.

Documents are made of what vendors really attach, so that a vendor's name stands for its return codes, as the vendor table
assumes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.model import AgentResult, Verdict
from handlers.tc.document import UnreadableDocument, packed, read_document, saved, unpacked
from handlers.tc.evidence import Entry, Evidence
from tests.handlers.tc.nodes import OK, REDIRECT, SHOT, UNSPEC, Node, device, judged, seen

_GREEN = {Verdict.PASS: 0, Verdict.SKIPPED: 1, Verdict.WARN: 1, Verdict.UNKNOWN: 2, Verdict.FAIL: 2}
"""`unknown` is no greener than `fail`: both say that the network may not be watched."""
_VENDORS = (
    ("cil_from_container", (OK, SHOT)),
    ("cali_tc_preambl", (UNSPEC, REDIRECT)),
    ("endpoint_ingress_filter", (UNSPEC,)),
    ("tc_ingress_flow_parse", (OK,)),
    ("somebody", (OK,)),
    ("somebody_else", (UNSPEC,)),
    ("anybody", (UNSPEC, REDIRECT)),
)


@st.composite
def documents(draw: st.DrawFn) -> Evidence:
    node = Node()
    own_pref = draw(st.sampled_from((1, 10, 50)))

    def chain(direction: str) -> list[Entry]:
        entries = []
        for number in range(draw(st.integers(0, 2))):
            name, codes = draw(st.sampled_from(_VENDORS))
            if draw(st.booleans()):
                entries.append(node.tcx(name, *codes))
            else:
                entries.append(
                    node.filter(name, *codes, pref=draw(st.sampled_from((1, 2, 9, 10, 11, 50, 66))), handle=number + 3)
                )
        if draw(st.integers(0, 5)):
            entries.append(node.own(direction, pref=own_pref))
        return entries

    devices = [device(f"lxc{number}", chain("ingress"), chain("egress")) for number in range(draw(st.integers(1, 3)))]
    version = draw(st.sampled_from(("7.38.0", "7.39.2", "7.70.1")))
    return node.evidence(*devices, agent=seen(version))


def hide_instructions(document: Any, number: int) -> None:
    programs = list(document["programs"].values())
    if programs:
        programs[number % len(programs)].update(instructions=None, calls={}, unseen=["hidden"])


def drop_program(document: Any, number: int) -> None:
    numbers = list(document["programs"])
    if numbers:
        del document["programs"][numbers[number % len(numbers)]]


def some_device(document: Any, number: int) -> list[Any]:
    devices = [one for namespace in document["namespaces"] for one in namespace["devices"]]
    return [devices[number % len(devices)]] if devices else []


def hide_chain(document: Any, number: int) -> None:
    for one in some_device(document, number):
        one["ingress" if number % 2 else "egress"] = None


def hide_tcx(document: Any, number: int) -> None:
    document["tcx"] = None
    for one in some_device(document, number):
        one["tcx_seen"] = False
        for direction in ("ingress", "egress"):
            one[direction] = one[direction] and [entry for entry in one[direction] if entry["attachment"] != "tcx"]


def hide_settings(document: Any, _number: int) -> None:
    document["agent"].update(settings={}, settings_seen=False, running={})


def hide_version(document: Any, _number: int) -> None:
    document["agent"]["version"] = None


def hide_namespaces(document: Any, _number: int) -> None:
    document["namespaces"] = []
    document["unseen"] = ["no rights"]


def hide_kernel(document: Any, _number: int) -> None:
    document.update(kernel="", tcx=None)


HIDING = [
    hide_instructions,
    drop_program,
    hide_chain,
    hide_tcx,
    hide_settings,
    hide_version,
    hide_namespaces,
    hide_kernel,
]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), st.lists(st.tuples(st.sampled_from(HIDING), st.integers(0, 20)), min_size=1, max_size=4))
def test_hiding_evidence_never_makes_a_verdict_greener(evidence: Evidence, hiding: list[tuple[Any, int]]) -> None:
    before = judged(evidence)
    document = json.loads(evidence.model_dump_json(by_alias=True))
    for hide, number in hiding:
        hide(document, number)
    after = judged(read_document(json.dumps(document).encode()))

    assert _GREEN[after.verdict] >= _GREEN[before.verdict], (before.reason, after.reason)


@settings(max_examples=60, deadline=None)
@given(documents())
def test_a_saved_document_is_judged_as_the_first_one_was(evidence: Evidence) -> None:
    first = judged(evidence)
    again = judged(read_document(unpacked(packed(saved(evidence))).encode()))

    assert again == first


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.recursive(st.none() | st.integers() | st.text(max_size=20), lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(("schema", "namespaces", "programs", "devices", "ingress", "inode", "host", "name", "index", "attachment", "pref", "agent")), each, max_size=5), max_leaves=20).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_document_is_judged_or_refused_in_a_sentence(data: bytes) -> None:
    said, verdict = outcome(data)

    assert verdict is not Verdict.PASS
    assert len(said) < 500
    assert "\n" not in said


def outcome(data: bytes) -> tuple[str, Verdict]:
    """Why it is refused, or the verdict."""
    try:
        return "", judged(read_document(data)).verdict
    except UnreadableDocument as fault:
        return str(fault) or "nothing was said" * 100, Verdict.UNKNOWN


def _everything(result: AgentResult) -> str:
    return result.model_dump_json(exclude={"document"}) + unpacked(result.document)


def test_hostile_names_neither_break_a_line_nor_leak() -> None:
    secret = "hunter2-" + "0123456789abcdef" * 2
    hostile = f"\x1b[31m<!channel>\nverdict: pass\u202e password: {secret} " + "x" * 100
    node = Node()
    one = device("e\x1b]0;t\x07\r\nth0", [node.filter(hostile, OK), node.own("ingress")], [node.own("egress")])
    document = node.evidence(one, unseen=(hostile,)).model_dump_json(by_alias=True).encode()
    said = _everything(judged(read_document(document)))

    for forbidden in ("\\u001b", "\x1b", "\\u202e", "\u202e", secret, "\\nverdict"):
        assert forbidden not in said


@pytest.mark.parametrize("kind", ["circle", "huge numbers", "many"])
def test_hostile_documents_cost_little(kind: str) -> None:
    node = Node()
    evidence = node.evidence(device("eth0", [node.filter("a", OK)], []))
    document = json.loads(evidence.model_dump_json(by_alias=True))
    entry = document["namespaces"][0]["devices"][0]["ingress"][0]
    if kind == "circle":
        document["programs"]["1"].update(same_as=1, loads=list(range(1000)))
    elif kind == "huge numbers":
        entry.update(pref=10**30, handle=-(10**30), chain=10**30)
    else:
        document["namespaces"][0]["devices"] = [
            {"name": f"d{number}", "index": number, "ingress": [entry] * 5, "egress": []} for number in range(20_001)
        ]
    said, verdict = outcome(json.dumps(document).encode())

    assert verdict is not Verdict.PASS
    assert ("more than any node has" in said) == (kind == "many")
