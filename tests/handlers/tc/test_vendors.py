"""The vendor table: every row has a source, and is recognised as its vendor attaches it."""

from __future__ import annotations

import re

import pytest

from handlers.model import Verdict
from handlers.tc.effects import Effect, of_codes
from handlers.tc.evidence import Attachment, Entry, Program
from handlers.tc.vendors import DERIVED, VENDORS, Vendor, recognise
from tests.handlers.tc.nodes import OK, Node, device, judged

FILTER, TCX, NETKIT = Attachment.FILTER, Attachment.TCX, Attachment.NETKIT


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_row_says_where_it_is_from(vendor: Vendor) -> None:
    cited = re.search(r"[\w.-]+/[\w.-]+(?:[:#]|$)", vendor.source)

    assert cited or vendor.confidence == "low"
    assert vendor.confidence in {"high", "medium", "low"}
    assert vendor.knob or not vendor.names
    assert re.compile(vendor.names)


def test_what_is_built_on_another_row_names_it() -> None:
    assert set(DERIVED.values()) <= {vendor.name for vendor in VENDORS}


@pytest.mark.parametrize(
    ("attachment", "filter_name", "program_name", "vendor"),
    [
        (FILTER, "cil_from_container-lxc12ab", "cil_from_contai", "Cilium"),
        (FILTER, "bpf_lxc.o:[from-container]", "handle_xgress", "Cilium"),
        (FILTER, "bpf_netdev_eth0.100.o:[from-netdev]", "", "Cilium"),
        (FILTER, "bpf_host_cilium_net.o:[to-host]", "", "Cilium"),
        (FILTER, "cilium-eth0", "cil_from_netdev", "Cilium"),
        (TCX, "", "cil_from_netdev", "Cilium with tcx"),
        (NETKIT, "", "cil_from_contai", "Cilium with netkit"),
        (FILTER, "", "cali_tc_preambl", "Calico eBPF"),
        (FILTER, "calico_from_workload_ep", "calico_from_wor", "Calico eBPF"),
        (TCX, "", "cali_tc_preambl", "Calico eBPF"),
        (FILTER, "handle_ingress", "handle_ingress", "AWS network policy agent"),
        (FILTER, "endpoint_ingress_filter", "endpoint_ingres", "Retina packetparser"),
        (TCX, "", "endpoint_egress", "Retina packetparser"),
        (FILTER, "", "host_ingress_fi", "Retina packetparser"),
        (FILTER, "tc_ingress_flow_parse", "tc_ingress_flow", "netobserv-ebpf-agent"),
        (TCX, "", "tcx_egress_flow", "netobserv-ebpf-agent with tcx"),
        (TCX, "", "tcx_ingress_pca", "netobserv-ebpf-agent with tcx"),
        (FILTER, "", "tc_ingress_pca_", "netobserv-ebpf-agent"),
        (TCX, "", "beyla_app_egres", "Grafana Beyla / OBI"),
        (FILTER, "obi_app_ingress", "obi_app_ingress", "Grafana Beyla / OBI"),
        (FILTER, "mb_tc_ingress", "mb_tc_ingress", "Merbridge / Kuma eBPF"),
        (FILTER, "", "app_inbound", "Istio ambient (eBPF redirection)"),
        (FILTER, "my_classifier", "my_classifier", None),
        (TCX, "", "mb_tc_ingress", None),
    ],
)
def test_a_vendor_is_recognised_by_name_and_attachment(
    attachment: Attachment, filter_name: str, program_name: str, vendor: str | None
) -> None:
    entry = Entry(attachment=attachment, name=filter_name, pref=1, handle=1)
    found = recognise(entry, Program(id=1, name=program_name))

    assert (found.name if found else None) == vendor


def test_a_common_name_counts_only_where_its_vendor_attaches() -> None:
    elsewhere = Entry(attachment=FILTER, name="handle_ingress", pref=49152, handle=1)

    assert recognise(elsewhere, None) is None


def test_a_filter_that_is_no_ebpf_is_nobodys() -> None:
    assert recognise(Entry(attachment=FILTER, kind="u32", name="cil_from_container"), None) is None


@pytest.mark.parametrize(
    ("name", "tcx", "verdict"),
    [
        ("cil_from_netdev", True, Verdict.FAIL),
        ("bpf_netdev_eth0.o:[from-netdev]", False, Verdict.FAIL),
        ("handle_ingress", False, Verdict.FAIL),
        ("tc_ingress_flow_parse", False, Verdict.FAIL),
        ("mb_tc_ingress", False, Verdict.FAIL),
        ("app_inbound", False, Verdict.FAIL),
        ("tcx_ingress_flow", True, Verdict.WARN),
        ("endpoint_ingress_filter", False, Verdict.WARN),
        ("beyla_app_ingress", False, Verdict.WARN),
        ("cali_tc_preambl", False, Verdict.WARN),
        ("ptcpdump_ingress", False, Verdict.UNKNOWN),
        ("somebody", False, Verdict.UNKNOWN),
    ],
)
def test_where_instructions_are_hidden_each_row_stands_in_with_its_own_verdict(
    name: str, tcx: bool, verdict: Verdict
) -> None:
    node = Node()
    first = node.tcx(name, OK, hidden=True) if tcx else node.filter(name, OK, hidden=True)

    result = judged(node.evidence(device("eth0", [first, node.own("ingress")], [node.own("egress")])))

    assert result.verdict is verdict, result.reason


def test_the_tables_codes_have_the_effect_that_the_documentation_gives_them() -> None:
    effects = {vendor.name: of_codes(FILTER, vendor.codes) for vendor in VENDORS if vendor.codes is not None}

    assert effects["Cilium"] is effects["AWS network policy agent"] is effects["netobserv-ebpf-agent"] is Effect.ENDS
    assert effects["Calico eBPF"] is Effect.REDIRECTS
    assert effects["Retina packetparser"] is effects["Grafana Beyla / OBI"] is Effect.CONTINUES
