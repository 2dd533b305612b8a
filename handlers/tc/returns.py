"""
What a program can return, from its instructions: what register 0 may hold at each exit.

An abstract interpretation: every path is walked with what is known of the registers and the stack, and paths that
meet are joined. Helpers that redirect return what their sources say; any other helper's result is unknown until it
is compared or overwritten. Calls of the program's own functions are followed, and tail calls through the program
array where it could be read; a tail call that fails falls through. The answer holds every value that the program
could return, and says so where it cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Literal

from handlers.tc import instructions as ins
from handlers.tc.evidence import Evidence
from handlers.tc.evidence import Program as ProgramSeen
from handlers.tc.frames import Frame
from handlers.tc.helpers import result_of
from handlers.tc.instructions import Instruction, Malformed
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

MOST_STEPS = 250_000
"""Instructions walked for one program; a few seconds."""
MOST_STEPS_OF_ALL = 1_000_000
"""For all programs of a document, those that differ in their maps alone counted once."""
MOST_FRAMES = 8
"""As the kernel has it (`include/linux/bpf_verifier.h`: MAX_CALL_FRAMES)."""
MOST_TAIL_CALLS = 200
"""Programs followed from one; the kernel allows 33 in a row."""
MOST_NESTED = 4
"""Programs in analysis at once, each tail-called from a function of another."""
_WIDEN_AFTER = 12
_CONTEXT = anything("the packet's context")
_NOTHING = Number()


@dataclass(frozen=True, slots=True)
class Returns:
    """
    What a program can return, as signed numbers of 32 bits.

    `unknown` says why other values cannot be excluded; when it is empty, there are no others.
    """

    codes: frozenset[int] = frozenset()
    via_tail_call: frozenset[int] = frozenset()
    negative: bool = False
    """Whether it can return any negative number: errors, all of which mean UNSPEC to a direct-action filter."""
    unknown: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the set is complete."""
        return not self.unknown

    @property
    def all(self) -> frozenset[int]:
        """Whatever the way."""
        return self.codes | self.via_tail_call

    def allows(self, code: int) -> bool:
        """Whether the program could return this."""
        return not self.known or code in self.all or (self.negative and code < 0)


class Analyst:
    """Knows the programs of one document, and analyses each at most once."""

    def __init__(self, evidence: Evidence, *, steps: int = MOST_STEPS_OF_ALL) -> None:
        self._evidence = evidence
        self._steps = steps
        self._own: dict[int, _Own] = {}
        self._alike: dict[tuple[str, tuple[tuple[int, str], ...]], _Own] = {}
        self._busy: set[int] = set()

    def returns(self, program: int | None) -> Returns:
        """What the program of that id can return, tail calls included."""
        if program is None:
            return Returns(unknown=("which program it runs was not seen",))
        first = self._analysed(program)
        reached, unread = self._reached(first)
        tails = [self._analysed(each) for each in reached]
        unknown = dict.fromkeys([*first.unknown, *unread, *(why for each in tails for why in each.unknown)])
        codes = frozenset(code for each in tails for code in each.codes)
        negative = any(each.negative for each in (first, *tails))
        return Returns(first.codes, codes, negative, tuple(unknown)[:5])

    def _reached(self, first: _Own) -> tuple[list[int], list[str]]:
        """All programs that tail calls lead to, and what kept them from being followed."""
        reached: dict[int, None] = {}
        unread: list[str] = []
        pending = list(first.tails)
        while pending:
            targets, why = self._targets(*pending.pop())
            unread += why
            for target in targets:
                if target in reached:
                    continue
                if len(reached) >= MOST_TAIL_CALLS:
                    return list(reached), [*unread, "it has more tail calls than are followed"]
                reached[target] = None
                pending += self._analysed(target).tails
        return list(reached), unread

    def _targets(self, array: int | None, indexes: frozenset[int] | None) -> tuple[list[int], list[str]]:
        seen = self._evidence.program_arrays.get(array) if array is not None else None
        if seen is None or seen.entries is None:
            return [], ["it makes tail calls through a program array that could not be read"]
        # An index without a program falls through, which the caller's own exits cover.
        return [program for index, program in sorted(seen.entries.items()) if indexes is None or index in indexes], []

    def _analysed(self, program: int) -> _Own:
        if program not in self._own:
            own = self._like_another(program)
            self._own[program] = own or self._analyse(program, self._evidence.program(program))
        return self._own[program]

    def _like_another(self, program: int) -> _Own | None:
        """The same as of a program that differs in its maps alone, as a node's pods have them by the hundred."""
        seen = self._evidence.programs.get(program)
        source = self._evidence.programs.get(seen.same_as) if seen and seen.same_as is not None else None
        if seen is None or source is None or source.same_as is not None or len(seen.loads) != len(source.loads):
            return None
        if seen.replaced_by or source.replaced_by:
            return None
        maps = dict(zip(source.loads, seen.loads, strict=True))
        if any(maps[theirs] != ours for theirs, ours in zip(source.loads, seen.loads, strict=True)):
            return None
        own = self._analysed(source.id)
        if own.nested or any(array not in maps for array, _ in own.tails if array is not None):
            return None
        return replace(own, tails=tuple((None if array is None else maps[array], at) for array, at in own.tails))

    def _analyse(self, program: int, seen: ProgramSeen | None) -> _Own:
        if seen is None:
            return _Own(unknown=("the program could not be looked at",))
        if not seen.instructions:
            why = f": {seen.unseen[0]}" if seen.unseen else ""
            return _Own(unknown=(f"its instructions are hidden{why}",))
        key = (seen.instructions, tuple(sorted(seen.calls.items())))
        if key not in self._alike:
            self._busy.add(program)
            try:
                code = ins.decode(seen.code(), self._evidence.byte_order)
                walk = _Walk(code, seen.calls, self._evidence.byte_order, self, min(MOST_STEPS, self._steps))
                own = walk.own()
                self._steps = max(0, self._steps - walk.taken)
            except (Malformed, ValueError) as fault:
                own = _Own(unknown=(str(fault),))
            finally:
                self._busy.discard(program)
            self._alike[key] = own
        return self._alike[key]

    def after_tail_call(self, array: int | None, indexes: frozenset[int] | None) -> Number:
        """What a function of a program that was left by a tail call gives back to its caller."""
        # A program that calls itself, or a long chain of them, is not followed here.
        if len(self._busy) >= MOST_NESTED:
            return anything("a tail call that is nested too deeply")
        reached, unread = self._reached(_Own(tails=((array, indexes),)))
        if unread or self._busy.intersection(reached):
            return anything("a tail call that could not be followed")
        owns = [self._analysed(each) for each in reached]
        if any(each.unknown for each in owns):
            return anything("a tail call to a program that cannot be told")
        found = Number()
        for each in owns:
            found = as_number(join(found, each.exits))
        return found


@dataclass(frozen=True, slots=True)
class _Own:
    """What a program returns by itself, and where its tail calls go."""

    exits: Number = _NOTHING
    tails: tuple[tuple[int | None, frozenset[int] | None], ...] = ()
    unknown: tuple[str, ...] = ()
    nested: bool = False
    """Whether a tail call was followed on the way, so that the exits depend on what is in a map."""

    @property
    def codes(self) -> frozenset[int]:
        """The constants among its exits, as the kernel reads them: an int."""
        codes = (each & U32 for each in self.exits.constants)
        return frozenset(each - 2**32 if each >> 31 else each for each in codes)

    @property
    def negative(self) -> bool:
        """Whether all that is not told apart is negative."""
        rest = truncated(self.exits, 4).rest
        return rest is not None and rest[0] >> 31 == 1


class _GivenUp(Exception):
    """The walk cannot go on; the message says why."""


class _Walk:
    """One walk over one program."""

    def __init__(
        self,
        code: list[Instruction],
        calls: Mapping[int, str],
        byte_order: Literal["little", "big"],
        analyst: Analyst,
        steps: int,
    ) -> None:
        self._code = code
        self._calls = calls
        self._byte_order = byte_order
        self._analyst = analyst
        self._most = steps
        self.taken = 0
        self._tails: dict[tuple[int | None, frozenset[int] | None], None] = {}
        self._nested = False
        self._summaries: dict[tuple[int, tuple[Value, ...]], Number] = {}
        self._second_slots = {index + 1 for index, each in enumerate(code) if each.wide}
        self._meetings = {_target(index, each) for index, each in enumerate(code) if each.kind in {ins.JMP, ins.JMP32}}
        """Where paths may meet, and so wait for one another."""

    def own(self) -> _Own:
        """Walk it all."""
        try:
            exits = self._function(0, {1: _CONTEXT}, 1)
        except _GivenUp as given_up:
            return _Own(unknown=(str(given_up),))
        own = _Own(exits, tuple(self._tails), nested=self._nested)
        if exits.rest is not None and not own.negative:
            return replace(own, unknown=(f"it can return {exits.why or 'an unknown value'}",))
        if exits.impossible and not self._tails:
            return replace(own, unknown=("no path of it comes to an exit",))
        return own

    # -- functions --------------------------------------------------------------------------------------

    def _function(self, entry: int, arguments: dict[int, Value], depth: int) -> Number:
        """What register 0 may hold when the function that begins at `entry` ends."""
        waiting = [entry]
        states = {entry: Frame(arguments)}
        visits: dict[int, int] = {}
        exits = Number()
        while waiting:
            # The earliest first: in code without loops every place is then walked once, when all that leads to it is known.
            at = heappop(waiting)
            frame = states[at].copy()
            visits[at] = visits.get(at, 0) + 1
            for place, outcome in self._straight(at, frame, depth):
                if place is None:
                    exits = as_number(join(exits, as_number(outcome.registers[0])))
                elif (
                    self._arrive(states, place, outcome, widen=visits.get(place, 0) > _WIDEN_AFTER)
                    and place not in waiting
                ):
                    heappush(waiting, place)
        return exits

    @staticmethod
    def _arrive(states: dict[int, Frame], place: int, frame: Frame, *, widen: bool) -> bool:
        known = states.get(place)
        if known is None:
            states[place] = frame
            return True
        return known.absorb(frame, widen=widen)

    def _straight(self, at: int, frame: Frame, depth: int) -> list[tuple[int | None, Frame]]:
        """Walk until the path divides or ends. Returns where it goes on; `None` is an exit."""
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
            result = self._own_function(at + 1 + (each.offset or each.immediate), frame, depth)
        else:
            result = result_of(name)
        self._after_call(frame, result)
        return [] if result.impossible else [(at + 1, frame)]

    def _own_function(self, entry: int, frame: Frame, depth: int) -> Number:
        if depth >= MOST_FRAMES:
            raise _GivenUp("its functions are nested too deeply")
        # A callee knows its caller's stack as an address only.
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
        """It leaves for good from the program itself, returns to the caller from a function, or falls through."""
        array, index = frame.registers[2], as_number(frame.registers[3])
        indexes = None if index.rest else frozenset(each & 2**32 - 1 for each in index.constants)
        where = (array.id if isinstance(array, MapPointer) else None, indexes)
        found: list[tuple[int | None, Frame]] = []
        if depth == 1:
            self._tails[where] = None
        else:
            self._nested = True
            result = self._analyst.after_tail_call(*where)
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
            # Of 64 bits it always swaps; of 32 bits it swaps when the wanted order is not the machine's.
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
        return compute(each.operation, first, second, size=size, signed=each.offset == 1)

    def _moved(self, each: Instruction, value: Value, size: int, frame: Frame) -> Value:
        if each.offset in {8, 16, 32} and each.by_register:
            return sign_extended(self._plain(value, frame), each.offset // 8, to=size)
        if each.offset:
            return as_number(self._plain(value, frame)) if isinstance(value, StackPointer) else anything("an address")
        return value if size == 8 else truncated(self._plain(value, frame), 4)

    @staticmethod
    def _plain(value: Value, frame: Frame) -> Number:
        """The value as a number; an address of the stack is lost sight of."""
        frame.escaped |= isinstance(value, StackPointer)
        return as_number(value)

    @staticmethod
    def _atomic(each: Instruction, frame: Frame) -> None:
        address, value = frame.registers[each.destination], frame.registers[each.source]
        unknown = anything("a value from memory", each.size)
        if each.immediate == 0x100:  # load-acquire: source and destination trade places
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
        """Beyond the packet's end it ends the program with 0; that way out is returned."""
        out = frame.copy()
        out.registers[0] = constant(0)
        for register in ins.CALL_ARGUMENTS:
            frame.registers[register] = anything("what a call left behind")
        frame.registers[0] = anything("a value from the packet", each.size)
        return out


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
