"""What the collector makes of instructions, without a kernel."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.tc import collector
from handlers.tc.evidence import Evidence, Program

KALLSYMS = """\
ffffffff81000000 T _stext
ffffffff81200000 T __bpf_call_base
ffffffff81200100 t __cfi_something
ffffffff81a00500 t sk_redirect_alias
ffffffff81a00500 T bpf_redirect
ffffffff81a00900 T bpf_map_lookup_elem
ffffffff80f00000 T bpf_below
"""


def test_a_call_is_named_by_its_distance_from_the_base(tmp_path: Path) -> None:
    (tmp_path / "kallsyms").write_text(KALLSYMS)

    names = collector.helper_names(str(tmp_path / "kallsyms"), {0x800500, 0x800900, -0x300000, 0x123})

    assert names == {0x800500: "bpf_redirect", 0x800900: "bpf_map_lookup_elem", -0x300000: "bpf_below"}


@pytest.mark.parametrize(
    "symbols", ["", KALLSYMS.replace("ffffffff8", "000000000"), "0000000000000000 T __bpf_call_base\n"]
)
def test_hidden_addresses_name_nothing(tmp_path: Path, symbols: str) -> None:
    (tmp_path / "kallsyms").write_text(symbols.replace("000000000120", "000000000000"))

    assert collector.helper_names(str(tmp_path / "kallsyms"), {0x900500}) == {}
    assert collector.helper_names(str(tmp_path / "missing"), {0x900500}) == {}


def test_instructions_that_differ_in_their_maps_alone_are_the_same() -> None:
    def loading(number: int) -> bytes:
        return struct.pack("=BBhi", 0x18, 0x12, 0, number) + bytes(8) + struct.pack("=BBhi", 0x95, 0, 0, 0)

    first, second = (collector.without_maps(loading(number)) for number in (7, 8))

    assert first[0] == second[0]
    assert (first[1], second[1]) == ([7], [8])


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_apart_without_a_fault(code: bytes) -> None:
    code = code[: len(code) // 8 * 8]

    body, loads = collector.without_maps(code)

    assert len(body) == len(code)
    assert len(loads) <= len(code) // 8
    assert all(0 <= index < len(code) // 8 for index in collector.called(code))


class Links:
    """A kernel in which one program replaces a function of another, and one only watches."""

    def links(self, _most: int) -> list[bytes]:
        tracing, tcx = 2, 11
        return [
            struct.pack("=IIIIIIII", tracing, 1, 50, 0, 0, 7, 9, 0),
            struct.pack("=IIIIIIII", tracing, 2, 60, 0, 24, 7, 9, 0),
            struct.pack("=IIIIIIII", tcx, 3, 7, 0, 7, 46, 0, 0),
        ]


def test_a_program_whose_functions_are_replaced_does_not_pass_for_its_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[int, Any] = {7: {"id": 7, "name": "tc_dispatcher", "instructions": "lQAAAAAAAAA="}}
    programs = collector.Programs(Links(), seen, {}, [])  # type: ignore[arg-type]
    monkeypatch.setattr(programs, "_type", {50: collector.EXTENSION, 60: 26}.get)

    programs.find_replacements()

    evidence = Evidence.model_validate({"schema": "csm.tc-evidence/1", "programs": seen})
    assert evidence.programs[7].replaced_by == (50,)
    program = evidence.program(7)
    assert program is not None
    assert program.instructions is None
    assert "program 50" in program.unseen[0]


@pytest.mark.parametrize(("most", "said"), [(3, True), (4, False)])
def test_links_that_are_more_than_are_looked_at_are_said(
    most: int, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "MOST_LINKS", most)
    unseen: list[str] = []

    collector.Programs(Links(), {}, {}, unseen).find_replacements()  # type: ignore[arg-type]

    assert bool(unseen) is said


def test_a_program_is_whole_also_where_its_instructions_are_given_once() -> None:
    code = struct.pack("=BBhi", 0x18, 0x12, 0, 7) + bytes(8) + struct.pack("=BBhi", 0x95, 0, 0, 0)

    first = Program(id=1, instructions=base64.b64encode(code).decode(), loads=(7,), calls={3: "bpf_redirect"})
    evidence = Evidence(programs={1: first, 2: Program(id=2, same_as=1, loads=(8,)), 3: Program(id=3, same_as=9)})

    second = evidence.program(2)

    assert second is not None
    assert collector.without_maps(second.code()) == (collector.without_maps(code)[0], [8])
    assert second.calls == {3: "bpf_redirect"}
    missing = evidence.program(3)
    assert missing is not None
    assert missing.instructions is None
    assert evidence.program(4) is None
