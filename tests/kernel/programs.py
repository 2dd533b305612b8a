"""
Programs made by chance that the verifier accepts, for what is said of programs to be compared with what they do.

They have what real ones have: arithmetic of both sizes, signs and byte orders, comparisons, loops, the stack, atomic
operations, packets, a map, helpers, functions, and tail calls. Jumps lead forward but for a loop's, every register is
set before it is read, and every function is called, so that nearly all of them load.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

from handlers.tc import instructions as ins

Op = tuple[int, int, int, int, int]
"""Opcode, destination, source, offset, immediate. A call of function N is `_FUNCTION` with N as its immediate."""

_NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 65535, 2**31 - 1, -(2**31), -1, -2, -3, -8, -128, -256)  # fmt: skip
_FREE = (0, 1, 2, 3, 4, 5, 7, 8)
"""Registers for numbers; 6 is the packet's context, and 9 counts loops."""
_SLOTS = (-8, -16, -24, -32)
_FIELDS = (0, 8, 32, 48, 52, 56, 60, 64, 68)
"""Of `struct __sk_buff`: len, mark, priority, cb, hash."""
_COMPARISONS = (ins.JEQ, ins.JGT, ins.JGE, ins.JSET, ins.JNE, ins.JSGT, ins.JSGE, ins.JLT, ins.JLE, ins.JSLT, ins.JSLE)
_OPERATIONS = (ins.ADD, ins.SUB, ins.MUL, ins.DIV, ins.OR, ins.AND, ins.AND, ins.LSH, ins.RSH, ins.NEG, ins.MOD, ins.XOR, ins.ARSH)  # fmt: skip
_FUNCTION = -1


def program(random: Random, array: int | None = None, map_: int | None = None) -> bytes:
    """Instructions as they are loaded. `array` is a program array, `map_` an array of 8-byte values; descriptors."""
    functions = random.choice((0, 0, 1, 2))
    parts = [_Function(random, functions, array if random.random() < 0.5 else None, map_).body()]
    called = sorted({op[4] for op in parts[0] if op[0] == _FUNCTION})
    parts += [_Function(random).body() for _ in called]
    starts = [sum(map(len, parts[:number])) for number in range(len(parts))]
    ops = [op for part in parts for op in part]
    for at, (opcode, *_, number) in enumerate(ops):
        if opcode == _FUNCTION:
            ops[at] = (0x85, 0, ins.PSEUDO_CALL, 0, starts[1 + called.index(number)] - at - 1)
    return b"".join(
        struct.pack("<BBhI", opcode, destination | source << 4, offset, immediate & 0xFFFFFFFF)
        for opcode, destination, source, offset, immediate in ops
    )


class _Function:
    """One function while it is made: the entry, which knows the context, or another that is given numbers."""

    def __init__(self, random: Random, functions: int | None = None, array: int | None = None, map_: int | None = None) -> None:  # fmt: skip
        self._random = random
        self._entry = functions is not None
        self._functions = functions or 0
        self._array, self._map = array, map_
        self._ops: list[Op] = []
        self._looped = False
        self._from_packet = random.choice((0.0, 0.1, 0.5))
        """How much of what it begins with only the packet tells: with nothing, its result is one value."""

    def body(self) -> Sequence[Op]:
        self._begin()
        for _ in range(self._random.randrange(3, 20 if self._entry else 8)):
            self._step(0)
        self._end()
        return self._ops

    def _put(self, opcode: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> None:
        self._ops.append((opcode, destination, source, offset, immediate))

    def _aside(self, make: Callable[[], object]) -> list[Op]:
        kept, self._ops = self._ops, []
        make()
        made, self._ops = self._ops, kept
        return made

    def _chance(self, of: float) -> bool:
        return self._random.random() < of

    def _number(self) -> int:
        return self._random.choice(_NUMBERS) if self._chance(0.8) else self._random.randrange(-(2**31), 2**31)

    def _register(self) -> int:
        return self._random.choice(_FREE)

    def _set(self, *registers: int) -> None:
        for register in registers:
            if self._chance(0.8):
                self._put(self._random.choice((0xB7, 0xB4)), register, immediate=self._number())
            else:
                self._put(ins.LOAD_64, register, immediate=self._number())
                self._put(0, immediate=self._number())

    def _begin(self) -> None:
        self._put(0xBF, 6 if self._entry else 7, 1)
        for slot in _SLOTS:
            self._put(0x7A, 10, 0, slot, self._number())
        for register in _FREE:
            if self._entry and self._chance(self._from_packet):
                self._put(0x61, register, 6, self._random.choice(_FIELDS))
            elif self._entry or register not in (1, 2, 3, 7):
                self._set(register)

    def _end(self) -> None:
        match self._random.randrange(4):
            case 0:
                self._put(0xB7, 0, immediate=self._random.choice((0, -1, 2, 7, 4, 8, 3, 1, -5, 111)))
            case 1:
                self._put(self._random.choice((0x57, 0x54)), 0, immediate=self._random.choice((1, 3, 7, 8, 9)))
            case 2:
                self._compare(2)
                self._put(0xB7, 0, immediate=self._random.choice((11, 12, 13)))
                self._put(0x95)
                self._put(0xB7, 0, immediate=self._random.choice((21, 22, 23)))
            case 3 if not self._from_packet:
                self._mix()
        self._put(0x95)

    def _mix(self) -> None:
        """Everything that was computed, in one number."""
        for register in _FREE[1:]:
            self._put(0xAF, 0, register)
        for slot in _SLOTS:
            self._put(0x79, 1, 10, slot)
            self._put(0xAF, 0, 1)
        self._put(0xBF, 1, 0)
        self._put(0x77, 1, immediate=32)
        self._put(0xAF, 0, 1)

    def _step(self, depth: int) -> None:
        steps: list[tuple[Callable[[], object], int]] = [
            (self._arithmetic, 40), (self._move, 8), (self._swap, 4), (self._memory, 14), (self._atomic, 4), (self._call, 10),
            (lambda: self._set(self._register()), 8), (lambda: self._branch(depth), 10 if depth < 3 else 0),
            (self._loop, 0 if depth or self._looped else 2),
        ]  # fmt: skip
        self._random.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

    def _arithmetic(self) -> None:
        operation, wide = self._random.choice(_OPERATIONS), self._chance(0.5)
        kind = ins.ALU64 if wide else ins.ALU
        signed = int(operation in {ins.DIV, ins.MOD} and self._chance(0.5))
        if operation == ins.NEG:
            self._put(kind | operation, self._register())
        elif self._chance(0.5):
            self._put(kind | operation | 8, self._register(), self._register(), signed)
        elif operation in {ins.LSH, ins.RSH, ins.ARSH}:
            self._put(kind | operation, self._register(), immediate=self._random.randrange(64 if wide else 32))
        else:
            number = self._number() or 3  # the verifier refuses a division by a constant zero
            self._put(kind | operation, self._register(), 0, signed, number)

    def _move(self) -> None:
        opcode, offsets = self._random.choice(((0xBF, (0, 8, 16, 32)), (0xBC, (0, 8, 16))))
        self._put(opcode, self._register(), self._register(), self._random.choice(offsets))

    def _swap(self) -> None:
        self._put(
            self._random.choice((0xD4, 0xDC, 0xD7)), self._register(), immediate=self._random.choice((16, 32, 64))
        )

    def _memory(self) -> None:
        size = self._random.choice(tuple(ins.SIZES))
        place = self._random.choice(_SLOTS)
        place += self._random.randrange(0, 8, ins.SIZES[size]) if self._chance(0.3) else 0
        match self._random.randrange(4):
            case 0:
                self._put(ins.STX | ins.MODE_MEM | size, 10, self._register(), place)
            case 1:
                self._put(ins.ST | ins.MODE_MEM | size, 10, 0, place, self._number())
            case 2 if ins.SIZES[size] < 8:
                self._put(ins.LDX | ins.MODE_MEMSX | size, self._register(), 10, place)
            case _:
                self._put(ins.LDX | ins.MODE_MEM | size, self._register(), 10, place)

    def _atomic(self) -> None:
        size = self._random.choice((0x00, 0x18))
        what = self._random.choice((0x00, 0x40, 0x50, 0xA0, 0x01, 0x41, 0x51, 0xA1, 0xE1, 0xF1))
        self._put(ins.STX | ins.MODE_ATOMIC | size, 10, self._register(), self._random.choice(_SLOTS), what)

    def _compare(self, offset: int) -> None:
        opcode = self._random.choice(_COMPARISONS) | self._random.choice((ins.JMP, ins.JMP32))
        if self._chance(0.35):
            self._put(opcode | 8, self._register(), self._register(), offset)
        else:
            self._put(opcode, self._register(), 0, offset, self._number())

    def _block(self, depth: int) -> None:
        for _ in range(self._random.randrange(1, 5)):
            self._step(depth + 1)
        if self._chance(0.3):
            end = self._aside(self._end)
            self._compare(len(end))
            self._ops += end

    def _branch(self, depth: int) -> None:
        one, other = self._aside(lambda: self._block(depth)), self._aside(lambda: self._block(depth))
        self._compare(len(one) + 1)
        self._ops += one
        self._put(*self._random.choice(((0x05, 0, 0, len(other), 0), (0x06, 0, 0, 0, len(other)))))
        self._ops += other

    def _loop(self) -> None:
        self._looped = True
        body = self._aside(lambda: self._block(1))
        self._put(0xB7, 9)
        self._ops += body
        self._put(0x07, 9, immediate=1)
        self._put(0xA5, 9, 0, -(len(body) + 2), self._random.randrange(1, 6))

    # -- calls, after which registers 1 to 5 are set again ----------------------------------------------------

    def _call(self) -> None:
        calls = [self._any_number, self._redirect]
        if self._entry:
            calls += [self._load_bytes, self._packet]
        if self._map is not None:
            calls += [self._look_up]
        if self._array is not None:
            calls += [self._tail_call] * 2
        elif self._entry and not self._functions:
            calls += [self._old_load]  # has no place beside tail calls and functions
        if self._functions:
            calls += [self._own_function] * 3
        self._random.choice(calls)()
        self._set(1, 2, 3, 4, 5)

    def _any_number(self) -> None:
        self._put(0x85, immediate=self._random.choice((5, 7, 8)))  # time, chance, processor

    def _redirect(self) -> None:
        self._put(0xB7, 1, immediate=1)
        self._put(0xB7, 2, immediate=self._random.choice((0, 1, 4)))
        self._put(0x85, immediate=23)

    def _load_bytes(self) -> None:
        self._put(0xBF, 1, 6)
        self._put(0xB7, 2, immediate=self._random.choice((0, 6, 12, 30, 300)))
        self._put(0xBF, 3, 10)
        self._put(0x07, 3, immediate=self._random.choice(_SLOTS))
        self._put(0xB7, 4, immediate=self._random.choice((1, 2, 4, 8)))
        self._put(0x85, immediate=26)

    def _packet(self) -> None:
        self._put(0x61, 2, 6, 76)
        self._put(0x61, 3, 6, 80)
        self._put(0xBF, 4, 2)
        self._put(0x07, 4, immediate=14)
        self._set(0)
        self._put(0x2D, 4, 3, 1)
        self._put(self._random.choice((0x71, 0x69, 0x61, 0x91, 0x89, 0x81)), 0, 2, self._random.choice((0, 4, 8)))

    def _look_up(self) -> None:
        assert self._map is not None
        self._put(0x62, 10, 0, -8, self._random.choice((0, 1, 2, 9)))
        self._put(0xBF, 2, 10)
        self._put(0x07, 2, immediate=-8)
        self._put(ins.LOAD_64, 1, ins.PSEUDO_MAP_FD, 0, self._map)
        self._put(0)
        self._put(0x85, immediate=1)
        self._put(0x15, 0, 0, 1)
        self._put(self._random.choice((0x79, 0x61, 0x69, 0x71, 0x91)))

    def _tail_call(self) -> None:
        assert self._array is not None
        self._put(0xBF, 1, 6)
        self._put(ins.LOAD_64, 2, ins.PSEUDO_MAP_FD, 0, self._array)
        self._put(0)
        if self._chance(0.6):
            self._put(0xB7, 3, immediate=self._random.randrange(5))
        else:
            self._put(0xBF, 3, self._random.choice((7, 8)))
        self._put(0x85, immediate=12)
        self._set(0)

    def _old_load(self) -> None:
        self._put(self._random.choice((0x20, 0x28, 0x30)), immediate=self._random.choice((0, 1, 12, 20, 200, -0x1000)))

    def _own_function(self) -> None:
        self._put(_FUNCTION, immediate=self._random.randrange(self._functions))
