"""Evidence from `tc` and `bpftool`, as they and their newer versions print it; on a real kernel in tests/kernel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import BinaryMissing, Output
from handlers.executors.base import Completed
from handlers.tc import tools
from handlers.tc.evidence import Attachment, Evidence

QDISCS = [
    {"kind": "noqueue", "handle": "0:", "dev": "eth0", "root": True},
    {"kind": "clsact", "handle": "ffff:", "dev": "eth0", "parent": "ffff:fff1"},
]
LINKS = [{"ifindex": 2, "ifname": "eth0", "flags": ["UP"], "linkinfo": {"info_kind": "veth"}}]
NET = [
    {
        "xdp": [],
        "tc": [
            {
                "devname": "eth0",
                "ifindex": 2,
                "kind": "tcx/ingress",
                "name": "cil_from_netdev",
                "prog_id": 680,
                "link_id": 12,
            },
            {"devname": "eth0", "ifindex": 2, "kind": "clsact/egress", "name": "handle_egress", "id": 7},
        ],
    }
]
FILTERS = [
    {"protocol": "all", "pref": 1, "kind": "bpf", "chain": 0},
    {
        "protocol": "all", "pref": 1, "kind": "bpf", "chain": 0,
        "options": {"handle": "0x1", "bpf_name": "handle_egress", "direct-action": True, "prog": {"id": 7, "name": "handle_egress"}},
    },
]  # fmt: skip
PROGRAMS = [
    {"id": 7, "type": "sched_cls", "name": "handle_egress", "tag": "59f4"},
    {"id": 9, "type": "kprobe", "name": "x"},
]


class Node:
    """A node with these tools, which print these answers."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "tc -j qdisc show": QDISCS,
            "ip -j -d link show": LINKS,
            "bpftool -j version": {"version": "7.5.0"},
            "bpftool -j net show": NET,
            "bpftool -j prog show": PROGRAMS,
            "tc -j filter show dev eth0 egress": FILTERS,
            "tc -j filter show dev eth0 ingress": [],
            "uname -r": "6.8.0\n",
            "readlink /proc/self/ns/net": "net:[4026531840]\n",
            "readlink /proc/1/ns/net": "net:[4026531840]\n",
        } | answers
        self.asked: list[str] = []

    async def run(self, argv: Sequence[str]) -> Completed:
        line = " ".join(argv)
        self.asked.append(line)
        answer = self.answers.get(line)
        if answer is None:
            raise BinaryMissing(f"{argv[0]} is not there")
        printed = answer if isinstance(answer, str) else json.dumps(answer)
        return Completed(tuple(argv), 0, Output(printed.encode()), 0.0)

    async def evidence(self) -> Evidence:
        found = await tools.collect(self.run)
        assert found is not None
        return found


async def test_a_newer_bpftool_lists_tcx_before_the_filters() -> None:
    evidence = await Node().evidence()

    (namespace,) = evidence.namespaces
    (device,) = namespace.devices
    assert (namespace.inode, namespace.host) == (4026531840, True)
    assert (device.kind, device.up, device.clsact, device.tcx_seen) == ("veth", True, True, True)
    assert [(entry.attachment, entry.program) for entry in device.ingress or ()] == [(Attachment.TCX, 680)]
    (entry,) = device.egress or ()
    assert (entry.pref, entry.handle, entry.name, entry.direct_action) == (1, 1, "handle_egress", True)
    assert set(evidence.programs) == {7}
    assert evidence.unseen, "one namespace is not all"


@pytest.mark.parametrize(("kernel", "seen"), [("6.8.0", False), ("5.15.0-91-generic", True), ("not a version", False)])
async def test_an_older_bpftool_has_not_seen_tcx_where_the_kernel_has_it(kernel: str, seen: bool) -> None:
    evidence = await Node(**{"uname -r": kernel, "bpftool -j version": {"version": "7.1.0"}}).evidence()

    assert evidence.namespaces[0].devices[0].tcx_seen is seen


async def test_a_name_that_is_no_plain_word_is_put_on_no_command_line() -> None:
    names = ["-force", "a b", "e\x1b[31m", "x;y", "$(z)", "../a", "q" * 40]
    links = [{"ifindex": 3 + number, "ifname": name} for number, name in enumerate(names)]
    qdiscs = [{"kind": "clsact", "handle": "ffff:", "dev": name} for name in names]
    node = Node(**{"ip -j -d link show": links, "tc -j qdisc show": qdiscs})

    evidence = await node.evidence()

    assert not [line for line in node.asked if "filter" in line]
    assert all("could not be listed" in device.unseen[0] for device in evidence.namespaces[0].devices)
    assert all(device.name.isprintable() for device in evidence.namespaces[0].devices)


async def test_devices_beyond_what_is_asked_are_not_seen() -> None:
    names = [f"lxc{number}" for number in range(150)]
    answers: dict[str, Any] = {
        "ip -j -d link show": [{"ifindex": number, "ifname": name} for number, name in enumerate(names)],
        "tc -j qdisc show": [{"kind": "clsact", "handle": "ffff:", "dev": name} for name in names],
    }
    answers |= {f"tc -j filter show dev {name} {way}": [] for name in names for way in ("ingress", "egress")}
    node = Node(**answers)

    devices = (await node.evidence()).namespaces[0].devices

    assert len([line for line in node.asked if "filter" in line]) == tools.MOST_LISTINGS
    assert [bool(device.unseen) for device in devices] == [False] * 100 + [True] * 50


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"kind": "gact", "control_action": {"type": "drop"}, "prob": {"random_type": "none"}}, "gact drop"),
        ({"kind": "gact", "control_action": {"type": "drop"}, "prob": {"random_type": "netrand"}}, "gact drop/?"),
        # Both controls of police have one name, of which JSON keeps the last.
        ({"kind": "police", "control_action": {"type": "continue"}}, "police continue/?"),
        ({"kind": "mirred", "mirred_action": "mirror", "direction": "egress", "control_action": {"type": "pipe"}}, "mirred egress mirror pipe"),
    ],
)  # fmt: skip
async def test_an_action_that_may_say_two_things_is_not_taken_at_one_word(shown: dict[str, Any], said: str) -> None:
    listed = [{"protocol": "all", "pref": 1, "kind": "u32", "chain": 0, "options": {"fh": "800::800", "actions": [shown]}}]  # fmt: skip

    evidence = await Node(**{"tc -j filter show dev eth0 egress": listed}).evidence()

    (entry,) = evidence.namespaces[0].devices[0].egress or ()
    assert entry.actions == (said,)


async def test_without_tc_there_is_no_evidence() -> None:
    assert await tools.collect(Node(**{"tc -j qdisc show": None}).run) is None


async def test_tc_alone_tells_what_it_can() -> None:
    missing = {line: None for line in Node().answers if not line.startswith("tc ")}

    evidence = await Node(**missing).evidence()

    (device,) = evidence.namespaces[0].devices
    assert (device.name, device.tcx_seen, len(device.egress or ())) == ("eth0", False, 1)
    assert evidence.namespaces[0].host is False
    assert len(evidence.unseen) == 3


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "dev",
                    "handle",
                    "kind",
                    "ifname",
                    "options",
                    "prog",
                    "id",
                    "tc",
                    "devname",
                    "actions",
                    "type",
                    "flags",
                    "linkinfo",
                    "version",
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)


@given(st.lists(JSON, min_size=6, max_size=6))
async def test_whatever_the_tools_print_is_evidence_or_nothing(printed: list[Any]) -> None:
    answers = dict(zip([line for line in Node().answers if "-j" in line], map(json.dumps, printed), strict=False))

    found = await tools.collect(Node(**answers).run)

    assert found is None or found.collector == "tools"
