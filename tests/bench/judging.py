"""What judging costs: a large program, and a node of 300 devices."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from handlers.tc import instructions as ins
from handlers.tc.document import read_document
from handlers.tc.returns import Analyst
from tests import bpf
from tests.handlers.tc.nodes import OK, REDIRECT, SHOT, UNSPEC, Node, device, judged

RUNS = 3
LARGE = 50_000
DEVICES = 300


def analysing() -> tuple[float, float]:
    """Seconds for a program of 50,000 instructions, and for decoding it alone."""
    step = [bpf.alu(ins.ADD, 6, 1), bpf.store(-8, 6), bpf.load(7, -8), bpf.jump(ins.JGT, 7, 9, 1), bpf.copy(6, 7)]
    code = bpf.assemble([bpf.mov(6, 0), *step * (LARGE // len(step)), bpf.mov(0, UNSPEC), bpf.EXIT])
    evidence = bpf.evidence([bpf.program(1, code)])

    def analyse() -> None:
        assert Analyst(evidence).returns(1).codes == {UNSPEC}

    return _median(analyse), _median(lambda: ins.decode(code))


def judging() -> tuple[float, float]:
    """Seconds from the document of a node to its result, and for parsing the same JSON alone."""
    node = Node()
    devices = []
    for number in range(DEVICES):
        name = f"lxc{number:04x}"
        chain = [node.filter(f"cil_from_container-{name}", SHOT, REDIRECT, OK), node.own("ingress", index=number)]
        devices.append(device(name, chain, [node.own("egress", index=number)]))
    document = node.evidence(*devices).model_dump_json(by_alias=True).encode()

    def judge() -> None:
        assert judged(read_document(document)).tables[0].count == DEVICES

    return _median(judge), _median(lambda: json.loads(document))


def _median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
