"""
Decodes eBPF instructions as the kernel dumps them.

Source: `Documentation/bpf/standardization/instruction-set.rst` of Linux. Every eight bytes become one `Instruction`. A
64-bit load keeps both of its slots, so that indices equal the kernel's.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

MOST_INSTRUCTIONS = 1_000_000
"""The most that the verifier accepts (`include/linux/bpf.h`: BPF_COMPLEXITY_LIMIT_INSNS)."""
REGISTERS = 12
"""R0 to R10, and the register that the kernel uses when it rewrites programs (`BPF_REG_AX`)."""
FRAME, CALL_ARGUMENTS = 10, range(1, 6)

LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
"""Instruction classes: the lowest three bits of the opcode."""
MODE_IMM, MODE_ABS, MODE_IND, MODE_MEM, MODE_MEMSX, MODE_ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
"""Modes of loads and stores. In dumps, ABS and IND of class LDX are loads that may fault."""
SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, MOV, ARSH, END = (0x10 * number for number in range(14))
JA, JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, CALL, EXIT, JLT, JLE, JSLT, JSLE, JCOND, TAIL_CALL = (
    0x10 * number for number in range(16)
)
LOAD_64 = LD | MODE_IMM | 0x18
PSEUDO_MAP_FD, PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 1, 2
FUNC_TAIL_CALL = 12
"""The kernel shows tail calls as calls of this helper (`kernel/bpf/syscall.c`: bpf_insn_prepare_dump)."""


class Instruction(NamedTuple):
    """One slot of eight bytes."""

    opcode: int
    destination: int
    source: int
    offset: int
    immediate: int
    """Signed."""

    @property
    def kind(self) -> int:
        """The instruction class."""
        return self.opcode & 0x07

    @property
    def operation(self) -> int:
        """The operation, of arithmetic and jumps."""
        return self.opcode & 0xF0

    @property
    def mode(self) -> int:
        """The mode, of loads and stores."""
        return self.opcode & 0xE0

    @property
    def size(self) -> int:
        """Bytes that a load or store moves."""
        return SIZES[self.opcode & 0x18]

    @property
    def by_register(self) -> bool:
        """Whether the second operand is a register."""
        return bool(self.opcode & 0x08)

    @property
    def wide(self) -> bool:
        """Whether this is the first slot of a 64-bit load."""
        return self.opcode == LOAD_64


class Malformed(ValueError):
    """The bytes are not valid instructions."""


def decode(code: bytes, byte_order: Literal["little", "big"] = "little") -> list[Instruction]:
    """Decode all slots of a program. Raises `Malformed`."""
    if not code or len(code) % 8:
        raise Malformed("its instructions are not a multiple of eight bytes")
    if len(code) // 8 > MOST_INSTRUCTIONS:
        raise Malformed(f"it has more than {MOST_INSTRUCTIONS} instructions")
    little = byte_order == "little"
    found = [
        Instruction(opcode, *_registers(both, little=little), offset, immediate)
        for opcode, both, offset, immediate in struct.iter_unpack("<BBhi" if little else ">BBhi", code)
    ]
    if any(each.destination >= REGISTERS or each.source >= REGISTERS for each in found if not each.wide):
        raise Malformed("it names a register that does not exist")
    return found


def _registers(both: int, *, little: bool) -> tuple[int, int]:
    return (both & 0x0F, both >> 4) if little else (both >> 4, both & 0x0F)
