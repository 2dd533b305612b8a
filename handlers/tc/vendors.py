"""
Table of other vendors that attach classifiers, with a source for every row.

The table names the vendor of an entry, says how to change its priority and what that puts at risk, and gives the return
codes where a program's instructions do not show them. Sources are `repository:path@commit`, pull requests and issues;
rows that rest on general knowledge say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from handlers.tc.evidence import Attachment, Entry, Program

_OK, _SHOT, _REDIRECT, _UNSPEC = 0, 2, 7, -1
_FILTER, _TCX, _NETKIT = Attachment.FILTER, Attachment.TCX, Attachment.NETKIT


@dataclass(frozen=True, slots=True)
class Vendor:
    """One row of the table."""

    name: str
    names: str
    """Regular expression for the full name of the filter or program; empty: not recognisable, or attaches nothing."""
    attachments: frozenset[Attachment] = frozenset((_FILTER,))
    versions: str = "all"
    pref: int | None = None
    """The usual priority."""
    handle: int | None = None
    only_at: bool = False
    """Whether the name is so common that it counts only with this priority and handle."""
    codes: frozenset[int] | None = None
    """What its programs can return, according to its source; `None` where that was not read."""
    knob: str = ""
    """How to change its priority, or what to change instead."""
    danger: str = ""
    races: str = ""
    source: str = ""
    confidence: str = "high"


CILIUM_TCX = Vendor(
    "Cilium with tcx",
    r"cil_.*",
    frozenset((_TCX,)),
    "1.16 and newer by default, where the kernel is 6.6 or newer",
    codes=frozenset((_OK, _SHOT, _REDIRECT)),
    knob="set Cilium's Helm value bpf.enableTCX to false (enable-tcx in cilium-config) and its bpf-filter-priority above the Agent's",
    danger="Restart of every Cilium agent; a changed bpf-filter-priority left old filters behind and nodes NotReady in 1.14.15 and 1.16.2 (cilium/cilium#36172).",
    races="After attaching with tcx, Cilium deletes all classic filters of that device and direction, not only its own.",
    source="cilium/cilium:pkg/datapath/loader/tcx.go@d837218b, pkg/datapath/loader/tc.go@4c1eded1, cilium/cilium#30103",
)

VENDORS: tuple[Vendor, ...] = (
    Vendor(
        "Cilium",
        # Older versions also put the device into the object's name: `bpf_netdev_eth0.o:[from-netdev]`.
        r"cil_.*|bpf_(?:lxc|host|netdev|overlay|network|sock)(?:_[^:]*?)?(?:\.o)?(?::.*)?|cilium[-_].*",
        versions="up to 1.15; newer with enable-tcx=false or a kernel before 6.6",
        pref=1,
        handle=1,
        codes=frozenset((_OK, _SHOT, _REDIRECT)),
        knob="raise Cilium's bpf-filter-priority in cilium-config above the Agent's classifier_priority, and restart its agents",
        danger="On a live cluster the old filters stay beside the new ones; nodes became NotReady with 1.14.15 and 1.16.2 (cilium/cilium#36172). Try it on one drained node first.",
        races="With an Agent of 7.36 to 7.39.1, new pods may lose their connections (DataDog/datadog-agent#13692).",
        source="cilium/cilium:pkg/datapath/loader/tc.go@4c1eded1, cilium/cilium#18344, cilium/cilium#18896, cilium/cilium#24336, cilium/cilium#36172",
    ),
    CILIUM_TCX,
    Vendor(
        "Cilium with netkit",
        r"cil_.*",
        frozenset((_NETKIT,)),
        "with netkit devices, on kernel 6.7 or newer",
        codes=frozenset((_OK, _SHOT, _REDIRECT)),
        knob="go back to veth devices (bpf.datapathMode=veth), with enableTCX false and bpf-filter-priority above the Agent's",
        danger="All pods get new devices.",
        source="cilium/cilium:pkg/datapath/loader/tc.go@4c1eded1 (a comment)",
        confidence="medium",
    ),
    Vendor(
        "Calico eBPF",
        r"cali_tc_.*|calico_(?:from|to)_.*",
        frozenset((_FILTER, _TCX)),
        pref=49152,
        codes=frozenset((_UNSPEC, _SHOT, _REDIRECT)),
        knob="none is needed while the Agent's classifier_priority stays below Calico's 49152",
        races="Packets that take its forwarding path are redirected, and go no further in the chain.",
        source="projectcalico/calico:felix/bpf/tc/attach.go@00ab6487, felix/bpf-gpl/tc.c",
    ),
    Vendor(
        "AWS network policy agent",
        r"handle_(?:in|e)gress",
        pref=1,
        handle=1,
        only_at=True,
        codes=frozenset((_OK, _SHOT)),
        knob="there is none: its priority 1 is fixed (aws/aws-network-policy-agent#480 asks for one); turn network policies off in the VPC CNI, or accept it",
        danger="Without it, network policies are not enforced.",
        races="When it detaches, it removes the first filter whose handle is 1, whatever its priority: give the Agent handles of its own.",
        source="aws/aws-ebpf-sdk-go:pkg/tc/tc.go@1489ba73, aws/aws-network-policy-agent#480",
    ),
    Vendor(
        "Retina packetparser",
        r"endpoint_(?:ingres|egress).*|host_(?:in|e)gress_fi.*",
        frozenset((_FILTER, _TCX)),
        pref=1,
        codes=frozenset((_UNSPEC,)),
        knob="none is needed: its programs let the chain go on",
        source="microsoft/retina:pkg/plugin/packetparser",
    ),
    Vendor(
        "netobserv-ebpf-agent",
        r"tc_(?:in|e)gress_(?:flo|pc).*",
        versions="with TC_ATTACH_MODE=tc, before tcx was its default, and on a kernel before 6.6",
        pref=1,
        handle=1,
        codes=frozenset((_OK,)),
        knob="set its TC_ATTACH_MODE to tcx (kernel 6.6 or newer), where its programs let the chain go on; its priority 1 is fixed, so otherwise attach it to fewer devices (INTERFACES, EXCLUDE_INTERFACES)",
        danger="Flows of the devices that are left out are not observed.",
        races="It deletes an existing filter of the same priority and handle.",
        source="netobserv/netobserv-ebpf-agent:bpf/flows.c, bpf/pca.h, pkg/tracer/tracer.go, pkg/config/config.go",
    ),
    Vendor(
        "netobserv-ebpf-agent with tcx",
        r"tcx_(?:in|e)gress_(?:flo|pc).*",
        frozenset((_TCX,)),
        "with tcx, on kernel 6.6 or newer",
        codes=frozenset((_UNSPEC,)),
        knob="none is needed: its programs let the chain go on",
        source="netobserv/netobserv-ebpf-agent:bpf/flows.c, bpf/pca.h (return TCX_NEXT)",
    ),
    Vendor(
        "Grafana Beyla / OBI",
        r"(?:beyla|obi)_.*",
        frozenset((_FILTER, _TCX)),
        pref=1,
        codes=frozenset((_UNSPEC,)),
        knob="none is needed: its programs let the chain go on",
        source="grafana/beyla:bpf (tc_ingress, tc_egress; priority by its documentation)",
        confidence="medium",
    ),
    Vendor(
        "Merbridge / Kuma eBPF",
        r"mb_tc_(?:in|e)gress",
        pref=66,
        codes=frozenset((_OK, _SHOT)),
        knob="keep the Agent's classifier_priority below its 66",
        races="On clean-up it deletes the clsact qdisc if it created it, and the Agent's filters with it.",
        source="merbridge/merbridge:bpf/mb_tc.c",
        confidence="medium",
    ),
    Vendor(
        "Istio ambient (eBPF redirection)",
        r"app_(?:in|out)bound|ztunnel_(?:host_)?ingress",
        versions="the early, experimental redirection",
        codes=frozenset((_OK, _REDIRECT)),
        knob="use the in-pod redirection that replaced it",
        source="istio/istio:cni/pkg/ebpf (removed since)",
        confidence="medium",
    ),
    Vendor("Elastic Defend", "", races="Reloading it removes existing tc filters.", source="elastic/endpoint#102", confidence="medium"),
    Vendor(
        "ptcpdump",
        r"ptcpdump.*",
        versions="since #113; it returned OK before",
        codes=None,
        knob="stop it when the capture is done",
        source="mozillazg/ptcpdump#113",
        confidence="medium",
    ),
    Vendor("Inspektor Gadget, Kubeshark", "", source="not read: some gadgets and capture modes may use tc", confidence="low"),
)  # fmt: skip
"""Vendors that attach classifiers or may do so."""

DERIVED = {
    "GKE Dataplane V2": "Cilium",
    "Azure CNI powered by Cilium": "Cilium",
    "Alibaba Terway (eBPF)": "Cilium",
}
"""Products built on another row and recognised as it (Azure: cilium/cilium#36172; the others by general knowledge)."""
WITHOUT = (
    "AWS VPC CNI without network policies",
    "Calico with iptables or nftables",
    "Flannel",
    "Weave",
    "Kube-OVN",
    "Antrea",
    "kindnet",
    "Tetragon",
    "Hubble",
    "Falco",
    "Pixie",
    "Coroot",
    "DeepFlow",
)
"""Products that attach no classifier by default (general knowledge; Calico and AWS: their sources)."""

_PATTERNS = [(vendor, re.compile(vendor.names)) for vendor in VENDORS if vendor.names]


def recognise(entry: Entry, program: Program | None) -> Vendor | None:
    """Return the vendor of an entry, by name and attachment; `None`: not recognised. A name is a claim, not a proof."""
    if entry.kind != "bpf":
        return None
    said = [name for name in (entry.name, program.name if program else "") if name]
    return next((vendor for vendor, pattern in _PATTERNS if _fits(vendor, pattern, entry, said)), None)


def _fits(vendor: Vendor, pattern: re.Pattern[str], entry: Entry, said: list[str]) -> bool:
    if entry.attachment not in vendor.attachments or not any(map(pattern.fullmatch, said)):
        return False
    return not vendor.only_at or (entry.pref == vendor.pref and entry.handle in {vendor.handle, None})
