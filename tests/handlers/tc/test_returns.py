"""What a program can return: known programs, programs that clang made, and any bytes at all."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.tc import instructions as ins
from handlers.tc.evidence import Program
from handlers.tc.returns import Analyst, Returns
from tests import bpf
from tests.bpf import EXIT, Op, Stuck, alu, assemble, call, call_function, copy, goto, jump, load, load_map, mov, store


def returns(
    ops: Sequence[Op], *others: Program, arrays: Mapping[int, Mapping[int, int] | None] | None = None
) -> Returns:
    return of(assemble(ops), *others, arrays=arrays)


def of(code: bytes, *others: Program, arrays: Mapping[int, Mapping[int, int] | None] | None = None) -> Returns:
    return Analyst(bpf.evidence([bpf.program(1, code), *others], arrays)).returns(1)


@pytest.mark.parametrize("code", [-1, 0, 2, 4, 7, 8, 3, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("wide", [True, False])
def test_a_constant_is_itself_in_32_and_in_64_bits(code: int, wide: bool) -> None:
    assert returns([mov(0, code, wide=wide), EXIT]) == Returns(frozenset((code,)))


def test_both_ways_of_a_branch_count() -> None:
    found = returns([load(2, 0, base=1, opcode=0x61), mov(0, 0), jump(ins.JEQ, 2, 5, 1), mov(0, -1), EXIT])

    assert found == Returns(frozenset((0, -1)))


def test_a_way_that_is_never_taken_does_not_count() -> None:
    assert returns([mov(2, 3), mov(0, -1), jump(ins.JNE, 2, 3, 1), goto(1), mov(0, 0), EXIT]).codes == {-1}


def test_a_value_is_followed_through_registers_and_the_stack() -> None:
    found = returns([mov(6, 2), store(-16, 6), mov(6, 0), load(7, -16), copy(0, 7), EXIT])

    assert found == Returns(frozenset((2,)))


def test_what_a_helper_may_have_overwritten_is_not_trusted() -> None:
    spilled = [mov(6, 2), store(-8, 6), copy(3, 10), alu(ins.ADD, 3, -8), call(26), load(0, -8), EXIT]

    assert not returns(spilled).known


def test_what_no_helper_can_reach_is_trusted() -> None:
    assert returns([mov(6, 2), store(-8, 6), mov(1, 1), call(7), load(0, -8), EXIT]) == Returns(frozenset((2,)))


@pytest.mark.parametrize("helper", [23, 152, 155])
def test_a_redirect_returns_redirect_or_the_drop_of_its_failure(helper: int) -> None:
    assert returns([mov(1, 4), mov(2, 0), call(helper), EXIT]) == Returns(frozenset((7, 2)))


def test_the_result_of_an_unknown_helper_cannot_be_told_and_says_which() -> None:
    found = returns([call(1), EXIT])

    assert not found.known
    assert "bpf_map_lookup_elem" in found.unknown[0]
    assert found.allows(0)


def test_an_unknown_result_that_is_overwritten_does_no_harm() -> None:
    assert returns([call(1), mov(0, -1), EXIT]) == Returns(frozenset((-1,)))


def test_a_comparison_with_a_constant_tells_what_is_left() -> None:
    equal = [call(7), jump(ins.JEQ, 0, 7, 1), mov(0, -1), EXIT]
    below = [call(7), jump(ins.JGT, 0, 2, 1), EXIT, mov(0, -1), EXIT]

    assert returns(equal).codes == {7, -1}
    assert returns(below).codes == {0, 1, 2, -1}
    assert returns(equal).known
    assert returns(below).known


def test_constants_are_told_beside_what_cannot_be_told() -> None:
    found = returns([call(1), mov(6, 0), jump(ins.JEQ, 0, 0, 1), copy(6, 0), copy(0, 6), EXIT])

    assert not found.known
    assert 0 in found.codes


def test_an_error_number_is_negative_and_nothing_else() -> None:
    found = returns([call(26), jump(ins.JSLT, 0, 0, 1), mov(0, 0), EXIT])

    assert found.known
    assert found.negative
    assert found.codes == {0}
    assert found.allows(-14)
    assert not found.allows(2)


def test_sign_extension_by_shifts_and_by_moves() -> None:
    shifts = [mov(0, -1, wide=False), alu(ins.LSH, 0, 32), alu(ins.ARSH, 0, 32), EXIT]
    moves = [mov(6, 0xFF), (0xBF, 0, 6, 8, 0), EXIT]

    assert returns(shifts).codes == {-1}
    assert returns(moves).codes == {-1}


def test_its_own_functions_are_followed() -> None:
    found = returns([mov(1, 0), call_function(4), jump(ins.JEQ, 0, 9, 1), EXIT, mov(0, 2), EXIT, mov(0, 9), EXIT])

    assert found == Returns(frozenset((2,)))


def test_a_function_called_by_offset_as_a_jited_program_is_dumped() -> None:
    assert returns([(0x85, 0, 1, 1, 3), EXIT, mov(0, -1), EXIT]).codes == {-1}


def test_a_function_without_an_end_of_calls_cannot_be_told() -> None:
    assert not returns([call_function(-1), EXIT]).known


def test_a_function_of_the_kernel_may_end_the_program_with_any_value() -> None:
    throwing = [mov(1, 0), (0x85, 0, 2, 0, 290304), mov(0, -1), EXIT]

    assert not returns(throwing).known
    assert "bpf_throw" in returns(throwing).unknown[0]


def test_calls_in_a_program_that_is_too_long_for_their_distances_are_not_followed() -> None:
    distance = 2**16 + 2
    code = [(0x85, 0, 1, 2, 1), copy(7, 0), jump(ins.JNE, 7, 55, 2), mov(0, -1), EXIT]
    code += [mov(6, 0)] * (distance + 1 - len(code) - 2) + [copy(0, 7), EXIT]

    assert not returns([*code, mov(0, 0), EXIT]).known


def test_a_barrier_against_speculation_stores_nothing() -> None:
    held = [mov(6, 2), store(-8, 6), copy(0, 10), alu(ins.ADD, 0, -8), (0xC2, 0, 0, 0, 0), load(0, -8), EXIT]

    assert returns(held) == Returns(frozenset((2,)))


TAIL = [*load_map(2, 50), mov(3, 1), call(12), mov(0, 2), EXIT]


def test_a_tail_call_is_followed_and_falls_through() -> None:
    accept = bpf.program(9, assemble([mov(0, 0), EXIT]))
    found = returns(TAIL, accept, arrays={50: {1: 9}})

    assert found == Returns(frozenset((2,)), frozenset((0,)))


def test_only_the_program_at_the_index_is_followed() -> None:
    others = [bpf.program(9, assemble([mov(0, 0), EXIT])), bpf.program(10, assemble([mov(0, -1), EXIT]))]

    assert returns(TAIL, *others, arrays={50: {0: 9, 1: 10}}).via_tail_call == {-1}


def test_a_program_array_that_cannot_be_read_leaves_it_open() -> None:
    found = returns(TAIL, arrays={50: None})

    assert not found.known
    assert found.codes == {2}
    assert "program array" in found.unknown[0]


def test_tail_calls_in_a_circle_end() -> None:
    back = bpf.program(9, assemble([*load_map(2, 50), mov(3, 1), call(12), mov(0, 0), EXIT]))

    assert returns(TAIL, back, arrays={50: {1: 9}}) == Returns(frozenset((2,)), frozenset((0,)))


def test_a_tail_call_from_a_function_comes_back_to_its_caller() -> None:
    accept = bpf.program(9, assemble([mov(0, 7), EXIT]))
    found = returns([call_function(3), jump(ins.JEQ, 0, 7, 1), EXIT, EXIT, *TAIL], accept, arrays={50: {1: 9}})

    assert found.known
    assert found.codes == {2, 7}


def test_packet_loads_end_the_program_with_zero_beyond_its_end() -> None:
    assert returns([(0x20, 0, 0, 0, 0), mov(0, -1), EXIT]).codes == {0, -1}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (b"", "hidden"),
        (b"\x95", "multiple"),
        (assemble([mov(0, 0)]), "leaves"),
        (assemble([goto(100), EXIT]), "leaves"),
        (assemble([goto(-1), EXIT]), "no path"),
        (assemble([(0x18, 0, 0, 0, 1)]), "not known"),
        (assemble([(0xFF, 0, 0, 0, 1), EXIT]), "not known"),
    ],
)
def test_what_is_no_program_cannot_be_told_and_says_why(code: bytes, why: str) -> None:
    found = of(code)

    assert not found.known
    assert why in found.unknown[0]


def test_a_program_that_is_not_there_cannot_be_told() -> None:
    assert not Analyst(bpf.evidence([])).returns(4).known
    assert not Analyst(bpf.evidence([])).returns(None).known


def test_big_endian_nodes_are_read_too() -> None:
    import base64

    code = bytes((0xB7, 0x00, 0, 0)) + (7).to_bytes(4, "big") + bytes((0x95, 0, 0, 0, 0, 0, 0, 0))
    seen = Program(id=1, instructions=base64.b64encode(code).decode())
    evidence = bpf.evidence([seen]).model_copy(update={"byte_order": "big"})

    assert Analyst(evidence).returns(1).codes == {7}


def test_programs_that_differ_in_their_maps_alone_are_walked_once_and_told_apart() -> None:
    code = assemble(TAIL)
    accept, go_on = bpf.program(8, assemble([mov(0, 0), EXIT])), bpf.program(9, assemble([mov(0, -1), EXIT]))
    first = bpf.program(1, code).model_copy(update={"loads": (50,)})
    others = [Program(id=number, same_as=1, loads=(number,)) for number in range(100, 400)]
    arrays = {50: {1: 8}, **{number: {1: 9} for number in range(100, 400)}}
    analyst = Analyst(bpf.evidence([first, accept, go_on, *others], arrays), steps=800)

    assert analyst.returns(1).via_tail_call == {0}
    assert {analyst.returns(number) for number in range(100, 400)} == {Returns(frozenset((2,)), frozenset((-1,)))}


# -- programs that clang made ----------------------------------------------------------------------------------

SOURCES = {
    "passes": ("SEC('tc') int f(struct skb *s) { return -1; }", {-1}),
    "accepts or drops": ("SEC('tc') int f(struct skb *s) { return s->mark == 7 ? 2 : 0; }", {0, 2}),
    "redirects": ("SEC('tc') int f(struct skb *s) { return s->len > 100 ? redirect(s->ifindex, 0) : -1; }", {7, 2, -1}),
    "by a switch": (
        ("SEC('tc') int f(struct skb *s) { switch (s->mark) { case 1: return 0; case 2: return 2; case 3: return 4;"
        " case 9: return 8; default: return -1; } }"),
        {0, 2, 4, 8, -1},
    ),
    "by a function": (
        ("SEC('tc') int f(struct skb *s); static noinline SEC('tc') int g(struct skb *s, int x) { volatile int y = x;"
        " return s->mark ? 2 : (y ? -1 : -1); } SEC('tc') int f(struct skb *s) { int r = g(s, 3); return r == 2 ? 2 : -1; }"),
        {2, -1},
    ),
    "in a loop": (
        ("SEC('tc') int f(struct skb *s) { int r = -1; for (int i = 0; i < 40; i++) { if (prandom() == i) { r = 2; break; } }"
        " return r; }"),
        {2, -1},
    ),
    "after a checked read": (
        "SEC('tc') int f(struct skb *s) { u32 p = 0; if (load_bytes(s, 14, &p, 4) < 0) return 2; return p == 1 ? 0 : -1; }",
        {2, 0, -1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("how", ["v1 -O2", "v3 -O2", "v3 -O1"])
def test_compiled_programs_give_what_their_source_says(name: str, how: str, tmp_path: Path) -> None:
    source, wanted = SOURCES[name]
    cpu, optimise = how.split()
    code = bpf.compile_c(source.replace("'", '"'), tmp_path, cpu=cpu, optimise=optimise)
    # A function that is placed first in its section is not the entry; begin where the section's global one begins.
    found = of(code if name != "by a function" else _entry_first(code))

    assert found.known, found
    assert found.codes == wanted


def _entry_first(code: bytes) -> bytes:
    """The callee was put first; move it behind the entry, and turn the call around."""
    each = ins.decode(code)
    at = next(index for index, one in enumerate(each) if one.opcode == 0x85 and one.source == 1)
    begins = next(index for index in range(at, -1, -1) if index == 0 or each[index - 1].opcode == 0x95)
    if begins == 0:
        return code
    callee, entry = code[: begins * 8], code[begins * 8 :]
    place, length = at - begins, len(entry) // 8
    turned = assemble([call_function(length - place - 1)])
    return entry[: place * 8] + turned + entry[(place + 1) * 8 :] + callee


# -- anything at all -----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_an_answer(code: bytes) -> None:
    found = of(code)

    assert found.known or found.unknown[0]


_OPCODES = [
    *(op | kind | source for op in (ins.ADD, ins.SUB, ins.MUL, ins.DIV, ins.OR, ins.AND, ins.LSH, ins.RSH, ins.NEG, ins.MOD, ins.XOR, ins.MOV, ins.MOV, ins.MOV, ins.ARSH)
      for kind in (ins.ALU, ins.ALU64) for source in (0, 8)),
    *(op | kind | source for op in (ins.JEQ, ins.JGT, ins.JGE, ins.JSET, ins.JNE, ins.JSGT, ins.JSGE, ins.JLT, ins.JLE, ins.JSLT, ins.JSLE)
      for kind in (ins.JMP, ins.JMP32) for source in (0, 8)),
    *(ins.LDX | mode | size for mode in (ins.MODE_MEM, ins.MODE_MEMSX) for size in (0, 8, 16)), 0x79, 0x79,
    *(kind | ins.MODE_MEM | size for kind in (ins.ST, ins.STX) for size in (0, 8, 16, 24)), 0x7B, 0x7B,
    0xD4, 0xDC, 0xD7, 0x85, 0x85, 0x05, 0x06, 0x95, 0x18,
]  # fmt: skip
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 63, -1, -2, -8, 255, 2**31 - 1, -(2**31))


def _stream(random: random.Random) -> bytes:
    """Instructions as they might stand in a program: registers that were set, small jumps, slots of the stack."""
    length = random.randrange(1, 30)
    known = random.choice((0, 2, 4, 5))
    ops: list[Op] = [mov(register, random.choice(_NUMBERS)) for register in (0, 6, 7, 1, 2)[:known]]
    for _ in range(length):
        opcode = random.choice(_OPCODES)
        immediate, offset = random.choice(_NUMBERS), 0
        destination, source = random.choice((0, 0, 1, 6, 7)), random.choice((0, 1, 6, 7, 10))
        if opcode & 7 in (ins.JMP, ins.JMP32):
            offset = random.choice((0, 1, 1, 2, 3, 5, -2, -4)) if opcode not in (0x85, 0x95) else 0
            immediate = random.choice((7, 23)) if opcode == 0x85 else immediate
            source = 0 if opcode in (0x85, 0x05, 0x06, 0x95) else source
        elif opcode & 7 in (ins.LDX, ins.ST, ins.STX):
            offset = random.choice((-4, -8, -8, -16, -12, -6, -24))
            destination, source = (
                (destination, 10) if opcode & 7 == ins.LDX else (random.choice((10, 10, 10, 6)), source)
            )
        elif opcode in (0xD4, 0xDC, 0xD7):
            immediate, source = random.choice((16, 32, 64)), 0
        elif opcode & 0xF0 in (ins.DIV, ins.MOD):
            offset = random.choice((0, 0, 1))
        elif opcode in (0xBF, 0xBC):
            offset = random.choice((0, 0, 0, 8, 16, 32 if opcode == 0xBF else 16))
        if opcode == 0x18:
            ops += [(opcode, destination, 0, 0, immediate), (0, 0, 0, 0, random.choice((0, -1, 1)))]
        else:
            ops.append((opcode, destination, source, offset, immediate))
    return assemble([*ops, EXIT])


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(min_value=0, max_value=2**48),
    st.lists(st.sampled_from((0, 1, 2, 7, 2**64 - 1, 2**32, 2**31, 2**63)), min_size=10, max_size=10),
)
def test_what_a_program_really_returns_is_in_the_answer(seed: int, registers: list[int]) -> None:
    code = _stream(random.Random(seed))
    try:
        really = bpf.execute(code, registers, results=_results(code, registers))
    except Stuck:
        return

    found = of(code)
    assert found.allows(really), (really, found)
    assert _TOO_LARGE not in found.unknown


_TOO_LARGE = "it is too large to be analysed"


@pytest.mark.parametrize("seed", [129, 1804, 4003, 9221, 9607, 15658])
def test_a_loop_whose_values_keep_changing_comes_to_rest(seed: int) -> None:
    code = _stream(random.Random(seed))

    assert len(code) < 100 * 8
    assert _TOO_LARGE not in Analyst(bpf.evidence([bpf.program(1, code)]), steps=5_000).returns(1).unknown


def _results(code: bytes, registers: Sequence[int]) -> list[int]:
    """What helpers give back: the redirecting ones keep to their two codes, any other is whatever it is."""
    calls = [one for one in ins.decode(code) if one.opcode == 0x85]
    if any(one.immediate == 23 for one in calls):
        return [7, 2] * 3000
    return [*registers] * 500


def test_a_large_program_is_answered_in_bounded_time() -> None:
    loop = [jump(ins.JGT, 1, number, 1) for number in range(3000)]
    many = [alu(ins.ADD, 6, 1), jump(ins.JSET, 1, 3, -2)] * 20_000
    began = time.process_time()

    assert returns([*loop, mov(0, 0), EXIT]).known
    assert returns([*many, copy(0, 6), EXIT]).unknown
    assert time.process_time() - began < 20


SETS = [op for register in (6, 7) for op in (mov(register, 0), *(each for value in range(1, 24) for each in (jump(ins.JSET, 1, value, 1), mov(register, value))))]  # fmt: skip
SLOTS = [(0x72, 10, 0, -place, place) for place in range(1, 513)]


@pytest.mark.parametrize(
    "costly",
    [
        [*SETS, *[copy(8, 7), (0x5F, 8, 6, 0, 0)] * 100_000],
        [*SLOTS, *[jump(ins.JSET, 1, 3, 0)] * 60_000],
    ],
    ids=["large sets", "large frames"],
)
def test_what_makes_every_step_dear_is_bounded_too(costly: list[Op]) -> None:
    began = time.process_time()

    returns([load(1, 0, base=1, opcode=0x61), *costly, mov(0, 0), EXIT])

    assert time.process_time() - began < 10


def test_many_programs_with_a_large_program_array_are_followed_in_bounded_time() -> None:
    targets = [bpf.program(number, assemble([mov(0, -1), EXIT])) for number in range(1000, 1100)]
    code = assemble([*load_map(2, 50), copy(3, 1), call(12), mov(0, -1), EXIT])
    callers = [bpf.program(number, code) for number in range(1, 1000)]
    entries = {index: 1000 + index % 100 for index in range(100_000)}
    analyst = Analyst(bpf.evidence([*targets, *callers], {50: entries}))
    began = time.process_time()

    assert {analyst.returns(number) for number in range(1, 1000)} == {Returns(frozenset((-1,)), frozenset((-1,)))}
    assert time.process_time() - began < 5
