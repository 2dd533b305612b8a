"""
The rule itself, asked of the kernel: real packets, and whether the Agent's filter really ran.

What the judge says of a chain must be what packets do there; what a program is said to return must be what it returns.
"""

from __future__ import annotations

import base64
import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handlers.model import Verdict
from handlers.tc.evidence import Evidence
from handlers.tc.returns import Analyst
from tests.kernel.lab import Lab, Loaded, Netns, _info, bpf
from tests.kernel.test_decision import ROWS, examined

pytestmark = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
_FD_BY_ID, _TEST_RUN, _ENABLE_STATS = 13, 10, 32
PACKETS = 5


@pytest.fixture
def counting(lab: Lab) -> Iterator[None]:
    """While this is held, the kernel counts how often each program runs."""
    descriptor = bpf(_ENABLE_STATS, struct.pack("=I", 0))
    yield
    os.close(descriptor)


def runs(number: int) -> int:
    """How often the program of that id has run (linux/bpf.h: bpf_prog_info.run_cnt)."""
    descriptor = bpf(_FD_BY_ID, struct.pack("=I", number))
    try:
        return int(struct.unpack_from("=Q", _info(descriptor), 200)[0])
    finally:
        os.close(descriptor)


def send(pod: Netns, device: str) -> None:
    """A few frames of an unassigned protocol, from the pod's side."""
    frame = b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02" + b"\x88\xb5" + b"csm".ljust(50, b"\0")

    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((device, 0))
            for _ in range(PACKETS):
                raw.send(frame)

    pod.inside(work)


SEEN = (
    "2 nobody", "4 tcx that goes on", "5 unspec", "5 drops", "7 priority 10, attached before", "8 priority 2, the Agent at 1",
    "9 priority 11", "9 priority 66", "other filters that go on", "another chain",
)  # fmt: skip
UNSEEN = (
    "3 tcx that passes", "6 priority 1", "6 priority 1, redirects all", "6 priority 1, by a tail call", "7 priority 2",
    "7 priority 10, attached later", "10 raised", "other filters", "other filters that end the chain", "another chain, which is run",
)  # fmt: skip


@pytest.mark.parametrize("row", [*SEEN, *UNSEEN])
async def test_the_agents_filter_runs_if_and_only_if_the_verdict_says_so(
    row: str, lab: Lab, counting: None, tmp_path: Path
) -> None:
    build, agents, *_ = ROWS[row]
    node, pod = lab.namespace(), lab.namespace()
    node.veth("eni1", "eth0", into=pod)
    build(lab, node)
    result = await examined(node, tmp_path, agents)
    own = _own_program(result.document)
    before = runs(own)

    send(pod, "eth0")

    assert (runs(own) - before >= PACKETS) is (row in SEEN)
    assert (result.verdict in {Verdict.PASS, Verdict.WARN}) is (row in SEEN or "another" in row or "other" in row)


def _own_program(document: str) -> int:
    from handlers.tc.document import read_document, unpacked

    evidence = read_document(unpacked(document).encode())
    entries = [
        entry for namespace in evidence.namespaces for device in namespace.devices for entry in device.ingress or ()
    ]
    (own,) = (entry.program for entry in entries if entry.name.startswith("classifier_ingress_security"))
    assert own is not None
    return own


PROGRAMS = {
    "switch": "switch (skb->len & 7) { case 0: return 0; case 1: return 2; case 2: return 4; case 3: return 7; case 5: return 3; default: return -1; }",
    "loop": "__u32 sum = 0; for (int i = 0; i < 20; i++) sum += bpf_get_prandom_u32() & 1; return sum > 8 ? (sum > 12 ? 2 : 0) : -1;",
    "redirect": "return skb->len & 1 ? bpf_redirect(1, 0) : bpf_redirect(1, ~0ULL);",
    "arithmetic": "int x = skb->len & 3; x = x * 3 - 1; x ^= 5; return (__u32)x % 9;",
    "signed": "int x = (int)skb->len - 80; return x < 0 ? -x & 8 : x >> 31;",
    "stack": "int a[4]; for (int i = 0; i < 4; i++) a[i] = i * 2; return a[skb->len & 3];",
    "packet": "__u8 *d = (void *)(long)skb->data; if (d + 20 > (__u8 *)(long)skb->data_end) return 2; return d[3] > 100 ? 0 : -1;",
    "narrow": "signed char c = (signed char)skb->len; short s = c; return s < -4 ? 2 : s > 4 ? 0 : -1;",
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_the_kernel_returns_is_in_the_answer(name: str, lab: Lab, collect: Callable[..., Evidence]) -> None:
    program = lab.compiled(f'SEC("tc") int tested(struct __sk_buff *skb) {{ {PROGRAMS[name]} }}', "tested")
    node = lab.namespace()
    node.veth("eni1", "eth0")
    node.filter("eni1", "ingress", program, pref=1, handle=1)
    evidence = collect()
    seen = evidence.program(program.id)
    assert seen is not None
    assert base64.b64decode(seen.instructions or "")

    returns = Analyst(evidence).returns(program.id)

    really = {kernel_run(program, bytes([octet]) * length) for octet in (0, 101, 255) for length in range(14, 260, 5)}
    assert all(returns.allows(code) for code in really), (really, returns)
    if returns.known:
        assert really <= returns.all or returns.negative


def kernel_run(program: Loaded, packet: bytes) -> int:
    """Let the kernel run a program on a packet (BPF_PROG_TEST_RUN), and tell what it returned."""
    data = ctypes.create_string_buffer(packet, len(packet))
    attr = struct.pack("=IIIIQQII", program.fd, 0, len(packet), 0, ctypes.addressof(data), 0, 1, 0)
    buffer = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    result = ctypes.CDLL(None, use_errno=True).syscall(
        {"x86_64": 321, "aarch64": 280}[os.uname().machine], _TEST_RUN, buffer, 128
    )
    assert result == 0, os.strerror(ctypes.get_errno())
    return int(struct.unpack_from("=i", buffer.raw, 4)[0])
