"""
What can be broken in the sandbox, what is broken now, and how each is healed.

Each part of the sandbox says what can go wrong with it; the page's panel and `POST /sandbox/faults` do the rest. What is
broken is always read from the parts themselves, so that it is never told from memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.sandbox.slack.people import BadRequest

HEAL = "heal"


@dataclass(frozen=True, slots=True)
class Field:
    """What a fault must be told. `choices` are values and labels; without any, anything may be typed."""

    name: str
    label: str
    choices: Sequence[tuple[str, str]] = ()
    value: str = ""
    kind: str = "text"
    """`text` or `number`."""

    def as_json(self) -> dict[str, Any]:
        choices = [{"value": value, "label": label} for value, label in self.choices]
        return {**asdict(self), "choices": choices}


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that is broken now, and the request that heals it."""

    says: str
    heal: Mapping[str, Any]
    on_purpose: bool = False
    """Part of the fleet from its start: something to find."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which something breaks. `do` gets the whole request."""

    name: str
    title: str
    says: str
    do: Callable[[Mapping[str, Any]], Awaitable[None]]
    fields: Callable[[], Sequence[Field]] = tuple
    broken: Callable[[], Iterable[Broken]] = tuple

    def as_json(self) -> dict[str, Any]:
        fields = [each.as_json() for each in self.fields()]
        return {"name": self.name, "title": self.title, "says": self.says, "fields": fields}


@dataclass(slots=True)
class Faults:
    """All of them."""

    known: dict[str, Fault] = field(default_factory=dict)

    def add(self, *faults: Fault) -> None:
        """Let more go wrong."""
        self.known |= {fault.name: fault for fault in faults}

    async def do(self, body: Mapping[str, Any]) -> None:
        """Break what a request asks for, or heal everything. Raises `BadRequest` with what there is instead."""
        name = str(body["fault"])
        if name == HEAL:
            for broken in self.broken():
                await self.do(broken.heal)
            return
        if name not in self.known:
            raise BadRequest(f"there is no fault {name!r}; there are {', '.join([*sorted(self.known), HEAL])}")
        await self.known[name].do(body)

    def broken(self) -> Sequence[Broken]:
        """What is broken now."""
        return [broken for fault in self.known.values() for broken in fault.broken()]

    def as_json(self) -> dict[str, Any]:
        """What the page's panel shows."""
        return {
            "faults": [fault.as_json() for fault in self.known.values() if fault.title],
            "broken": [asdict(broken) for broken in self.broken()],
        }


def number(body: Mapping[str, Any], name: str, default: int) -> int:
    """A number of a request, however it was typed."""
    try:
        return int(body.get(name, default))
    except (TypeError, ValueError):
        raise BadRequest(f"{name} must be a number, not {body[name]!r}") from None


def choice(body: Mapping[str, Any], name: str, known: Iterable[str]) -> str:
    """One of several words of a request; nothing at all is allowed, and heals."""
    given = str(body.get(name, ""))
    among = [each for each in known if each]
    if given and given not in among:
        raise BadRequest(f"{name} must be one of {', '.join(among)}, or nothing; it is {given!r}")
    return given
