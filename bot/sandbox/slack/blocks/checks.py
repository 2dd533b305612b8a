"""
The basic checks from which Block Kit's validation is composed. A check yields each fault of a value, with its path.

The messages are Slack's where live answers show them (`must be less than 3001 characters`, `unsupported type: x`,
`invalid additional property: x`). All others follow the same style.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class BlockFault(NamedTuple):
    """One fault for which Slack refuses a message, a view or options."""

    message: str
    pointer: str
    """A JSON pointer, relative to the call's arguments: `/blocks/0/text/text`."""
    error: str = ""
    """The call's error, if this fault has its own; otherwise the method chooses it (`invalid_blocks`)."""

    def __str__(self) -> str:
        """The fault as in `errors` and `response_metadata.messages`."""
        return f"{self.message} [json-pointer:{self.pointer}]"


Check = Callable[[Any, str], Iterator[BlockFault]]


def string(most: int | None = None, least: int = 1, *, like: str = "") -> Check:
    """Check a string: its length in code points, and a pattern (`like`) that it must match as a whole."""

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
    """Check a number against inclusive bounds (`least`, `most`) and an exclusive lower one (`above`)."""

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
    """Check that the value is true or false."""
    if not isinstance(value, bool):
        yield BlockFault("must be a boolean", at)


def anything(_value: Any, _at: str) -> Iterator[BlockFault]:
    """Accept any value."""
    yield from ()


def one_of(*values: Any) -> Check:
    """Check that the value is one of these."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if value not in values:
            yield BlockFault("must be a valid enum value", at)

    return check


def array(of: Check, most: int | None = None, least: int = 0) -> Check:
    """Check a list: its length, and each item with `of`."""

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
    """Check an object: these keys and no others (`type` is always allowed), then `rules` on the whole object."""
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
    """Check an object with the check for its `type`."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not isinstance(value, dict):
            yield BlockFault("failed to match all allowed schemas", at)
        elif value.get("type") not in kinds:
            yield BlockFault(f"unsupported type: {value.get('type')}", f"{at}/type")
        else:
            yield from kinds[value["type"]](value, at)

    return check


def later(find: Callable[[], Check]) -> Check:
    """A check that is defined later in the module, for types that contain themselves."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        yield from find()(value, at)

    return check


def rule(holds: Callable[[dict[str, Any]], bool], message: str) -> Check:
    """A check on an object as a whole, and its message."""

    def check(value: Any, at: str) -> Iterator[BlockFault]:
        if not holds(value):
            yield BlockFault(message, at)

    return check


def exactly_one(*keys: str) -> Check:
    """Check that an object has exactly one of these keys."""
    names = " or ".join(f"`{key}`" for key in keys)
    return rule(lambda value: sum(key in value for key in keys) == 1, f"must define either {names}")


def in_order(small: str, large: str) -> Check:
    """Check that one bound is not greater than the other."""

    def holds(value: dict[str, Any]) -> bool:
        try:
            return small not in value or large not in value or float(value[small]) <= float(value[large])
        except (TypeError, ValueError):
            return True  # another check reports it

    return rule(holds, f"`{small}` must not be greater than `{large}`")


def unique(key: str, within: str) -> Check:
    """Check that no two items of `within` have the same `key`."""

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
