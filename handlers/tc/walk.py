"""
Walks one program: an abstract interpretation of its instructions.

Every path is walked with the known state of registers and stack, and paths that meet are joined. Helpers that redirect
return what their source code says; any other helper's result is unknown until it is compared or overwritten. Calls of
the program's own functions are followed. A tail call leaves the program, and a failed one falls through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Literal

from handlers.tc import instructions as ins
from handlers.tc.frames import Frame
from handlers.tc.helpers import result_of
from handlers.tc.instructions import Instruction
from handlers.tc.values import (
    OPPOSITE,
    U32,
    MapPointer,
    Number,
    StackPointer,
    Value,
    anything,
    as_number,
    compute,
    constant,
    join,
    refine,
    sign_extended,
    swapped,
    truncated,
)

MOST_FRAMES = 8
"""The kernel's limit (`include/linux/bpf_verifier.h`: MAX_CALL_FRAMES)."""
_MOST_WITH_CALLS = 2**15
"""
In dumps of longer programs, calls of the program's own functions have wrong targets, because the distance is stored in
16 bits (`kernel/bpf/verifier.c`: jit_subprogs).
"""
_THROWS = "it calls functions of the kernel, one of which ends a program with any value (bpf_throw)"
_WIDEN_AFTER = 12
"""Visits of an instruction before values that keep changing there are widened to unknown."""
_CONTEXT = anything("the packet's context")
_NOTHING = Number()

Tail = tuple[int | None, frozenset[int] | None]
"""A tail call: the id of the program array, and the indexes in it; `None` for any."""


@dataclass(frozen=True, slots=True)
class Own:
    """What a program returns by itself, and where its tail calls go."""

    exits: Number = _NOTHING
    tails: tuple[Tail, ...] = ()
    unknown: tuple[str, ...] = ()
    nested: bool = False
    """Whether a tail call from a function was followed, so that the exits depend on the contents of a map."""

    @property
    def codes(self) -> frozenset[int]:
        """The constants among its exits as signed 32-bit numbers, which is how the kernel reads them."""
        codes = (each & U32 for each in self.exits.constants)
        return frozenset(each - 2**32 if each >> 31 else each for each in codes)

    @property
    def negative(self) -> bool:
        """Whether the exits have a range besides the constants, and all of it is negative (signed, 32 bits)."""
        rest = truncated(self.exits, 4).rest
        return rest is not None and rest[0] >> 31 == 1


class _GivenUp(Exception):
    """The walk cannot continue; the message says why."""


class Walk:
    """One walk over one program."""

    def __init__(
        self,
        code: list[Instruction],
        calls: Mapping[int, str],
        byte_order: Literal["little", "big"],
        after_tail_call: Callable[[Tail], Number],
        steps: int,
    ) -> None:
        self._code = code
        self._calls = calls
        self._byte_order = byte_order
        self._resolve = after_tail_call
        """Gives what a function that left by a tail call returns to its caller."""
        self._most = steps
        self.taken = 0
        """Instructions walked. Expensive ones (large frames, large sets) count as several."""
        self._tails: dict[Tail, None] = {}
        self._nested = False
        self._summaries: dict[tuple[int, tuple[Value, ...]], Number] = {}
        self._second_slots = {index + 1 for index, each in enumerate(code) if each.wide}
        self._meetings = {_target(index, each) for index, each in enumerate(code) if each.kind in {ins.JMP, ins.JMP32}}
        """Jump targets, where paths may meet and are joined."""

    def own(self) -> Own:
        """Walk the whole program. Return its exits and tail calls."""
        try:
            exits = self._function(0, {1: _CONTEXT}, 1)
        except _GivenUp as given_up:
            return Own(unknown=(str(given_up),))
        own = Own(exits, tuple(self._tails), nested=self._nested)
        # Search the whole program, because the callbacks of helpers are not walked.
        if any(each.opcode == _CALL and each.source == ins.PSEUDO_KFUNC_CALL for each in self._code):
            return replace(own, unknown=(_THROWS,))
        if exits.rest is not None and not own.negative:
            return replace(own, unknown=(f"it can return {exits.why or 'an unknown value'}",))
        if exits.impossible and not self._tails:
            return replace(own, unknown=("no path of it comes to an exit",))
        return own

    # -- functions --------------------------------------------------------------------------------------

    def _function(self, entry: int, arguments: dict[int, Value], depth: int) -> Number:
        """Return what register 0 may hold when the function that starts at `entry` ends."""
        waiting, is_waiting = [entry], {entry}
        states = {entry: Frame(arguments)}
        visits: dict[int, int] = {}
        exits = Number()
        while waiting:
            # Lowest index first: in code without loops, each instruction is then walked once, after all paths to it.
            at = heappop(waiting)
            is_waiting.discard(at)
            frame = states[at].copy()
            visits[at] = visits.get(at, 0) + 1
            for place, outcome in self._straight(at, frame, depth):
                if place is None:
                    exits = as_number(join(exits, as_number(outcome.registers[0])))
                elif (
                    self._arrive(states, place, outcome, widen=visits.get(place, 0) > _WIDEN_AFTER)
                    and place not in is_waiting
                ):
                    heappush(waiting, place)
                    is_waiting.add(place)
        return exits

    def _arrive(self, states: dict[int, Frame], place: int, frame: Frame, *, widen: bool) -> bool:
        self.taken += len(frame.slots) ** 2 >> 12
        known = states.get(place)
        if known is None:
            states[place] = frame
            return True
        return known.absorb(frame, widen=widen)

    def _straight(self, at: int, frame: Frame, depth: int) -> list[tuple[int | None, Frame]]:
        """Walk until the path divides or ends. Return the next indexes with their frames; `None` is an exit."""
        left: list[tuple[int | None, Frame]] = []
        while True:
            if not 0 <= at < len(self._code) or at in self._second_slots:
                raise _GivenUp("a path of it leaves the program")
            self.taken += 1
            if self.taken > self._most:
                raise _GivenUp("it is too large to be analysed")
            each = self._code[at]
            if each.kind in {ins.JMP, ins.JMP32}:
                where = self._jump(at, each, frame, depth)
                if len(where) != 1 or where[0][0] != at + 1:
                    return left + where
                frame = where[0][1]
            elif each.kind == ins.LD and each.mode in {ins.MODE_ABS, ins.MODE_IND}:
                left.append((None, self._load_packet(each, frame)))
            else:
                self._step(at, each, frame)
            at += 2 if each.wide else 1
            if at in self._meetings:
                return [*left, (at, frame)]

    # -- jumps ------------------------------------------------------------------------------------------

    def _jump(self, at: int, each: Instruction, frame: Frame, depth: int) -> list[tuple[int | None, Frame]]:
        target = _target(at, each)
        match each.operation:
            case ins.EXIT:
                return [(None, frame)]
            case ins.JA:
                return [(target, frame)]
            case ins.CALL:
                return self._call(at, each, frame, depth)
            case ins.TAIL_CALL:
                return self._tail_call(at, frame, depth)
            case ins.JCOND:
                return [(at + 1, frame.copy()), (target, frame)]
        return self._branch(at, target, each, frame)

    def _branch(self, at: int, target: int, each: Instruction, frame: Frame) -> list[tuple[int | None, Frame]]:
        size = 8 if each.kind == ins.JMP else 4
        one = frame.registers[each.destination]
        other = frame.registers[each.source] if each.by_register else constant(each.immediate)
        against = other.single if isinstance(other, Number) else None
        if not isinstance(one, Number) or against is None:
            return [(at + 1, frame.copy()), (target, frame)]
        found: list[tuple[int | None, Frame]] = []
        for operation, place in ((OPPOSITE[each.operation], at + 1), (each.operation, target)):
            kept = refine(operation, one, against, size=size)
            if not kept.impossible:
                way = frame.copy()
                way.registers[each.destination] = kept
                found.append((place, way))
        return found

    # -- calls ------------------------------------------------------------------------------------------

    def _call(self, at: int, each: Instruction, frame: Frame, depth: int) -> list[tuple[int | None, Frame]]:
        name = self._calls.get(at, "")
        if each.source == 0 and (each.immediate == ins.FUNC_TAIL_CALL or name == "bpf_tail_call"):
            return self._tail_call(at, frame, depth)
        if each.source == ins.PSEUDO_CALL:
            if len(self._code) > _MOST_WITH_CALLS:
                raise _GivenUp("it is so long that the places of its functions cannot be told")
            result = self._own_function(at + 1 + (each.offset or each.immediate), frame, depth)
        else:
            result = result_of(name)
        self._after_call(frame, result)
        return [] if result.impossible else [(at + 1, frame)]

    def _own_function(self, entry: int, frame: Frame, depth: int) -> Number:
        if depth >= MOST_FRAMES:
            raise _GivenUp("its functions are nested too deeply")
        # For a callee, an address of its caller's stack is only a number.
        given = [frame.registers[register] for register in ins.CALL_ARGUMENTS]
        arguments = tuple(
            anything("an address of its caller") if isinstance(value, StackPointer) else value for value in given
        )
        key = (entry, arguments)
        if key not in self._summaries:
            self._summaries[key] = self._function(
                entry, dict(zip(ins.CALL_ARGUMENTS, arguments, strict=True)), depth + 1
            )
        return self._summaries[key]

    def _tail_call(self, at: int, frame: Frame, depth: int) -> list[tuple[int | None, Frame]]:
        """Follow a tail call. It ends the program, or returns to a function's caller; a failed one falls through."""
        array, index = frame.registers[2], as_number(frame.registers[3])
        indexes = None if index.rest else frozenset(each & 2**32 - 1 for each in index.constants)
        where = (array.id if isinstance(array, MapPointer) else None, indexes)
        found: list[tuple[int | None, Frame]] = []
        if depth == 1:
            self._tails[where] = None
        else:
            self._nested = True
            result = self._resolve(where)
            if not result.impossible:
                gone = frame.copy()
                gone.registers[0] = result
                found.append((None, gone))
        self._after_call(frame, anything("the result of a failed tail call"))
        return [*found, (at + 1, frame)]

    @staticmethod
    def _after_call(frame: Frame, result: Value) -> None:
        arguments = [frame.registers[register] for register in ins.CALL_ARGUMENTS]
        if frame.escaped or any(isinstance(value, StackPointer) for value in arguments):
            frame.forget_memory()
        frame.registers[0] = result
        for register in ins.CALL_ARGUMENTS:
            frame.registers[register] = anything("what a call left behind")

    # -- everything else -----------------------------------------------------------------------------------

    def _step(self, at: int, each: Instruction, frame: Frame) -> None:
        match each.kind:
            case ins.ALU | ins.ALU64:
                frame.registers[each.destination] = self._arithmetic(each, frame)
            case ins.LDX:
                signed = each.mode in {ins.MODE_MEMSX, ins.MODE_IND}
                address = frame.registers[each.source]
                frame.registers[each.destination] = frame.load(address, each.offset, each.size, signed=signed)
            case ins.ST if each.mode == ins.MODE_ATOMIC:
                pass  # a barrier against speculation (BPF_NOSPEC): it stores nothing
            case ins.ST:
                frame.store(frame.registers[each.destination], each.offset, each.size, constant(each.immediate))
            case ins.STX if each.mode == ins.MODE_ATOMIC:
                self._atomic(each, frame)
            case ins.STX:
                value = frame.registers[each.source]
                frame.store(frame.registers[each.destination], each.offset, each.size, value)
            case _:
                self._load_constant(at, each, frame)

    def _load_constant(self, at: int, each: Instruction, frame: Frame) -> None:
        if not each.wide or at + 1 >= len(self._code):
            raise _GivenUp("it has an instruction that is not known")
        value: Value = anything("an address")
        if each.source == 0:
            value = constant((each.immediate & 2**32 - 1) | self._code[at + 1].immediate << 32)
        elif each.source == ins.PSEUDO_MAP_FD:
            value = MapPointer(each.immediate)
        if each.destination >= ins.REGISTERS:
            raise _GivenUp("it names a register that does not exist")
        frame.registers[each.destination] = value

    def _arithmetic(self, each: Instruction, frame: Frame) -> Value:
        one = frame.registers[each.destination]
        other = frame.registers[each.source] if each.by_register else constant(each.immediate)
        size = 8 if each.kind == ins.ALU64 else 4
        if each.operation == ins.END:
            # The ALU64 form always swaps; the ALU form swaps when the wanted byte order is not the machine's.
            reverse = size == 8 or each.by_register == (self._byte_order == "little")
            if each.immediate not in {16, 32, 64}:
                raise _GivenUp("it has an instruction that is not known")
            return swapped(self._plain(one, frame), each.immediate, reverse=reverse)
        if each.operation == ins.MOV:
            return self._moved(each, other, size, frame)
        if isinstance(one, StackPointer) and size == 8 and each.operation in {ins.ADD, ins.SUB}:
            return _shifted(one, self._plain(other, frame), each.operation)
        if isinstance(other, StackPointer) and size == 8 and each.operation == ins.ADD:
            return _shifted(other, self._plain(one, frame), each.operation)
        if each.operation not in _ARITHMETIC:
            raise _GivenUp("it has an instruction that is not known")
        first, second = self._plain(one, frame), self._plain(other, frame)
        self.taken += len(first.constants) * len(second.constants) >> 5
        return compute(each.operation, first, second, size=size, signed=each.offset == 1)

    def _moved(self, each: Instruction, value: Value, size: int, frame: Frame) -> Value:
        if each.offset in {8, 16, 32} and each.by_register:
            return sign_extended(self._plain(value, frame), each.offset // 8, to=size)
        if each.offset:
            return as_number(self._plain(value, frame)) if isinstance(value, StackPointer) else anything("an address")
        return value if size == 8 else truncated(self._plain(value, frame), 4)

    @staticmethod
    def _plain(value: Value, frame: Frame) -> Number:
        """The value as a number. A stack address is then no longer tracked."""
        frame.escaped |= isinstance(value, StackPointer)
        return as_number(value)

    @staticmethod
    def _atomic(each: Instruction, frame: Frame) -> None:
        address, value = frame.registers[each.destination], frame.registers[each.source]
        unknown = anything("a value from memory", each.size)
        if each.immediate == 0x100:  # load-acquire: source and destination are exchanged
            frame.registers[each.destination] = frame.load(value, each.offset, each.size)
            return
        frame.escaped |= isinstance(value, StackPointer)
        frame.store(address, each.offset, each.size, unknown)
        if each.immediate & 0xF0 == 0xF0 and each.immediate & 0x01 and each.immediate != 0xE1:
            frame.registers[0] = unknown
        elif each.immediate & 0x01:
            frame.registers[each.source] = unknown

    @staticmethod
    def _load_packet(each: Instruction, frame: Frame) -> Frame:
        """Load from the packet. A load beyond its end makes the program return 0; return the frame of that exit."""
        out = frame.copy()
        out.registers[0] = constant(0)
        for register in ins.CALL_ARGUMENTS:
            frame.registers[register] = anything("what a call left behind")
        frame.registers[0] = anything("a value from the packet", each.size)
        return out


_CALL = ins.JMP | ins.CALL
_ARITHMETIC = {
    ins.ADD, ins.SUB, ins.MUL, ins.DIV, ins.OR, ins.AND, ins.LSH, ins.RSH, ins.NEG, ins.MOD, ins.XOR, ins.ARSH,
}  # fmt: skip


def _target(at: int, each: Instruction) -> int:
    far = each.kind == ins.JMP32 and each.operation == ins.JA
    return at + 1 + (each.immediate if far else each.offset)


def _shifted(pointer: StackPointer, by: Number, operation: int) -> StackPointer:
    if pointer.offset is None or by.single is None:
        return StackPointer(None)
    distance = by.single - 2**64 if by.single >> 63 else by.single
    return replace(pointer, offset=pointer.offset + (distance if operation == ins.ADD else -distance))
