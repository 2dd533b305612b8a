"""The abstract state at one point of a function: its registers and the contents of its stack."""

from __future__ import annotations

from handlers.tc.instructions import FRAME, REGISTERS
from handlers.tc.values import (
    U64,
    MapPointer,
    Number,
    StackPointer,
    Value,
    anything,
    as_number,
    join,
    sign_extended,
    truncated,
)

_MEMORY = "a value from memory"
_UNSET = anything("a register that was not set")
_STACK_BYTES = 512


class Frame:
    """Registers and stack of one function. Mutable: `copy` it before paths divide."""

    __slots__ = ("escaped", "registers", "slots")

    def __init__(self, arguments: dict[int, Value]) -> None:
        self.registers: list[Value] = [arguments.get(number, _UNSET) for number in range(REGISTERS)]
        self.registers[FRAME] = StackPointer(0)
        self.slots: dict[int, tuple[int, Value]] = {}
        """Offset -> size in bytes and value. Slots never overlap."""
        self.escaped = False
        """Whether a stack address may be held where it is not tracked as one."""

    def copy(self) -> Frame:
        """Return an independent copy."""
        new = Frame.__new__(Frame)
        new.registers, new.slots, new.escaped = list(self.registers), dict(self.slots), self.escaped
        return new

    def absorb(self, other: Frame, *, widen: bool) -> bool:
        """Join with another frame, in place. Return whether anything changed. `widen`: what changes becomes unknown."""
        changed = self.escaped < other.escaped
        self.escaped |= other.escaped
        for number, (old, new) in enumerate(zip(self.registers, other.registers, strict=True)):
            if old is new or old == new:
                continue
            self.escaped |= _forgets_stack(old, new)
            joined = _join(old, new, widen=widen)
            if joined != old:
                changed = True
                self.registers[number] = joined
        for offset, (size, value) in list(self.slots.items()):
            theirs = other.slots.get(offset)
            if theirs is None or theirs[0] != size:
                self.escaped |= isinstance(value, StackPointer)
                del self.slots[offset]
                changed = True
            elif theirs[1] != value:
                self.escaped |= _forgets_stack(value, theirs[1])
                joined = _join(value, theirs[1], widen=widen)
                if joined != value:
                    changed = True
                    self.slots[offset] = (size, joined)
        return changed

    def forget_memory(self) -> None:
        """Discard the contents of the stack, after a write or a call that may have changed any part of it."""
        self.slots.clear()

    def store(self, address: Value, offset: int, size: int, value: Value) -> None:
        """Write to memory."""
        if not isinstance(address, StackPointer):
            self.escaped |= isinstance(value, StackPointer)
            if self.escaped:
                self.forget_memory()
            return
        place = None if address.offset is None else address.offset + offset
        if place is None or not -_STACK_BYTES <= place <= -size:
            self.escaped |= isinstance(value, StackPointer)
            self.forget_memory()
            return
        self._clear(place, size)
        if size < 8:
            self.escaped |= isinstance(value, StackPointer)
            value = truncated(as_number(value), size)
        self.slots[place] = (size, value)

    def load(self, address: Value, offset: int, size: int, *, signed: bool = False) -> Value:
        """Read from memory."""
        if isinstance(address, StackPointer) and address.offset is not None:
            kept = self.slots.get(address.offset + offset)
            if kept is not None and kept[0] == size:
                value = kept[1]
                return sign_extended(as_number(value), size) if signed and size < 8 else value
        if signed and size < 8:
            return Number(rest=(0, U64), why=_MEMORY)
        return anything(_MEMORY, size)

    def _clear(self, place: int, size: int) -> None:
        for start in range(place - 7, place + size):
            found = self.slots.get(start)
            if found is not None and start + found[0] > place:
                del self.slots[start]


def _forgets_stack(old: Value, new: Value) -> bool:
    """Return whether joining these two values loses track of a stack address."""
    return isinstance(old, StackPointer) != isinstance(new, StackPointer)


def _join(old: Value, new: Value, *, widen: bool) -> Value:
    """
    Join two values. `widen`: what keeps changing in a loop keeps its constants, and the rest becomes unknown.

    A widened value contains every number. It can only gain constants, up to eight, so every loop comes to rest.
    """
    joined = join(old, new)
    if not widen or joined == old or isinstance(joined, MapPointer | StackPointer):
        return joined
    kept = old.constants if isinstance(old, Number) else frozenset[int]()
    return Number(kept | joined.constants if len(kept | joined.constants) <= 8 else kept, (0, U64), joined.why)
