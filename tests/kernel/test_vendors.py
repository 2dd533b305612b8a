"""Every vendor's kind of attachment, made for real and collected as it is: names, priority, handle, order, return code."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import pytest

from handlers.tc.evidence import Attachment, Evidence
from tests.kernel.lab import OK, UNSPEC, Lab
from tests.kernel.test_collector import device

pytestmark = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)


class Kind(NamedTuple):
    """How a vendor attaches: `pref` 0 where it lets the kernel choose, `None` for tcx."""

    program: str
    name: str
    pref: int | None
    handle: int
    code: int
    direction: str = "ingress"
    device: str = "lxc1"


KINDS = {
    "Cilium, classic": Kind("cil_from_container", "cil_from_container-lxc1", 1, 1, OK),
    "Cilium before 1.13": Kind("handle_xgress", "bpf_lxc.o:[from-container]", 1, 1, OK),
    "Cilium, tcx": Kind("cil_from_container", "", None, 0, OK),
    "Calico": Kind("cali_tc_preamble", "cali_tc_preamble", 0, 0, UNSPEC, device="cali1"),
    "AWS network policy agent": Kind("handle_ingress", "handle_ingress", 1, 1, OK, "egress", "eni1"),
    "Retina, classic": Kind("endpoint_ingress_filter", "endpoint_ingress_filter", 1, 1, UNSPEC),
    "Retina, tcx": Kind("endpoint_ingress_filter", "", None, 0, UNSPEC),
    "netobserv, classic": Kind("tc_ingress_flow_parse", "tc_ingress_flow_parse", 1, 1, OK),
    "netobserv, tcx": Kind("tcx_ingress_flow_parse", "", None, 0, UNSPEC),
    "Beyla, netlink": Kind("beyla_app_egress", "beyla_app_egress", 1, 0, UNSPEC, "egress"),
    "Beyla, tcx": Kind("beyla_app_egress", "", None, 0, UNSPEC, "egress"),
    "Merbridge": Kind("mb_tc_ingress", "mb_tc_ingress", 66, 0, OK),
}
"""After the sources that the vendor table names. What the tables leave open (a handle, a code) is one of those possible."""


@pytest.mark.parametrize("vendor", KINDS)
def test_a_vendors_attachment_is_collected_as_it_is(vendor: str, lab: Lab, collect: Callable[..., Evidence]) -> None:
    kind, node = KINDS[vendor], lab.namespace()
    node.veth(kind.device, "eth0", into=lab.namespace())
    own = f"classifier_{kind.direction}_security_classifier_{kind.direction}_{node.index(kind.device)}_{node.inode}_77"
    node.filter(kind.device, kind.direction, lab.returning(UNSPEC, f"classifier_{kind.direction}"), pref=10, name=own)
    program = lab.returning(kind.code, kind.program)
    if kind.pref is None:
        node.tcx(kind.device, kind.direction, program)
    else:
        node.filter(kind.device, kind.direction, program, pref=kind.pref, handle=kind.handle, name=kind.name)

    evidence = collect()

    found = device(evidence, node, kind.device)
    chain = found.ingress if kind.direction == "ingress" else found.egress
    assert chain is not None
    (entry,) = (each for each in chain if each.program == program.id)
    runs_first = kind.pref is None or 0 < kind.pref < 10
    assert [each.name == own for each in chain] == ([False, True] if runs_first else [True, False])
    assert entry.attachment is (Attachment.TCX if kind.pref is None else Attachment.FILTER)
    if kind.pref is not None:
        assert (entry.name, entry.pref, entry.handle) == (kind.name, kind.pref or 49152, kind.handle or 1)
    seen = evidence.program(program.id)
    assert seen is not None
    assert seen.name == kind.program[:15]
    assert struct.unpack("=i", seen.code()[4:8]) == (kind.code,)


def test_what_replaces_a_filter_takes_its_place(lab: Lab, collect: Callable[..., Evidence]) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    node.filter("eni1", "ingress", lab.returning(UNSPEC, "classifier_ingr"), pref=1, handle=1)
    vendors = lab.returning(OK, "handle_ingress")
    node.filter("eni1", "ingress", vendors, pref=1, handle=1, replace=True)

    (entry,) = device(collect(), node, "eni1").ingress or ()

    assert entry.program == vendors.id


def test_at_equal_priority_the_newest_runs_first(lab: Lab, collect: Callable[..., Evidence]) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    names = ["first", "second", "third"]
    for name in names:
        node.filter("eni1", "ingress", lab.returning(UNSPEC, name), pref=10)

    chain = device(collect(), node, "eni1").ingress or ()

    assert [entry.name for entry in chain] == names[::-1]


def test_filters_that_are_no_ebpf_are_listed_with_their_actions(lab: Lab, collect: Callable[..., Evidence]) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    match = ("match", "u32", "0", "0")
    mirror = ("action", "mirred", "egress", "mirror", "dev", "lo")
    node.plain_filter("eni1", "ingress", *match, *mirror, pref=3)
    node.plain_filter("eni1", "ingress", *match, "flowid", "1:1", pref=4)
    node.filter("eni1", "ingress", lab.returning(OK, "no_direct_actio"), pref=5, direct_action=False)

    chain = device(collect(), node, "eni1").ingress or ()

    assert [(entry.kind, entry.pref, entry.actions) for entry in chain] == [
        ("u32", 3, ("mirred egress mirror pipe",)),
        ("u32", 4, ()),
        ("bpf", 5, ()),
    ]
    assert [entry.direct_action for entry in chain] == [None, None, False]


def test_the_older_ingress_qdisc_is_told_from_clsact(lab: Lab, collect: Callable[..., Evidence]) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    node.tc("qdisc", "add", "dev", "eni1", "ingress")

    found = device(collect(), node, "eni1")

    assert (found.qdisc, found.clsact, found.ingress, found.egress) == ("ingress", False, (), ())


def test_filters_of_a_shared_block_are_those_of_its_devices(lab: Lab, collect: Callable[..., Evidence]) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    node.tc("qdisc", "add", "dev", "eni1", "ingress_block", "7", "clsact")
    redirect = ("action", "mirred", "egress", "redirect", "dev", "lo")
    node.tc("filter", "add", "block", "7", "pref", "3", "protocol", "all", "u32", "match", "u32", "0", "0", *redirect)

    found = device(collect(), node, "eni1")

    assert [(entry.pref, entry.actions) for entry in found.ingress or ()] == [(3, ("mirred egress redirect stolen",))]
    assert found.egress == ()
