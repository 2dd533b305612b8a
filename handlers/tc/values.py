"""
Values of an abstract interpretation: what a register may hold.

A `Number` is a small set of known constants, and a range for all other values. Keeping both distinguishes "0, 2, or an
unknown value" from "an unknown value". Every operation is sound: any value that a machine could compute from members of
the operands is a member of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from handlers.tc import instructions as ins

MOST_CONSTANTS = 24
_SMALL_RANGE = 16
U32, U64 = 2**32 - 1, 2**64 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """An unsigned 64-bit value that is one of `constants` or within `rest` (inclusive). Empty: no value is possible."""

    constants: frozenset[int] = frozenset()
    rest: tuple[int, int] | None = None
    why: str = field(default="", compare=False)
    """Where `rest` comes from, for people."""

    @property
    def impossible(self) -> bool:
        """Whether no value is possible."""
        return not self.constants and self.rest is None

    @property
    def single(self) -> int | None:
        """The value, when only one is possible."""
        return next(iter(self.constants)) if self.rest is None and len(self.constants) == 1 else None

    @property
    def hull(self) -> tuple[int, int]:
        """The smallest range that contains all possible values."""
        low, high = self.rest or (U64, 0)
        return min([low, *self.constants]), max([high, *self.constants])


@dataclass(frozen=True, slots=True)
class MapPointer:
    """A pointer to a map, by the map's id."""

    id: int


@dataclass(frozen=True, slots=True)
class StackPointer:
    """An address in this function's stack frame, relative to its end; `None` when it may be anywhere in the frame."""

    offset: int | None


Value = Number | MapPointer | StackPointer


def constant(value: int) -> Number:
    """A number that is exactly this value."""
    return Number(frozenset((value & U64,)))


def anything(why: str, size: int = 8) -> Number:
    """Any number that fits into `size` bytes."""
    return Number(rest=(0, (1 << 8 * size) - 1), why=why)


def number(constants: Iterable[int], rest: tuple[int, int] | None = None, why: str = "") -> Number:
    """Build a number from constants and a range. Too many constants become a range; a small range becomes constants."""
    found = frozenset(constants)
    if rest is not None and rest[1] - rest[0] < _SMALL_RANGE:
        found, rest = found | frozenset(range(rest[0], rest[1] + 1)), None
    if len(found) > MOST_CONSTANTS:
        low, high = rest or (U64, 0)
        return Number(rest=(min(low, *found), max(high, *found)), why=why or "more values than are told apart")
    return Number(found, rest, why)


def as_number(value: Value) -> Number:
    """The value as a number. A pointer becomes any number."""
    return value if isinstance(value, Number) else anything("an address")


def join(one: Value, other: Value) -> Value:
    """The value that contains both."""
    if one == other:
        return one
    if isinstance(one, StackPointer) and isinstance(other, StackPointer):
        return StackPointer(None)
    first, second = as_number(one), as_number(other)
    rest = first.rest or second.rest
    if first.rest and second.rest:
        rest = min(first.rest[0], second.rest[0]), max(first.rest[1], second.rest[1])
    return number(first.constants | second.constants, rest, first.why or second.why)


def truncated(value: Number, size: int) -> Number:
    """The lowest `size` bytes of the value."""
    mask = (1 << 8 * size) - 1
    rest = value.rest
    if rest is not None and rest[1] > mask:
        same_block = rest[0] >> 8 * size == rest[1] >> 8 * size
        rest = (rest[0] & mask, rest[1] & mask) if same_block else (0, mask)
    return number((each & mask for each in value.constants), rest, value.why)


def sign_extended(value: Number, size: int, *, to: int = 8) -> Number:
    """The lowest `size` bytes of the value as a signed number, extended to `to` bytes."""
    small = truncated(value, size)
    bit, mask = 1 << (8 * size - 1), (1 << 8 * to) - 1
    rest = small.rest
    if rest is not None and rest[1] >= bit:
        rest = (rest[0] - 2 * bit & mask, rest[1] - 2 * bit & mask) if rest[0] >= bit else (0, mask)
    return number(((each ^ bit) - bit & mask for each in small.constants), rest, value.why)


def compute(operation: int, one: Number, other: Number, *, size: int, signed: bool = False) -> Number:
    """The result of an arithmetic operation of `size` bytes (8 or 4), zero-extended."""
    if size == 4:
        one, other = truncated(one, 4), truncated(other, 4)
    if one.impossible or other.impossible:
        return Number()
    pairs = len(one.constants) * len(other.constants)
    exact: set[int] = set()
    if pairs <= MOST_CONSTANTS**2:
        exact = {_exact(operation, a, b, size, signed=signed) for a in one.constants for b in other.constants}
    if one.rest is None and other.rest is None and pairs <= MOST_CONSTANTS**2:
        return number(exact)
    return number(exact, _range(operation, one.hull, other.hull, size), one.why or other.why or "a computed value")


def swapped(value: Number, bits: int, *, reverse: bool) -> Number:
    """The lowest `bits` bits of the value, with their bytes swapped when `reverse`."""
    small = truncated(value, bits // 8)
    if not reverse:
        return small
    turned = (int.from_bytes(each.to_bytes(bits // 8, "little"), "big") for each in small.constants)
    return number(turned, None if small.rest is None else (0, (1 << bits) - 1), value.why)


def refine(operation: int, value: Number, against: int, *, size: int) -> Number:
    """The members of `value` for which `value <operation> against` holds; comparisons are of `size` bytes."""
    kept = frozenset(each for each in value.constants if holds(operation, each, against, size=size))
    return Number(kept, _clipped(operation, value.rest, against, size), value.why)


def holds(operation: int, one: int, other: int, *, size: int) -> bool:
    """Return whether `one <operation> other` holds, so that the jump is taken."""
    mask = (1 << 8 * size) - 1
    return _COMPARE[operation](one & mask, other & mask, 1 << (8 * size - 1))


OPPOSITE = {
    ins.JEQ: ins.JNE,
    ins.JNE: ins.JEQ,
    ins.JGT: ins.JLE,
    ins.JLE: ins.JGT,
    ins.JGE: ins.JLT,
    ins.JLT: ins.JGE,
    ins.JSGT: ins.JSLE,
    ins.JSLE: ins.JSGT,
    ins.JSGE: ins.JSLT,
    ins.JSLT: ins.JSGE,
    ins.JSET: 0x01,
}
"""The comparison that holds when a jump is not taken. 0x01 is not an opcode; here it means 'no bit in common'."""

# With the sign bit flipped, signed numbers compare correctly as unsigned ones.
_COMPARE: dict[int, Callable[[int, int, int], bool]] = {
    ins.JEQ: lambda a, b, _: a == b,
    ins.JNE: lambda a, b, _: a != b,
    ins.JGT: lambda a, b, _: a > b,
    ins.JGE: lambda a, b, _: a >= b,
    ins.JLT: lambda a, b, _: a < b,
    ins.JLE: lambda a, b, _: a <= b,
    ins.JSET: lambda a, b, _: bool(a & b),
    0x01: lambda a, b, _: not a & b,
    ins.JSGT: lambda a, b, bit: a ^ bit > b ^ bit,
    ins.JSGE: lambda a, b, bit: a ^ bit >= b ^ bit,
    ins.JSLT: lambda a, b, bit: a ^ bit < b ^ bit,
    ins.JSLE: lambda a, b, bit: a ^ bit <= b ^ bit,
}
_SIGNED = {ins.JSGT: ins.JGT, ins.JSGE: ins.JGE, ins.JSLT: ins.JLT, ins.JSLE: ins.JLE}


def _clipped(operation: int, rest: tuple[int, int] | None, against: int, size: int) -> tuple[int, int] | None:
    mask = (1 << 8 * size) - 1
    if rest is None or rest[1] > mask or operation in {ins.JSET, 0x01}:
        return rest
    against &= mask
    if operation not in _SIGNED:
        return _clip(operation, rest, against)
    bit = 1 << (8 * size - 1)
    parts = [(max(rest[0], low), min(rest[1], high)) for low, high in ((0, bit - 1), (bit, mask))]
    turned = [(low ^ bit, high ^ bit) for low, high in parts if low <= high]
    kept = [part for part in (_clip(_SIGNED[operation], each, against ^ bit) for each in turned) if part]
    back = [(low ^ bit, high ^ bit) for low, high in kept]
    return (min(low for low, _ in back), max(high for _, high in back)) if back else None


def _clip(operation: int, rest: tuple[int, int], against: int) -> tuple[int, int] | None:
    low, high = rest
    match operation:
        case ins.JEQ:
            low, high = max(low, against), min(high, against)
        case ins.JNE:
            low, high = low + (low == against), high - (high == against)
        case ins.JGT:
            low = max(low, against + 1)
        case ins.JGE:
            low = max(low, against)
        case ins.JLT:
            high = min(high, against - 1)
        case ins.JLE:
            high = min(high, against)
    return (low, high) if low <= high else None


def _exact(operation: int, one: int, other: int, size: int, *, signed: bool) -> int:  # noqa: C901, PLR0911 - one for each operation
    bits = 8 * size
    mask = (1 << bits) - 1
    match operation:
        case ins.ADD:
            return one + other & mask
        case ins.SUB:
            return one - other & mask
        case ins.MUL:
            return one * other & mask
        case ins.OR:
            return one | other
        case ins.AND:
            return one & other
        case ins.XOR:
            return one ^ other
        case ins.LSH:
            return one << (other & bits - 1) & mask
        case ins.RSH:
            return one >> (other & bits - 1)
        case ins.ARSH:
            return (_signed(one, bits) >> (other & bits - 1)) & mask
        case ins.NEG:
            return -one & mask
        case ins.DIV | ins.MOD:
            return _divided(operation, one, other, bits, signed=signed)
    raise AssertionError(f"{operation:#x} is no arithmetic operation")


def _divided(operation: int, one: int, other: int, bits: int, *, signed: bool) -> int:
    """Division by zero gives zero, and the dividend as the remainder. Quotients are truncated towards zero."""
    mask = (1 << bits) - 1
    if other == 0:
        return 0 if operation == ins.DIV else one
    a, b = (_signed(one, bits), _signed(other, bits)) if signed else (one, other)
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return (quotient if operation == ins.DIV else a - quotient * b) & mask


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _range(operation: int, one: tuple[int, int], other: tuple[int, int], size: int) -> tuple[int, int]:
    """A range that contains all results, where it is cheap to compute; otherwise the full range."""
    top = (1 << 8 * size) - 1
    low, high = 0, top
    if operation == ins.AND:
        high = min(one[1], other[1])
    elif operation == ins.ADD:
        low, high = one[0] + other[0], one[1] + other[1]
    elif operation == ins.SUB:
        low, high = one[0] - other[1], one[1] - other[0]
    elif operation == ins.RSH and other[0] == other[1] < 8 * size:
        low, high = one[0] >> other[0], one[1] >> other[0]
    elif operation in {ins.OR, ins.XOR}:
        high = (1 << max(one[1], other[1]).bit_length()) - 1
    return (low, high) if 0 <= low <= high <= top else (0, top)
