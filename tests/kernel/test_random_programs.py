"""The analysis against the kernel: whatever a program really returns must be among what it is said to return."""

from __future__ import annotations

import ctypes
import os
import random
import struct
from contextlib import suppress
from typing import Any

import pytest

from handlers.tc import collector, returns
from handlers.tc.evidence import Evidence
from handlers.tc.returns import Analyst
from tests.kernel.lab import Lab, Loaded
from tests.kernel.programs import program

pytestmark = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)

PROGRAMS, PACKETS = 50, 16
_TEST_RUN = 10
_WORDS = (0, 1, 2, 3, 7, 8, 255, 2**31, 2**32 - 1)


@pytest.mark.parametrize("seed", range(32))
def test_what_a_program_made_by_chance_returns_is_in_the_answer(
    seed: int, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returns, "MOST_STEPS", 10_000)
    chance = random.Random(seed)
    targets = dict(enumerate(loaded(lab, chance, 4)))
    array, numbers = lab.program_array(targets, 5), lab.number_array([0, 2**63, 2**32 - 1, 0x80])
    programs = loaded(lab, chance, PROGRAMS, array=array.fd, map_=numbers)
    analyst = Analyst(told(programs), steps=10**7)
    known = met = 0

    for one in programs:
        said = analyst.returns(one.id)
        really = {run(one, *packet(chance)) for _ in range(PACKETS)}
        assert all(said.allows(code) for code in really), (one.id, really, said)
        known += said.known
        met += len(really & said.all)

    # Both "cannot tell" and "all of these" would be right about anything: it says little, and is mostly sure.
    assert len(programs) > PROGRAMS * 0.9
    assert known > len(programs) * 0.4
    assert met > len(programs) * 0.5


def loaded(lab: Lab, chance: random.Random, count: int, **maps: int) -> list[Loaded]:
    """Programs of which the verifier may refuse a few."""
    made = []
    for number in range(count):
        with suppress(OSError):
            made.append(lab.assembled(program(chance, **maps), f"chance{number}"))
    return made


def told(programs: list[Loaded]) -> Evidence:
    """The evidence of these programs, as the collector reads it."""
    document: dict[str, Any] = {"schema": collector.SCHEMA, "programs": {}, "program_arrays": {}}
    reader = collector.Programs(collector.Bpf(), document["programs"], document["program_arrays"], [])
    reader.read([one.id for one in programs])
    reader.name_calls("/proc/kallsyms")
    return Evidence.model_validate(document)


def packet(chance: random.Random) -> tuple[bytes, bytes]:
    """A packet, and the context that goes with it: mark, priority, and control block."""
    context = bytearray(192)
    for place in (8, 32, 48, 52, 56, 60, 64):
        struct.pack_into("=I", context, place, chance.choice((*_WORDS, chance.getrandbits(32))))
    data = bytes(chance.choice((0, 1, 127, 128, 255)) for _ in range(chance.choice((14, 20, 64, 100))))
    return data, bytes(context)


def run(loaded: Loaded, data: bytes, context: bytes) -> int:
    """What the kernel's BPF_PROG_TEST_RUN returns."""
    packet, ctx = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(context, len(context))
    attr = struct.pack(
        "=IIIIQQIIIIQQ", loaded.fd, 0, len(data), 0, ctypes.addressof(packet), 0, 1, 0, len(context), 0, ctypes.addressof(ctx), 0
    )  # fmt: skip
    buffer = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    assert ctypes.CDLL(None, use_errno=True).syscall(number, _TEST_RUN, buffer, 128) == 0, os.strerror(ctypes.get_errno())  # fmt: skip
    return int(struct.unpack_from("=i", buffer.raw, 4)[0])
