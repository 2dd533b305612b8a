"""The decision table, row by row, and what it does not have: on evidence as nodes give it."""

from __future__ import annotations

import pytest

from handlers.model import Severity, Verdict
from handlers.tc import instructions as ins
from handlers.tc.evidence import AgentSeen, Attachment, Entry, Namespace
from tests import bpf
from tests.bpf import EXIT, assemble, call, jump, mov
from tests.handlers.tc.nodes import OK, REDIRECT, SHOT, UNSPEC, Node, codes, device, judged, seen

PASS, WARN, FAIL, UNKNOWN, SKIPPED = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIPPED


@pytest.fixture
def node() -> Node:
    return Node()


# -- the rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["7.36.0", "7.38.2", "7.39.1"])
def test_row_0_an_agent_with_the_race_beside_priority_and_handle_1_is_critical(node: Node, version: str) -> None:
    chain = [node.filter("cil_from_container", OK), node.own("ingress", pref=1, handle=2)]
    result = judged(node.evidence(device("lxc1", chain, [node.own("egress", pref=1)]), agent=seen(version)))

    assert result.verdict is FAIL
    assert result.findings[0].code == "tc.race"
    assert result.findings[0].severity is Severity.CRITICAL


@pytest.mark.parametrize("version", ["7.39.2", "7.40.0", "7.70.1"])
def test_row_0_later_agents_do_not_have_the_race(node: Node, version: str) -> None:
    chain = [node.filter("endpoint_ingress_filter", UNSPEC), node.own("ingress")]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")]), agent=seen(version)))

    assert result.verdict is PASS


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"runtime_security.enabled": "false"}, "tc.disabled"),
        ({"network.enabled": "false"}, "tc.network_disabled"),
        ({"ebpfless.enabled": "true"}, "tc.ebpfless"),
    ],
)
def test_row_1_without_network_detections_there_is_nothing_to_judge(
    node: Node, settings: dict[str, str], code: str
) -> None:
    chain = [node.filter("cil_from_container", OK)]
    result = judged(node.evidence(device("lxc1", chain, []), agent=seen(settings=settings)))

    assert result.verdict is SKIPPED
    assert codes(result) == [code]


def test_row_2_without_anybody_else_all_is_well(node: Node) -> None:
    result = judged(node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")])))

    assert result.verdict is PASS
    assert "no other eBPF classifier" in result.reason


@pytest.mark.parametrize("priority", [1, 10, 60000])
def test_row_3_a_tcx_program_that_passes_blinds_at_any_priority(node: Node, priority: int) -> None:
    chain = [node.tcx("cil_from_netdev", OK, SHOT), node.own("ingress", pref=priority)]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress", pref=priority)])))

    assert result.verdict is FAIL
    assert codes(result) == ["tc.tcx_first"]
    remediation = result.findings[0].remediation
    assert remediation is not None
    assert "priority does not help" in remediation.summary
    assert not any("CLASSIFIER_PRIORITY" in step.snippet for step in remediation.steps)


def test_row_3_filters_that_cilium_removed_when_it_attached_with_tcx(node: Node) -> None:
    bare = device("lxc1", [node.tcx("cil_from_container", OK)], [node.own("egress")])
    result = judged(node.evidence(bare, device("eth0", [node.own("ingress")], [node.own("egress")])))

    assert result.verdict is FAIL
    assert set(codes(result)) == {"tc.tcx_first", "tc.removed"}


def test_row_4_a_tcx_program_that_goes_on_does_no_harm(node: Node) -> None:
    chain = [node.tcx("endpoint_ingress_filter", UNSPEC), node.own("ingress")]

    assert judged(node.evidence(device("eth0", chain, [node.own("egress")]))).verdict is PASS


@pytest.mark.parametrize("returned", [(UNSPEC,), (UNSPEC, SHOT), (3,), (5, UNSPEC)])
def test_row_5_a_filter_that_goes_on_does_no_harm(node: Node, returned: tuple[int, ...]) -> None:
    chain = [node.filter("endpoint_ingress_filter", *returned), node.own("ingress")]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert result.verdict is PASS
    assert "returns TC_ACT_UNSPEC" in result.reason


def test_row_5_its_redirected_packets_are_told(node: Node) -> None:
    chain = [node.filter("cali_tc_preambl", UNSPEC, SHOT, REDIRECT), node.own("ingress")]
    result = judged(node.evidence(device("cali1", chain, [node.own("egress")])))

    assert result.verdict is WARN
    assert codes(result) == ["tc.redirected"]


def test_row_5_the_same_priority_and_handle_leave_room_for_one(node: Node) -> None:
    taken = device("eth0", [node.filter("endpoint_ingress_filter", UNSPEC, pref=10, handle=1)], [node.own("egress")])
    result = judged(node.evidence(taken))

    assert result.verdict is FAIL
    assert codes(result) == ["tc.handle_taken"]
    assert result.findings[0].remediation is not None
    assert "RAW_CLASSIFIER_HANDLE" in result.findings[0].remediation.steps[0].snippet


@pytest.mark.parametrize("returned", [(OK,), (OK, UNSPEC), (REDIRECT,), (4, UNSPEC), (8, SHOT)])
def test_row_6_priority_1_blinds(node: Node, returned: tuple[int, ...]) -> None:
    chain = [node.filter("cil_from_container", *returned, pref=1), node.own("ingress")]
    result = judged(node.evidence(device("lxc1", chain, [node.own("egress")])))

    assert result.verdict is FAIL
    assert codes(result) == ["tc.priority_one"]
    assert "checklist: Cilium: priority 1" in result.findings[0].evidence[-1]


@pytest.mark.parametrize(("pref", "better"), [(2, 1), (5, 4), (10, 9)])
def test_row_7_priority_2_to_10_blinds_and_the_better_number_is_given(node: Node, pref: int, better: int) -> None:
    chain = [node.filter("vendor_in", OK, pref=pref, handle=5), node.own("ingress")]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert result.verdict is FAIL
    assert codes(result) == ["tc.priority_low"]
    remediation = result.findings[0].remediation
    assert remediation is not None
    assert f"the priority {better}" in remediation.summary
    assert f'DD_EVENT_MONITORING_CONFIG_NETWORK_CLASSIFIER_PRIORITY: "{better}"' in remediation.steps[0].snippet


def test_row_7_an_equal_priority_that_runs_second_is_luck(node: Node) -> None:
    chain = [node.own("ingress"), node.filter("vendor_in", OK, pref=10, handle=5)]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert result.verdict is WARN
    assert codes(result) == ["tc.priority_equal"]


@pytest.mark.parametrize("pref", [2, 10])
def test_row_8_a_smaller_priority_of_the_agent_sees(node: Node, pref: int) -> None:
    chain = [node.own("ingress", pref=pref - 1), node.filter("vendor_in", OK, pref=pref)]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress", pref=pref - 1)])))

    assert result.verdict is PASS
    assert "priority 2 to 10" in result.reason


@pytest.mark.parametrize("pref", [11, 66, 49152])
def test_row_9_priority_11_and_more_comes_after_the_default(node: Node, pref: int) -> None:
    chain = [node.own("ingress"), node.filter("vendor_in", OK, pref=pref)]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert result.verdict is PASS
    assert "priority 11 or higher" in result.reason


@pytest.mark.parametrize(("setting", "pref"), [("50", 50), ("0", 50), ("49200", 49200)])
def test_row_10_a_raised_priority_of_the_agent_blinds(node: Node, setting: str, pref: int) -> None:
    chain = [node.filter("vendor_in", OK, pref=20), node.own("ingress", pref=pref)]
    agent = seen(settings={"network.classifier_priority": setting})
    result = judged(node.evidence(device("eth0", chain, [node.own("egress", pref=pref)]), agent=agent))

    assert result.verdict is FAIL
    assert codes(result) == ["tc.priority_raised"]
    assert result.findings[0].remediation is not None
    assert "the priority 10" in result.findings[0].remediation.summary


def test_row_11_an_unknown_return_code_is_unknown_and_assumed_to_end(node: Node) -> None:
    chain = [node.filter("vendor_in", OK, pref=5, hidden=True), node.own("ingress")]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert result.verdict is UNKNOWN
    assert codes(result) == ["tc.cannot_tell"]
    assert result.findings[0].remediation is not None
    assert "assume that they end it" in result.findings[0].remediation.summary


@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("cil_from_container", FAIL, "tc.priority_one"),
        ("endpoint_ingress_filter", WARN, "tc.by_table"),
        ("cali_tc_preambl", WARN, "tc.redirected"),
        ("mb_tc_ingress", FAIL, "tc.priority_one"),
        ("ptcpdump_ingress", UNKNOWN, "tc.cannot_tell"),
    ],
)
def test_row_11_the_vendor_table_stands_in_and_says_so(node: Node, name: str, verdict: Verdict, code: str) -> None:
    chain = [node.filter(name, OK, hidden=True), node.own("ingress")]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert (result.verdict, codes(result)) == (verdict, [code])
    if code != "tc.cannot_tell":
        assert "by the vendor table" in result.findings[0].evidence[0]


def test_row_12_filters_that_are_missing_on_one_device(node: Node) -> None:
    result = judged(
        node.evidence(
            device("eth0", [node.own("ingress")], [node.own("egress")]), device("eth1", [], [node.own("egress")])
        )
    )

    assert result.verdict is WARN
    assert codes(result) == ["tc.missing"]
    assert "eth1" in result.reason


def test_row_12_filters_that_are_nowhere(node: Node) -> None:
    result = judged(node.evidence(device("eth0", [], [])))

    assert result.verdict is WARN
    assert codes(result) == ["tc.not_attached"]


# -- what the table does not have ------------------------------------------------------------------------------


def test_an_agent_without_filters_is_judged_by_the_priority_of_its_settings(node: Node) -> None:
    chain = [node.filter("vendor_in", OK, pref=7, handle=3)]
    before = judged(node.evidence(device("eth0", chain, [])))
    after = judged(node.evidence(device("eth0", chain, []), agent=seen(settings={"network.classifier_priority": "3"})))

    assert codes(before) == ["tc.priority_low", "tc.not_attached"]
    assert codes(after) == ["tc.not_attached"]


def test_the_chain_goes_by_priority_whatever_order_it_is_listed_in(node: Node) -> None:
    chain = [node.own("ingress"), node.filter("cil_from_container", OK, pref=1)]

    assert codes(judged(node.evidence(device("lxc1", chain, [node.own("egress")])))) == ["tc.priority_one"]


def test_what_runs_after_the_agent_does_no_harm_whatever_it_is(node: Node) -> None:
    after = [
        node.filter("vendor_in", OK, pref=11, hidden=True),
        Entry(attachment=Attachment.FILTER, kind="matchall", pref=12),
    ]

    assert judged(node.evidence(device("eth0", [node.own("ingress"), *after], [node.own("egress")]))).verdict is PASS


@pytest.mark.parametrize(
    ("kind", "actions", "verdict"),
    [
        ("flower", ("gact ok",), WARN),
        ("u32", ("mirred egress redirect stolen",), WARN),
        ("matchall", ("mirred egress mirror pipe",), FAIL),
        ("matchall", (), FAIL),
        ("matchall", ("gact continue",), PASS),
        ("flower", ("gact drop",), PASS),
        ("flower", ("mirred egress mirror pipe", "gact drop"), PASS),
        ("matchall", ("skbedit pipe", "gact continue"), PASS),
        ("matchall", ("police drop/continue",), PASS),
        ("matchall", ("police drop/pipe",), FAIL),
        ("matchall", ("police drop/ok",), FAIL),
        ("matchall", ("police continue/ok",), FAIL),
        ("flower", ("gact drop/ok",), WARN),
        ("flower", ("mirred egress redirect stolen", "gact continue"), WARN),
        ("flower", ("gact ok", "gact continue"), WARN),
        ("flower", ("bpf continue",), WARN),
        ("flower", ("gact goto chain 7",), WARN),
    ],
)
def test_other_filters_take_part_in_the_chain(
    node: Node, kind: str, actions: tuple[str, ...], verdict: Verdict
) -> None:
    other = Entry(attachment=Attachment.FILTER, kind=kind, pref=3, handle=1, protocol=3, actions=actions)

    assert judged(node.evidence(device("eth0", [other, node.own("ingress")], [node.own("egress")]))).verdict is verdict


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"protocol": 0x0806}, PASS),
        ({"protocol": 0x0800}, FAIL),
        ({"chain": 5}, PASS),
        ({"skip_sw": True}, PASS),
        ({"direct_action": False, "actions": ("gact continue",)}, PASS),
        ({"direct_action": False}, PASS),
    ],
)
def test_a_filter_counts_for_the_packets_that_come_by_it(node: Node, more: dict[str, object], verdict: Verdict) -> None:
    chain = [node.filter("vendor_in", OK, pref=3, **more), node.own("ingress")]

    assert judged(node.evidence(device("eth0", chain, [node.own("egress")]))).verdict is verdict


def test_a_filter_that_gives_a_class_ends_the_chain_when_it_matches(node: Node) -> None:
    chain = [node.filter("vendor_in", 1, pref=3, direct_action=False), node.own("ingress")]

    assert judged(node.evidence(device("eth0", chain, [node.own("egress")]))).verdict is FAIL


def test_an_error_number_is_a_class_and_so_a_match(node: Node) -> None:
    ops = [call(26), jump(ins.JSLT, 0, 0, 1), mov(0, 0), EXIT]
    chain = [node.filter("vendor_in", OK, pref=3, direct_action=False), node.own("ingress")]
    node.programs[1] = bpf.program(1, assemble(ops))

    result = judged(node.evidence(device("eth0", chain, [node.own("egress")])))

    assert codes(result) == ["tc.matching_filter"]


def test_a_program_that_only_bears_the_agents_name_is_not_the_agents(node: Node) -> None:
    forged = node.filter("classifier_ingress_security_classifier_ingress_6_4026531840_1", OK, pref=5)
    result = judged(node.evidence(device("eth0", [forged, node.own("ingress")], [node.own("egress")])))

    assert result.verdict is FAIL
    assert codes(result) == ["tc.priority_low"]


def test_a_netkit_program_is_told_whatever_it_returns(node: Node) -> None:
    passing = [node.tcx("cil_to_container", OK, attachment=Attachment.NETKIT), node.own("ingress")]
    redirecting = [node.tcx("cil_to_container", REDIRECT, attachment=Attachment.NETKIT), node.own("ingress")]
    behind = [node.own("egress"), node.tcx("cil_to_container", REDIRECT, attachment=Attachment.NETKIT)]

    assert codes(judged(node.evidence(device("nk0", passing, [node.own("egress")])))) == ["tc.netkit"]
    assert codes(judged(node.evidence(device("nk0", redirecting, [node.own("egress")])))) == ["tc.tcx_first"]
    assert judged(node.evidence(device("nk0", [node.own("ingress")], behind))).verdict is PASS


def test_devices_that_the_agent_leaves_alone_are_not_missed(node: Node) -> None:
    others = [device("lo", [], []), device("dummy0", [], []), device("down0", [], [], up=False)]

    assert judged(node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")]), *others)).verdict is PASS


def test_ingress_that_is_switched_off_is_not_missed(node: Node) -> None:
    agent = seen(settings={"network.ingress.enabled": "false"})
    chain = [node.filter("cil_from_container", OK)]

    assert judged(node.evidence(device("lxc1", chain, [node.own("egress")]), agent=agent)).verdict is PASS


def test_settings_that_are_not_in_force_yet_are_told(node: Node) -> None:
    agent = seen(settings={"network.classifier_priority": "3"})
    result = judged(node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")]), agent=agent))

    assert (result.verdict, codes(result)) == (WARN, ["tc.not_applied"])


def test_one_device_unlike_its_many_siblings_stands_out(node: Node) -> None:
    alike = [device(f"lxc{number}", [node.own("ingress")], [node.own("egress")]) for number in range(40)]
    result = judged(node.evidence(*alike, device("lxc77", [], [node.own("egress")])))

    assert set(codes(result)) == {"tc.missing", "tc.odd_device"}
    odd = next(finding for finding in result.findings if finding.code == "tc.odd_device")
    assert "lxc77" in odd.summary
    assert [(table.count, table.verdict) for table in result.tables] == [(1, WARN), (40, PASS)]


def test_a_filter_for_raw_packets_is_no_replacement_for_the_classifier(node: Node) -> None:
    # As the AWS network policy agent leaves it, which detaches the first filter with handle 1.
    left = [node.own("ingress", handle=2, raw=True)]
    whole = [node.own("egress", handle=2, raw=True), node.own("egress")]
    result = judged(node.evidence(device("eni1", left, whole)))

    assert codes(result) == ["tc.missing"]
    assert "only its filter for raw packets is there" in result.findings[0].evidence[0]


def test_a_device_that_lost_one_of_its_two_filters_is_unlike_its_siblings(node: Node) -> None:
    def chain(direction: str) -> list[Entry]:
        return [node.own(direction, handle=2, raw=True), node.own(direction)]

    alike = [device(f"eni{number}", chain("ingress"), chain("egress")) for number in range(10)]
    result = judged(node.evidence(*alike, device("eni77", chain("ingress"), [node.own("egress")])))

    assert codes(result) == ["tc.odd_device"]
    assert "eni77" in result.findings[0].summary
    assert result.findings[0].evidence[0] != result.findings[0].evidence[1]


def test_many_devices_are_few_tables(node: Node) -> None:
    alike = [
        device(f"lxc{number:x}", [node.filter(f"cil_from_container-lxc{number:x}", OK), node.own("ingress")], [node.own("egress")])
        for number in range(300)
    ]  # fmt: skip
    result = judged(node.evidence(*alike))

    assert [table.count for table in result.tables] == [300]
    assert "and 299 more" in result.findings[0].evidence[0]
    assert len(result.model_dump_json(exclude={"document"})) < 10_000


def test_the_clusters_own_word_on_its_network_plugin_stands_by_the_finding(node: Node) -> None:
    chain = [node.filter("cil_from_container", OK), node.own("ingress")]
    cluster = {
        "namespace": "kube-system",
        "daemon_sets": [{"name": "cilium", "images": ["quay.example/cilium:v1.15.3"]}, {"name": "kube-proxy"}],
        "cilium": {"enable-tcx": "false"},
    }
    result = judged(node.evidence(device("lxc1", chain, [node.own("egress")]), cluster=cluster))

    assert result.findings[0].evidence[-2:] == (
        "DaemonSet cilium: quay.example/cilium:v1.15.3",
        "cilium-config: enable-tcx: false",
    )


# -- what was not seen -----------------------------------------------------------------------------------------


def test_nothing_at_all_is_unknown(node: Node) -> None:
    for namespaces in ((), (Namespace(inode=1),), (Namespace(inode=1, host=True),)):
        result = judged(node.evidence(namespaces=namespaces))
        assert result.verdict is UNKNOWN
        assert "tc.nothing_seen" in codes(result)


def test_a_chain_that_could_not_be_listed_is_unknown(node: Node) -> None:
    assert judged(node.evidence(device("eth0", None, [node.own("egress")]))).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("kernel", "tcx", "verdict"),
    [("5.15.0", None, PASS), ("6.6.0", None, UNKNOWN), ("", None, UNKNOWN), ("6.8.0", False, PASS)],
)
def test_tcx_that_could_not_be_listed_is_unknown_where_the_kernel_has_it(node: Node, kernel: str, tcx: bool | None, verdict: Verdict) -> None:  # fmt: skip
    one = device("eth0", [node.own("ingress")], [node.own("egress")], tcx_seen=None)

    assert judged(node.evidence(one, kernel=kernel, tcx=tcx)).verdict is verdict


def test_what_the_collector_could_not_see_is_unknown_and_said(node: Node) -> None:
    result = judged(
        node.evidence(
            device("eth0", [node.own("ingress")], [node.own("egress")]), unseen=("no rights to enter 3 namespaces",)
        )
    )

    assert (result.verdict, codes(result)) == (UNKNOWN, ["tc.unseen"])
    assert "no rights" in result.reason


def test_settings_that_could_not_be_read_are_unknown_unless_filters_prove_them(node: Node) -> None:
    blind = AgentSeen(version="7.70.1", running={"system-probe": 4321}, settings_seen=False)
    without = judged(node.evidence(device("eth0", [], []), agent=blind))
    proven = judged(node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")]), agent=blind))

    assert without.verdict is UNKNOWN
    assert "tc.settings_unseen" in codes(without)
    assert proven.verdict is PASS


def test_filters_outlive_the_process_that_attached_them(node: Node) -> None:
    gone = seen().model_copy(update={"running": {"agent": 1}})
    result = judged(node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")]), agent=gone))

    assert (result.verdict, codes(result)) == (UNKNOWN, ["tc.settings_unseen"])
    assert "whether system-probe is running" in result.reason


def test_a_clsact_qdisc_that_somebody_deleted_is_told(node: Node) -> None:
    bare = device("eth1", [], [], clsact=False, qdisc="")
    result = judged(node.evidence(device("eth0", [node.own("ingress")], [node.own("egress")]), bare))

    assert codes(result) == ["tc.missing"]
    assert "clsact" in result.findings[0].evidence[0]


def test_a_version_that_is_not_known_cannot_rule_the_race_out(node: Node) -> None:
    chain = [node.filter("endpoint_ingress_filter", UNSPEC, pref=1), node.own("ingress", pref=1, handle=2)]
    result = judged(node.evidence(device("eth0", chain, [node.own("egress", pref=1)]), agent=seen(None)))

    assert (result.verdict, codes(result)) == (UNKNOWN, ["tc.version_unseen"])
