"""netkit on kernels that have it (6.7 and newer, CONFIG_NETKIT); on others there is nothing to test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.tc.evidence import Evidence
from tests.kernel.lab import OK, UNSPEC, Lab, ip
from tests.kernel.test_collector import device

if b"netkit_prog_attach" in Path("/proc/kallsyms").read_bytes():

    @pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
    def test_a_netkit_pair_is_listed_at_both_ends(lab: Lab, collect: Callable[..., Evidence]) -> None:
        node, pod = lab.namespace(), lab.namespace()
        ip("-n", node.name, "link", "add", "lxc1", "type", "netkit", "peer", "name", "eth0", "netns", pod.name)
        primary, peer = lab.returning(UNSPEC, "cil_to_containe"), lab.returning(OK, "cil_from_contai")
        node.netkit("lxc1", primary)
        node.netkit("lxc1", peer, peer=True)

        evidence = collect()

        host, inside = device(evidence, node, "lxc1"), device(evidence, pod, "eth0")
        assert [entry.program for entry in host.ingress or ()] == [peer.id]
        assert [entry.program for entry in host.egress or ()] == [primary.id]
        assert [entry.program for entry in inside.ingress or ()] == [primary.id]
        assert [entry.program for entry in inside.egress or ()] == [peer.id]
