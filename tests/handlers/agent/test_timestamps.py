"""The Agent's time stamps, in every zone that a host may live in."""

from __future__ import annotations

import zoneinfo
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.agent.timestamps import _OFFSETS, NodeClock, read_node_clock, read_stamp, resolve_stamp

ZONES = sorted(
    name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith(("posix", "right"))
)


def test_every_abbreviation_of_the_time_zone_database_is_known_with_all_its_offsets() -> None:
    found: dict[str, set[float]] = defaultdict(set)
    for name in ZONES:
        zone = zoneinfo.ZoneInfo(name)
        for week in range(2 * 53):
            at = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(weeks=week)).astimezone(zone)
            offset = at.utcoffset()
            assert offset is not None
            found[str(at.tzname())].add(offset.total_seconds() / 3600)
    if not found:
        pytest.skip("there is no time zone database (Debian: tzdata)")

    lettered = {name: offsets for name, offsets in found.items() if name[0].isalpha()}
    assert {name: offsets - set(_OFFSETS.get(name, ())) for name, offsets in lettered.items()} == {
        name: set() for name in lettered
    }


@given(
    name=st.sampled_from(ZONES),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    ago=st.timedeltas(timedelta(), timedelta(hours=2)),
)
def test_a_stamp_of_the_last_hours_is_resolved_wherever_the_node_lives(name: str, at: datetime, ago: timedelta) -> None:
    zone = zoneinfo.ZoneInfo(name)
    then, now = (at - ago).replace(second=0, microsecond=0).astimezone(zone), at.astimezone(zone)
    stamp = read_stamp(then.strftime("%d %b %y %H:%M %Z"))
    assert stamp is not None

    resolved = resolve_stamp(stamp, NodeClock(at, now.utcoffset(), now.tzname() or ""))

    assert resolved == then.astimezone(UTC)


def test_an_ambiguous_zone_without_the_nodes_offset_is_not_guessed() -> None:
    stamp = read_stamp("28 Nov 26 05:48 CST")
    assert stamp is not None
    assert resolve_stamp(stamp, NodeClock(datetime(2026, 11, 28, 12, tzinfo=UTC))) is None


@pytest.mark.parametrize(
    "text",
    ["31 Feb 24 15:04 UTC", "02 Jan 24 25:04 UTC", "2 Jan 24 15:04 UTC", "02 Jan 24 15:04", "02 Foo 24 15:04 UTC", "", "x",
     "<no value>", "02 Jan 24 15:04 UTC and more", "٠٢ Jan 24 15:04 UTC", "02 Jan 24 15:04 UTC\n"],
)  # fmt: skip
def test_what_is_no_stamp_is_not_read_as_one(text: str) -> None:
    assert read_stamp(text) is None


def test_the_zero_time_means_never() -> None:
    stamp = read_stamp("01 Jan 01 00:00 UTC")
    assert stamp is not None
    assert stamp.never


@pytest.mark.parametrize(
    ("printed", "offset"),
    [("1795849200 -0600 CST\n", timedelta(hours=-6)), ("1795849200 +0530 IST", timedelta(hours=5.5))],
)
def test_a_nodes_clock_is_read(printed: str, offset: timedelta) -> None:
    clock = read_node_clock(printed)
    assert clock is not None
    assert (clock.now, clock.offset) == (datetime.fromtimestamp(1795849200, UTC), offset)


@pytest.mark.parametrize(
    "printed", ["", "date: invalid date", "1795849200", "1795849200 +9900 X", "1 +0000 UTC", "1795849200 UTC +0000"]
)
def test_what_is_no_clock_is_not_read_as_one(printed: str) -> None:
    assert read_node_clock(printed) is None
