"""Filters and their actions as netlink gives them, those that this machine's kernel may not have."""

from __future__ import annotations

import errno
import struct

import pytest

from handlers.tc import collector


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def action(number: int, kind: str, options: bytes) -> bytes:
    return attribute(number, attribute(1, kind.encode() + b"\0") + attribute(2, options))


def general(control: int) -> bytes:
    """`tc_gen` of linux/pkt_cls.h."""
    return struct.pack("=IIiii", 1, 0, control, 1, 1)


def police(exceed: int, conform: int | None) -> bytes:
    parms = attribute(1, struct.pack("=Ii", 1, exceed) + bytes(48))
    return parms + (b"" if conform is None else attribute(5, struct.pack("=i", conform)))


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("police", police(2, None), "police drop/ok"),
        ("police", police(2, -1), "police drop/continue"),
        ("police", police(-1, 3), "police continue/pipe"),
        ("gact", attribute(2, general(2)), "gact drop"),
        ("gact", attribute(2, general(2)) + attribute(3, struct.pack("=HHi", 2, 2, 0)), "gact drop/ok"),
        ("gact", attribute(2, general(0x20000007)), "gact goto chain 7"),
        ("ct", attribute(1, general(3)) + attribute(2, bytes(32)), "ct pipe"),
        ("connmark", attribute(1, general(3)) + attribute(2, bytes(32)), "connmark pipe"),
        ("skbedit", attribute(2, general(3)), "skbedit pipe"),
    ],
)
def test_an_action_is_named_with_all_that_it_may_say(kind: str, options: bytes, said: str) -> None:
    assert collector.filter_actions(action(1, kind, options)) == [said]


class Answers:
    """A netlink socket that was asked already."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)

    def send(self, _: bytes) -> None:
        pass

    def recv(self, _: int) -> bytes:
        return self.parts.pop(0)


def test_a_dump_that_fails_in_the_middle_is_an_error_and_not_a_short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    part = struct.pack("=IHHII", 20, 44, 2, 1, 0) + bytes(4)
    end = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -errno.EMSGSIZE)
    netlink = collector.Netlink()
    netlink.close()
    monkeypatch.setattr(netlink, "_socket", Answers(part, end))

    with pytest.raises(OSError, match="netlink") as failed:
        netlink.dump(collector.GETTFILTER, bytes(20))

    assert failed.value.errno == errno.EMSGSIZE
