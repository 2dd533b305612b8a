"""That the order which the collector tells is the order in which packets meet the programs, and where they stop."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable

import pytest

from handlers.tc.evidence import Evidence
from tests.kernel.lab import OK, UNSPEC, Lab, Loaded, Netns, ip
from tests.kernel.test_collector import device
from tests.kernel.test_edges import knob

pytestmark = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)


def packet(node: Netns) -> None:
    """Send one over `lo`."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"one", ("127.0.0.1", 9))

    node.inside(send)


def has_run(program: Loaded) -> bool:
    done = subprocess.run(["bpftool", "-j", "prog", "show", "id", str(program.id)], capture_output=True, check=True)
    return bool(json.loads(done.stdout).get("run_cnt"))


Attach = Callable[[Netns, Loaded], None]


def tcx(node: Netns, program: Loaded) -> None:
    node.tcx("lo", "egress", program)


def first_tcx(node: Netns, program: Loaded) -> None:
    node.tcx("lo", "egress", program, first=True)


def at(pref: int, handle: int = 0) -> Attach:
    return lambda node, program: node.filter("lo", "egress", program, pref=pref, handle=handle)


@pytest.mark.parametrize(
    "attached",
    [
        [(at(10), UNSPEC), (at(1), OK)],
        [(at(10), UNSPEC), (tcx, OK)],
        [(at(10), UNSPEC), (tcx, UNSPEC)],
        [(tcx, OK), (first_tcx, UNSPEC)],
        [(tcx, UNSPEC), (first_tcx, OK)],
        [(at(10), UNSPEC), (at(10), OK)],
        [(at(10), OK), (at(10), UNSPEC)],
        [(at(10, 1), OK), (at(10, 2), OK)],
        [(at(10, 2), OK), (at(10, 1), OK)],
        [(at(0), OK), (at(0), OK), (at(49000), UNSPEC)],
    ],
)
def test_a_packet_meets_the_programs_in_the_order_that_is_told(
    attached: list[tuple[Attach, int]], lab: Lab, collect: Callable[..., Evidence]
) -> None:
    node, programs = lab.namespace(), {}
    ip("-n", node.name, "link", "set", "lo", "up")
    for number, (attach, code) in enumerate(attached):
        program = lab.returning(code, f"number{number}")
        programs[program.id] = program, code
        attach(node, program)
    told = [entry.program or 0 for entry in device(collect(), node, "lo").egress or ()]

    with knob("kernel/bpf_stats_enabled", "1"):
        packet(node)

    ends = next((place for place, program in enumerate(told) if programs[program][1] == OK), len(told))
    assert [has_run(programs[program][0]) for program in told] == [place <= ends for place in range(len(told))]
    assert len(told) == len(attached)
