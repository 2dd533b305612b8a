"""
Computes what a program can return; `handlers.tc.effects` holds the table of what a return code does to the chain.

The result is what register 0 may hold at each exit. Each program is walked (`handlers.tc.walk`), and its tail calls are
followed through the program arrays that could be read. The result holds every value that the program could return, and
says so where other values cannot be excluded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from handlers.tc import instructions as ins
from handlers.tc.evidence import Evidence
from handlers.tc.evidence import Program as ProgramSeen
from handlers.tc.instructions import Malformed
from handlers.tc.values import Number, anything, as_number, join
from handlers.tc.walk import Own, Tail, Walk

MOST_STEPS = 250_000
"""Limit of instructions walked for one program; takes a few seconds."""
MOST_STEPS_OF_ALL = 1_000_000
"""For all programs of a document and their tail calls. Programs that differ only in their maps count once."""
_TOO_MANY = "there are more programs and tail calls than are followed"
MOST_TAIL_CALLS = 200
"""Programs followed from one program. The kernel allows 33 tail calls in a row."""
MOST_NESTED = 4
"""Programs analysed at the same time, each tail-called from a function of another."""


@dataclass(frozen=True, slots=True)
class Returns:
    """
    The values that a program can return, as signed 32-bit numbers.

    `unknown` lists reasons why other values cannot be excluded. When it is empty, the set of values is complete.
    """

    codes: frozenset[int] = frozenset()
    via_tail_call: frozenset[int] = frozenset()
    negative: bool = False
    """Whether it can return any negative number. These are errors, and mean UNSPEC to a direct-action filter."""
    unknown: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the set is complete."""
        return not self.unknown

    @property
    def all(self) -> frozenset[int]:
        """The codes of the program itself and of its tail calls."""
        return self.codes | self.via_tail_call

    def allows(self, code: int) -> bool:
        """Return whether the program could return this code."""
        return not self.known or code in self.all or (self.negative and code < 0)


class Analyst:
    """Analyses the programs of one document, each at most once."""

    def __init__(self, evidence: Evidence, *, steps: int = MOST_STEPS_OF_ALL) -> None:
        self._evidence = evidence
        self._steps = steps
        self._own: dict[int, Own] = {}
        self._returns: dict[int, Returns] = {}
        self._leads_to: dict[Tail, tuple[list[int], list[str]]] = {}
        self._alike: dict[tuple[str, tuple[tuple[int, str], ...]], Own] = {}
        self._busy: set[int] = set()

    def returns(self, program: int | None) -> Returns:
        """Return what the program with this id can return, tail calls included."""
        if program is None:
            return Returns(unknown=("which program it runs was not seen",))
        if program not in self._returns:
            self._returns[program] = self._returned(program)
        return self._returns[program]

    def _returned(self, program: int) -> Returns:
        first = self._analysed(program)
        reached, unread = self._reached(first)
        tails = [self._analysed(each) for each in reached]
        unknown = dict.fromkeys([*first.unknown, *unread, *(why for each in tails for why in each.unknown)])
        codes = frozenset(code for each in tails for code in each.codes)
        negative = any(each.negative for each in (first, *tails))
        return Returns(first.codes, codes, negative, tuple(unknown)[:5])

    def _reached(self, first: Own) -> tuple[list[int], list[str]]:
        """Return the ids of all programs that tail calls reach, and the reasons why some could not be followed."""
        reached: dict[int, None] = {}
        unread: list[str] = []
        pending = dict.fromkeys(first.tails)
        followed = set[Tail]()
        while pending:
            where, _ = pending.popitem()
            followed.add(where)
            targets, why = self._targets(where)
            unread += why
            self._steps -= 1 + len(targets)
            if self._steps < 0:
                return list(reached), [*unread, _TOO_MANY]
            for target in targets:
                if target in reached:
                    continue
                if len(reached) >= MOST_TAIL_CALLS:
                    return list(reached), [*unread, "it has more tail calls than are followed"]
                reached[target] = None
                pending.update(dict.fromkeys(each for each in self._analysed(target).tails if each not in followed))
        return list(reached), unread

    def _targets(self, where: Tail) -> tuple[list[int], list[str]]:
        if where not in self._leads_to:
            self._leads_to[where] = self._found_at(where)
        return self._leads_to[where]

    def _found_at(self, where: Tail) -> tuple[list[int], list[str]]:
        array, indexes = where
        seen = self._evidence.program_arrays.get(array) if array is not None else None
        if seen is None or seen.entries is None:
            return [], ["it makes tail calls through a program array that could not be read"]
        # A tail call to an empty index falls through. The caller's own exits cover that.
        places = sorted(seen.entries if indexes is None else indexes.intersection(seen.entries))
        return list(dict.fromkeys(seen.entries[each] for each in places)), []

    def _analysed(self, program: int) -> Own:
        if program not in self._own:
            own = self._like_another(program)
            self._own[program] = own or self._analyse(program, self._evidence.program(program))
        return self._own[program]

    def _like_another(self, program: int) -> Own | None:
        """
        Reuse the analysis of the `same_as` program, with the maps exchanged; `None` where that is not possible.

        The pods of a node have hundreds of programs that differ only in their maps.
        """
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

    def _analyse(self, program: int, seen: ProgramSeen | None) -> Own:
        if seen is None:
            return Own(unknown=("the program could not be looked at",))
        if not seen.instructions:
            why = f": {seen.unseen[0]}" if seen.unseen else ""
            return Own(unknown=(f"its instructions are hidden{why}",))
        key = (seen.instructions, tuple(sorted(seen.calls.items())))
        if key not in self._alike:
            if self._steps < 0:
                return Own(unknown=(_TOO_MANY,))
            self._busy.add(program)
            try:
                code = ins.decode(seen.code(), self._evidence.byte_order)
                self._steps -= len(code) // 8  # decoding costs an eighth of a step for each instruction
                steps = min(MOST_STEPS, max(0, self._steps))
                walk = Walk(code, seen.calls, self._evidence.byte_order, self._after_tail_call, steps)
                own = walk.own()
                self._steps -= walk.taken
            except (Malformed, ValueError) as fault:
                own = Own(unknown=(str(fault),))
            finally:
                self._busy.discard(program)
            self._alike[key] = own
        return self._alike[key]

    def _after_tail_call(self, where: Tail) -> Number:
        """Return what a function that left by a tail call returns to its caller."""
        # A program that tail-calls itself, or a chain of more than `MOST_NESTED`, is not followed here.
        if len(self._busy) >= MOST_NESTED:
            return anything("a tail call that is nested too deeply")
        reached, unread = self._reached(Own(tails=(where,)))
        if unread or self._busy.intersection(reached):
            return anything("a tail call that could not be followed")
        owns = [self._analysed(each) for each in reached]
        if any(each.unknown for each in owns):
            return anything("a tail call to a program that cannot be told")
        found = Number()
        for each in owns:
            found = as_number(join(found, each.exits))
        return found
