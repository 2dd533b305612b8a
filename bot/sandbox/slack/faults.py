"""
The faults that can be set in the sandbox, those that are active, and how each is removed.

Each part of the sandbox declares its faults. The page's panel and `POST /sandbox/faults` set them. The active faults
are always read from the parts themselves and never from a separate record, so the list cannot be outdated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.sandbox.slack.people import BadRequest

HEAL = "heal"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of a fault. `choices` are pairs of value and label; without choices, any text is allowed."""

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
    """An active fault, and the request that removes it."""

    says: str
    heal: Mapping[str, Any]
    on_purpose: bool = False
    """Whether the fault is part of the fleet from its start, for people to find."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. `do` gets the whole request."""

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
    """All kinds of faults."""

    known: dict[str, Fault] = field(default_factory=dict)

    def add(self, *faults: Fault) -> None:
        """Register faults."""
        self.known |= {fault.name: fault for fault in faults}

    async def do(self, body: Mapping[str, Any]) -> None:
        """Set the fault of a request, or remove all. Raises `BadRequest`; for an unknown fault, with the known ones."""
        name = str(body["fault"])
        if name == HEAL:
            for broken in self.broken():
                await self.do(broken.heal)
            return
        if name not in self.known:
            raise BadRequest(f"there is no fault {name!r}; there are {', '.join([*sorted(self.known), HEAL])}")
        await self.known[name].do(body)

    def broken(self) -> Sequence[Broken]:
        """The active faults."""
        return [broken for fault in self.known.values() for broken in fault.broken()]

    def as_json(self) -> dict[str, Any]:
        """The content of the page's panel."""
        return {
            "faults": [fault.as_json() for fault in self.known.values() if fault.title],
            "broken": [asdict(broken) for broken in self.broken()],
        }


def number(body: Mapping[str, Any], name: str, default: int) -> int:
    """An integer in a request, also when it is given as text. Raises `BadRequest`."""
    try:
        return int(body.get(name, default))
    except (TypeError, ValueError):
        raise BadRequest(f"{name} must be a number, not {body[name]!r}") from None


def choice(body: Mapping[str, Any], name: str, known: Iterable[str]) -> str:
    """One of several values in a request; empty is allowed, and removes the fault. Raises `BadRequest`."""
    given = str(body.get(name, ""))
    among = [each for each in known if each]
    if given and given not in among:
        raise BadRequest(f"{name} must be one of {', '.join(among)}, or nothing; it is {given!r}")
    return given
