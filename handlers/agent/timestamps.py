"""
Time stamps of the Self Tests block, and the node's clock for converting them to UTC.

The module prints `Last execution` as Go's RFC 822, in the host's time zone and to the minute: `02 Jan 24 15:04 CET`
(DataDog/datadog-agent:pkg/security/module/server.go@00569dec, `LastTimestamp`). Some abbreviations stand for several
zones: `CST` is Chicago's, Shanghai's and Havana's. The node's own offset tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import re2

NODE_CLOCK = ("date", "+%s %z %Z")
"""Prints the node's time, its offset and the abbreviation of its zone: `1795849200 -0600 CST`."""

_STAMP = re2.compile(r"(\d{2}) ([A-Z][a-z]{2}) (\d{2}) (\d{2}):(\d{2}) ([A-Za-z]{1,6}|[+-]\d{2}(?:\d{2})?)")
_CLOCK = re2.compile(r"(\d{9,11}) ([+-]\d{4}) (\S{1,8})\s*")
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}  # noqa: SIM905 - reads better

_OFFSETS: Mapping[str, tuple[float, ...]] = {
    "UTC": (0,), "GMT": (0,), "Z": (0,), "WET": (0,), "WEST": (1,), "CET": (1,), "CEST": (2,), "MET": (1,), "MEST": (2,),
    "EET": (2,), "EEST": (3,), "MSK": (3,), "IDT": (3,), "EAT": (3,), "CAT": (2,), "SAST": (2,), "WAT": (1,), "PKT": (5,),
    "WIB": (7,), "WITA": (8,), "WIT": (9,), "HKT": (8,), "JST": (9,), "KST": (9,), "AWST": (8,), "ACST": (9.5,),
    "ACDT": (10.5,), "AEST": (10,), "AEDT": (11,), "NZST": (12,), "NZDT": (13,), "ChST": (10,), "SST": (-11,),
    "NST": (-3.5,), "NDT": (-2.5,), "AST": (-4,), "ADT": (-3,), "EST": (-5,), "EDT": (-4,), "MST": (-7,), "MDT": (-6,),
    "PDT": (-7,), "AKST": (-9,), "AKDT": (-8,), "HST": (-10,), "HDT": (-9,),
    "CST": (-6, 8, -5), "CDT": (-5, -4), "PST": (-8, 8), "IST": (5.5, 1, 2), "BST": (1, 6),
}  # fmt: skip
"""Hours east of UTC for each abbreviation of the time zone database; several where it stands for several zones."""
_DAYLIGHT_SAVING = timedelta(hours=1)
"""The largest difference allowed between the node's current offset and its offset when the stamp was made."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp as printed: local time to the minute, and its zone."""

    local: datetime
    """Without a zone."""
    zone: str
    """`CET`, `-03`, `+0530`."""

    @property
    def never(self) -> bool:
        """Whether it is Go's zero time: the self-test has never finished."""
        return self.local == datetime(1, 1, 1)  # noqa: DTZ001 - local time is what it is


@dataclass(frozen=True, slots=True)
class NodeClock:
    """The node's time and time zone."""

    now: datetime
    """Timezone-aware, in UTC."""
    offset: timedelta | None = None
    """East of UTC; `None` when it was not seen."""
    zone: str = ""

    def advanced(self, seconds: float) -> NodeClock:
        """The same clock, that many seconds later."""
        return NodeClock(self.now + timedelta(seconds=seconds), self.offset, self.zone)


def read_stamp(text: str) -> Stamp | None:
    """Parse a time stamp; `None` when the text is not one."""
    match = _STAMP.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute = (int(match[group]) for group in (1, 3, 4, 5))
    if (day, match[2], year, hour, minute) == (1, "Jan", 1, 0, 0):
        return Stamp(datetime(1, 1, 1), match[6])  # noqa: DTZ001
    try:
        return Stamp(datetime(2000 + year, _MONTHS[match[2]], day, hour, minute), match[6])  # noqa: DTZ001
    except ValueError:
        return None


def read_node_clock(stdout: str) -> NodeClock | None:
    """Parse the output of `NODE_CLOCK`; `None` when it is something else."""
    match = _CLOCK.fullmatch(stdout.strip())
    offset = _numeric_offset(match[2]) if match else None
    if match is None or offset is None:
        return None
    return NodeClock(datetime.fromtimestamp(int(match[1]), UTC), offset, match[3])


def resolve_stamp(stamp: Stamp, clock: NodeClock) -> datetime | None:
    """
    Convert a time stamp to UTC; `None` when its zone is ambiguous or unknown and the node's offset does not decide.

    A current offset that differs by an hour decides too: daylight saving began or ended since.
    """
    offset = _resolve_offset(stamp.zone, clock)
    if offset is None:
        return None
    try:
        return stamp.local.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _resolve_offset(zone: str, clock: NodeClock) -> timedelta | None:
    if zone[0] in "+-":
        return _numeric_offset(zone)
    candidates = [timedelta(hours=hours) for hours in _OFFSETS.get(zone, ())]
    if len(candidates) == 1:
        return candidates[0]
    if clock.offset is None:
        return None
    if zone == clock.zone:
        return clock.offset
    near = sorted(
        (abs(candidate - clock.offset), candidate)
        for candidate in candidates
        if abs(candidate - clock.offset) <= _DAYLIGHT_SAVING
    )
    return near[0][1] if near else None


def _numeric_offset(text: str) -> timedelta | None:
    hours, minutes = int(text[1:3]), int(text[3:] or 0)
    if hours > 14 or minutes >= 60:
        return None
    return (1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes)
