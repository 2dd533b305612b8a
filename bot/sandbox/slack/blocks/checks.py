"""
The few kinds of check that Block Kit is made of. A check yields what is wrong with a value, and where.

The words are Slack's where they are known from live answers (`must be less than 3001 characters`,
`unsupported type: x`, `invalid additional property: x`); where Slack was never seen to say it, they follow suit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class BlockFault(NamedTuple):
    """One thing that Slack refuses."""

    message: str
    pointer: str
    """A JSON pointer, from the call's arguments: `/blocks/0/text/text`."""
    error: str = ""
    """The call's error where this fault has one of its own; else the method decides (`invalid_blocks`)."""

    def __str__(self) -> str:
        """As in `errors` and `response_metadata.messages`."""
        return f"{self.message} [json-pointer:{self.pointer}]"


Check = Callable[[Any, str], Iterator[BlockFault]]


def string(most: int | None = None, least: int = 1, *, like: str = "") -> Check:
    """A text of so many code points, and of a form."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not isinstance(value, str):
            yield BlockFault("must be a string", at)
        elif most is not None and len(value) > most:
            yield BlockFault(f"must be less than {most + 1} characters", at)
        elif len(value) < least:
            yield BlockFault(f"must be more than {least - 1} characters", at)
        elif like and not re.fullmatch(like, value):
            yield BlockFault(f"must match pattern {like}", at)

    return check


def number(
    least: float | None = None, most: float | None = None, *, whole: bool = True, above: float | None = None
) -> Check:
    """A number within bounds; `above` is a bound that is not itself allowed."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield BlockFault("must be an integer" if whole else "must be a number", at)
        elif least is not None and value < least:
            yield BlockFault(f"must be greater than or equal to {least:g}", at)
        elif most is not None and value > most:
            yield BlockFault(f"must be less than or equal to {most:g}", at)
        elif above is not None and value <= above:
            yield BlockFault(f"must be greater than {above:g}", at)

    return check


def boolean(value: Any, at: str) -> Iterator[BlockFault]:
    """True or false."""
    if not isinstance(value, bool):
        yield BlockFault("must be a boolean", at)


def anything(_value: Any, _at: str) -> Iterator[BlockFault]:
    """Whatever it is."""
    yield from ()


def one_of(*values: Any) -> Check:
    """One of a few words."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if value not in values:
            yield BlockFault("must be a valid enum value", at)

    return check


def array(of: Check, most: int | None = None, least: int = 0) -> Check:
    """A list of so many items of a kind."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not isinstance(value, list):
            yield BlockFault("must be an array", at)
            return
        if most is not None and len(value) > most:
            yield BlockFault(f"no more than {most} items allowed", at)
        if len(value) < least:
            yield BlockFault(f"must provide at least {least} items", at)
        for number_, each in enumerate(value):
            yield from of(each, f"{at}/{number_}")

    return check


def shape(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *rules: Check) -> Check:
    """An object with these keys and no others (`type` goes without saying), then rules about the whole of it."""
    optional = optional or {}
    known = {"type", *required, *optional}

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not isinstance(value, dict):
            yield BlockFault("failed to match all allowed schemas", at)
            return
        for key in sorted(value.keys() - known):
            yield BlockFault(f"invalid additional property: {key}", at)
        for key in required:
            if key not in value:
                yield BlockFault(f"missing required field: {key}", at)
        for key, of in {**required, **optional}.items():
            if key in value:
                yield from of(value[key], f"{at}/{key}")
        for rule in rules:
            yield from rule(value, at)

    return check


def by_type(kinds: Mapping[str, Check]) -> Check:
    """An object whose `type` says which check it must meet."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not isinstance(value, dict):
            yield BlockFault("failed to match all allowed schemas", at)
        elif value.get("type") not in kinds:
            yield BlockFault(f"unsupported type: {value.get('type')}", f"{at}/type")
        else:
            yield from kinds[value["type"]](value, at)

    return check


def later(find: Callable[[], Check]) -> Check:
    """A check that is defined further down, for what holds its own kind."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        yield from find()(value, at)

    return check


def rule(holds: Callable[[dict[str, Any]], bool], message: str) -> Check:
    """A rule about an object as a whole."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not holds(value):
            yield BlockFault(message, at)

    return check


def exactly_one(*keys: str) -> Check:
    """Of these keys, one and no more."""
    names = " or ".join(f"`{key}`" for key in keys)
    return rule(lambda value: sum(key in value for key in keys) == 1, f"must define either {names}")


def in_order(small: str, large: str) -> Check:
    """Two bounds, the right way round."""

    def holds(value: dict[str, Any]) -> bool:
        try:
            return small not in value or large not in value or float(value[small]) <= float(value[large])
        except (TypeError, ValueError):
            return True  # said elsewhere

    return rule(holds, f"`{small}` must not be greater than `{large}`")


def unique(key: str, within: str) -> Check:
    """No value of `key` twice among the items of `within`."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        seen: set[str] = set()
        items = value.get(within)
        for index, each in enumerate(items if isinstance(items, list) else []):
            name = each.get(key) if isinstance(each, dict) else None
            if isinstance(name, str) and name in seen:
                yield BlockFault(f'`{key}` "{name}" already exists', f"{at}/{within}/{index}/{key}")
            elif isinstance(name, str):
                seen.add(name)

    return check
