"""
The *Self Tests* block of `security-agent status` and `agent status`.

Template: DataDog/datadog-agent:pkg/security/agent/status_templates/runtimesecurity.tmpl@0bf8273d. The
Agent that prints it may be broken or hostile, so everything that was not seen is `None`, and what does not
fit is a fault, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_HEADING = re.compile(r"^[=\-~^]{3,}$")
_STAMP = re.compile(r"^(\d{2}) ([A-Z][a-z]{2}) (\d{2}) (\d{2}):(\d{2}) ([A-Z]{1,5}|[+-]\d{2,4})$")
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}  # noqa: SIM905 - reads better
_ZONES = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9, "KST": 9,
    "EST": -5, "EDT": -4, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}  # fmt: skip
"""Hours by abbreviation; those that mean several zones (CST, IST, BST) are left out, and read as unreadable."""

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""Go's zero time: the self-test has never finished."""

MAX_RULES = 50


@dataclass(frozen=True, slots=True)
class SelfTests:
    """What a block says."""

    last_execution: datetime | None
    succeeded: tuple[str, ...] | None
    failed: tuple[str, ...] | None
    lines: tuple[str, ...]
    """The block as printed, for evidence; not redacted."""
    faults: tuple[str, ...] = ()
    """What in it could not be read."""


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """What a status says of the runtime security module."""

    block: SelfTests | None
    enabled: bool | None
    """False when the Runtime Security section says `Not enabled`; `None` when there is no such section."""


def read_status(text: str) -> RuntimeStatus:
    """Read a status. Linear in its length; never raises."""
    lines = [line.rstrip() for line in text.splitlines()]
    starts = [number for number in _headings(lines) if lines[number].strip() == "Self Tests"]
    blocks = [block for start in starts if (block := _block(lines, start)) is not None]
    block = blocks[0] if blocks else None
    if block is not None and any(_said(other) != _said(block) for other in blocks[1:]):
        block = SelfTests(None, None, None, block.lines, ("there are several blocks, and they contradict one another",))
    return RuntimeStatus(block, _enabled(lines))


def _said(block: SelfTests) -> tuple[object, ...]:
    return (block.last_execution, block.succeeded, block.failed)


def _headings(lines: Sequence[str]) -> Iterator[int]:
    for number in range(len(lines) - 1):
        if lines[number].strip() and _HEADING.match(lines[number + 1].strip()):
            yield number


def _enabled(lines: Sequence[str]) -> bool | None:
    for number in _headings(lines):
        if lines[number].strip() in {"Runtime Security", "CWS (runtime security)"}:
            following = next((line.strip() for line in lines[number + 2 : number + 8] if line.strip()), "")
            return following != "Not enabled"
    return None


def _block(lines: Sequence[str], start: int) -> SelfTests | None:
    """The block under a heading; `None` when it is empty, as it is rendered when the module does not answer."""
    body: list[str] = []
    for number in range(start + 2, min(start + 2 + 4 * MAX_RULES, len(lines))):
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if lines[number].strip() and _HEADING.match(following):
            break
        body.append(lines[number])
    shown = tuple(line.strip() for line in body if line.strip())
    if not shown:
        return None
    faults: list[str] = []
    stamps = [line.partition(":")[2].strip() for line in shown if line.startswith("Last execution:")]
    last = _stamp(stamps[0]) if len(stamps) == 1 else None
    if last is None:
        faults.append(
            f"the time of the last execution cannot be read: {stamps[0][:60]!r}"
            if stamps
            else "it has no time of the last execution"
        )
    succeeded, failed = _rules(shown, "Succeeded"), _rules(shown, "Failed")
    faults += [
        f"it has no list of {what} tests"
        for what, rules in (("succeeded", succeeded), ("failed", failed))
        if rules is None
    ]
    return SelfTests(last, succeeded, failed, shown, tuple(faults))


def _rules(lines: Sequence[str], label: str) -> tuple[str, ...] | None:
    """The rule ids under a label: `none`, or a list with dashes on the lines that follow."""
    at = [number for number, line in enumerate(lines) if line.startswith(f"{label}:")]
    if len(at) != 1:
        return None
    rest = lines[at[0]].partition(":")[2].strip()
    if rest == "none":
        return ()
    found = []
    for line in lines[at[0] + 1 :]:
        if not line.startswith("- "):
            break
        found.append(line[2:].strip())
    return tuple(found) if found and not rest else None


def _stamp(text: str) -> datetime | None:
    """RFC 822 as Go prints it: `02 Jan 24 15:04 UTC`. Minutes are its resolution."""
    match = _STAMP.match(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, month, year, hour, minute, zone = (
        int(match[1]),
        _MONTHS[match[2]],
        int(match[3]),
        int(match[4]),
        int(match[5]),
        match[6],
    )
    if (day, month, year, hour, minute) == (1, 1, 1, 0, 0):
        return NEVER
    offset = _offset(zone)
    if offset is None:
        return None
    try:
        return datetime(2000 + year, month, day, hour, minute, tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _offset(zone: str) -> timedelta | None:
    if zone in _ZONES:
        return timedelta(hours=_ZONES[zone])
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[3:] or 0)
        if hours <= 14 and minutes < 60:
            return (1 if zone[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes)
    return None
