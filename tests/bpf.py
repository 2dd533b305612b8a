"""eBPF for tests: an assembler, programs compiled from C, and a plain interpreter to compare with."""

from __future__ import annotations

import base64
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from handlers.tc import instructions as ins
from handlers.tc.evidence import Evidence, Program, ProgramArray
from tests.programs import need

Op = tuple[int, int, int, int, int]
U64 = 2**64 - 1
STACK_TOP = 0x7FFF_0000_0200
HELPERS = {1: "bpf_map_lookup_elem", 7: "bpf_get_prandom_u32", 12: "bpf_tail_call", 23: "bpf_redirect", 26: "bpf_skb_load_bytes", 152: "bpf_redirect_neigh", 155: "bpf_redirect_peer"}  # fmt: skip


def mov(register: int, value: int, *, wide: bool = True) -> Op:
    return (0xB7 if wide else 0xB4, register, 0, 0, value)


def copy(register: int, source: int, *, wide: bool = True) -> Op:
    return (0xBF if wide else 0xBC, register, source, 0, 0)


def alu(operation: int, register: int, value: int, *, wide: bool = True) -> Op:
    return (operation | (ins.ALU64 if wide else ins.ALU), register, 0, 0, value)


def jump(operation: int, register: int, value: int, offset: int, *, wide: bool = True) -> Op:
    return (operation | (ins.JMP if wide else ins.JMP32), register, 0, offset, value)


def goto(offset: int) -> Op:
    return (0x05, 0, 0, offset, 0)


def store(offset: int, source: int, *, base: int = 10) -> Op:
    return (0x7B, base, source, offset, 0)


def load(register: int, offset: int, *, base: int = 10, opcode: int = 0x79) -> Op:
    return (opcode, register, base, offset, 0)


def call(helper: int) -> Op:
    return (0x85, 0, 0, 0, helper)


def call_function(offset: int) -> Op:
    return (0x85, 0, 1, 0, offset)


def load_map(register: int, identity: int) -> list[Op]:
    return [(0x18, register, 1, 0, identity), (0, 0, 0, 0, 0)]


EXIT: Op = (0x95, 0, 0, 0, 0)


def assemble(ops: Sequence[Op]) -> bytes:
    return b"".join(
        struct.pack("<BBhi", code, dst | src << 4, off, _signed(imm, 32)) for code, dst, src, off, imm in ops
    )


def program(identity: int, code: bytes, *, name: str = "prog", calls: Mapping[int, str] | None = None) -> Program:
    return Program(
        id=identity, type=3, name=name, instructions=base64.b64encode(code).decode(), calls=helper_calls(code) if calls is None else calls
    )  # fmt: skip


def helper_calls(code: bytes) -> dict[int, str]:
    """As the collector names helpers; here their numbers are still in the instructions."""
    return {
        index: HELPERS.get(each.immediate, "")
        for index, each in enumerate(_decoded(code))
        if each.opcode == 0x85 and each.source == 0
    }


def _decoded(code: bytes) -> Sequence[ins.Instruction]:
    try:
        return ins.decode(code)
    except ins.Malformed:
        return ()


def evidence(programs: Sequence[Program], arrays: Mapping[int, Mapping[int, int] | None] | None = None) -> Evidence:
    return Evidence(
        kernel="6.8.0",
        programs={each.id: each for each in programs},
        program_arrays={key: ProgramArray(id=key, entries=entries) for key, entries in (arrays or {}).items()},
    )


def compile_c(source: str, folder: Path, *, section: str = "tc", cpu: str = "v3", optimise: str = "-O2") -> bytes:
    """The instructions of a section, as clang makes them. Maps are not linked."""
    need("clang")
    path = folder / "program.c"
    path.write_text(_PRELUDE + source)
    subprocess.run(
        ["clang", "-target", "bpf", f"-mcpu={cpu}", optimise,   "-c", str(path), "-o", str(folder / "program.o")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return elf_section((folder / "program.o").read_bytes(), section)


_PRELUDE = """
#define SEC(name) __attribute__((section(name), used))
#define noinline __attribute__((noinline))
typedef unsigned int u32; typedef unsigned long long u64;
struct skb { u32 len, type, mark, queue, protocol, vlan, vt, vp, priority, ingress, ifindex, tc_index, cb[5]; u32 hash; };
static long (*redirect)(u32 ifindex, u64 flags) = (void *) 23;
static u32 (*prandom)(void) = (void *) 7;
static long (*load_bytes)(const void *, u32, void *, u32) = (void *) 26;
"""


def elf_section(data: bytes, wanted: str) -> bytes:
    """A section of a 64-bit little-endian ELF file."""
    assert data[:6] == b"\x7fELF\x02\x01"
    table, size, count, names = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    sections = [struct.unpack_from("<IIQQQQ", data, table + size * number) for number in range(count)]
    strings = sections[names][4]
    for name, _kind, _flags, _address, offset, length in sections:
        start = strings + name
        if data[start : data.index(b"\0", start)].decode() == wanted:
            return data[offset : offset + length]
    raise AssertionError(f"there is no section {wanted}")


@dataclass
class Stuck(Exception):
    """The program does something that this interpreter does not define: what happens then is not compared."""

    why: str


def execute(code: bytes, registers: Sequence[int], *, results: Sequence[int] = (), most: int = 1000) -> int:
    """Run it as the instruction set says, and return register 0 as an int. `results` are what helpers give back."""
    each = ins.decode(code)
    second = {index + 1 for index, one in enumerate(each) if one.wide}
    reg = [*registers, 0, 0][:12]
    reg[10] = STACK_TOP
    memory: dict[int, int] = {}
    given = iter(results)
    at = 0
    for _ in range(most):
        if not 0 <= at < len(each) or at in second:
            raise Stuck("out of bounds")
        op = each[at]
        if op.wide:
            if op.source or at + 1 >= len(each) or op.destination > 11:
                raise Stuck("a pointer")
            reg[op.destination] = (op.immediate & 0xFFFFFFFF) | (each[at + 1].immediate & 0xFFFFFFFF) << 32
            at += 2
            continue
        if op.kind in (ins.JMP, ins.JMP32):
            if op.operation == ins.EXIT:
                return _signed(reg[0] & 0xFFFFFFFF, 32)
            at = _follow(op, at, reg, given)
            continue
        _do(op, reg, memory)
        at += 1
    raise Stuck("still running")


def _follow(op: ins.Instruction, at: int, reg: list[int], given: object) -> int:
    if op.operation == ins.JA:
        return at + 1 + (op.immediate if op.kind == ins.JMP32 else op.offset)
    if op.operation == ins.CALL:
        if op.source:
            raise Stuck("a function")
        reg[0] = next(given, 0) & U64  # type: ignore[call-overload]
        reg[1:6] = [0xDEAD + number for number in range(5)]
        return at + 1
    if op.operation in (ins.TAIL_CALL, ins.JCOND):
        raise Stuck("not defined here")
    bits = 64 if op.kind == ins.JMP else 32
    one, other = reg[op.destination], reg[op.source] if op.by_register else op.immediate & U64
    one, other = one & (1 << bits) - 1, other & (1 << bits) - 1
    s, t = _signed(one, bits), _signed(other, bits)
    taken = {
        ins.JEQ: one == other, ins.JNE: one != other, ins.JGT: one > other, ins.JGE: one >= other, ins.JLT: one < other,
        ins.JLE: one <= other, ins.JSET: bool(one & other), ins.JSGT: s > t, ins.JSGE: s >= t, ins.JSLT: s < t, ins.JSLE: s <= t,
    }[op.operation]  # fmt: skip
    return at + 1 + (op.offset if taken else 0)


def _do(op: ins.Instruction, reg: list[int], memory: dict[int, int]) -> None:
    if op.kind in (ins.ALU, ins.ALU64):
        reg[op.destination] = _arithmetic(op, reg)
    elif op.kind == ins.LDX and op.mode in (ins.MODE_MEM, ins.MODE_MEMSX):
        address = _address(reg[op.source] + op.offset, op.size)
        value = sum(memory.get(address + number, 0) << 8 * number for number in range(op.size))
        signed = op.mode == ins.MODE_MEMSX
        reg[op.destination] = _signed(value, 8 * op.size) & U64 if signed else value
    elif op.kind in (ins.ST, ins.STX) and op.mode == ins.MODE_MEM:
        address = _address(reg[op.destination] + op.offset, op.size)
        value = (reg[op.source] if op.kind == ins.STX else op.immediate) & U64
        memory.update({address + number: value >> 8 * number & 0xFF for number in range(op.size)})
    else:
        raise Stuck("not defined here")


def _arithmetic(op: ins.Instruction, reg: list[int]) -> int:
    bits = 64 if op.kind == ins.ALU64 else 32
    mask = (1 << bits) - 1
    one, other = reg[op.destination] & mask, (reg[op.source] if op.by_register else op.immediate) & mask
    s, t = _signed(one, bits), _signed(other, bits)
    match op.operation:
        case ins.MOV if op.offset in (8, 16, 32) and op.by_register:
            return _signed(other & (1 << op.offset) - 1, op.offset) & mask
        case ins.MOV if not op.offset:
            return other
        case ins.END if op.immediate in (16, 32, 64):
            value = reg[op.destination] & (1 << op.immediate) - 1
            swap = bits == 64 or op.by_register
            return int.from_bytes(value.to_bytes(op.immediate // 8, "little"), "big") if swap else value
        case ins.DIV | ins.MOD:
            a, b = (s, t) if op.offset == 1 else (one, other)
            if b == 0:
                return 0 if op.operation == ins.DIV else one
            quotient = int(abs(a) // abs(b)) * (-1 if (a < 0) != (b < 0) else 1)
            return (quotient if op.operation == ins.DIV else a - b * quotient) & mask
    plain = {
        ins.ADD: one + other, ins.SUB: one - other, ins.MUL: one * other, ins.OR: one | other, ins.AND: one & other,
        ins.XOR: one ^ other, ins.NEG: -one, ins.LSH: one << other % bits, ins.RSH: one >> other % bits, ins.ARSH: s >> other % bits,
    }  # fmt: skip
    if op.operation not in plain:
        raise Stuck("not defined here")
    return plain[op.operation] & mask


def _address(address: int, size: int) -> int:
    if not STACK_TOP - 512 <= address <= STACK_TOP - size:
        raise Stuck("not on the stack")
    return address


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
