"""netkit, as `linux:drivers/net/netkit.c` answers: for a kernel that has it, see tests/kernel."""

from __future__ import annotations

import errno
from typing import Any

from handlers.tc import collector


class Netkit:
    """A kernel with one netkit pair: device 2 is its primary, device 3 in another namespace its peer."""

    has_tcx: bool | None = None

    def attached(self, ifindex: int, kind: int) -> list[int]:
        if kind in collector.TCX.values():
            return [100 + ifindex] if kind == collector.TCX["ingress"] else []
        if ifindex == 3:
            raise OSError(errno.EACCES, "bpf")
        return {collector.NETKIT_PRIMARY: [7], collector.NETKIT_PEER: [8]}[kind]


def device(index: int, link: int) -> collector.Facts:
    made: collector.Facts = {"name": f"dev{index}", "index": index, "kind": "netkit", "link": link}
    assert collector.read_device(made, {}, None, Netkit())  # type: ignore[arg-type]
    return made


def programs(chain: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(entry["attachment"], entry["program"]) for entry in chain]


def test_both_devices_of_a_pair_list_its_programs_where_packets_meet_them() -> None:
    primary, peer = device(2, 3), device(3, 2)

    collector.pair_netkits([{"devices": [primary]}, {"devices": [peer]}])

    assert programs(primary["ingress"]) == [("netkit", 8), ("tcx", 102)]
    assert programs(primary["egress"]) == [("netkit", 7)]
    assert programs(peer["ingress"]) == [("netkit", 7), ("tcx", 103)]
    assert programs(peer["egress"]) == [("netkit", 8)]
    assert "unseen" not in peer


def test_a_peer_whose_primary_was_not_found_is_not_seen_whole() -> None:
    peer = device(3, 2)

    collector.pair_netkits([{"devices": [peer]}])

    assert peer["tcx_seen"] is False
    assert "primary" in peer["unseen"][0]


def test_a_peer_that_may_have_either_of_two_primaries_is_not_seen_whole() -> None:
    peer = device(3, 2)

    collector.pair_netkits([{"devices": [device(2, 3)]}, {"devices": [device(2, 3)]}, {"devices": [peer]}])

    assert peer["tcx_seen"] is False
    assert programs(peer["ingress"]) == [("tcx", 103)]
