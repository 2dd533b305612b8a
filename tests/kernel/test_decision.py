"""
The decision table on a real kernel: programs of each vendor's kind, attached, collected through the host's executor, judged.

The laboratory's namespace stands for the host's, and the Agent's settings are given; everything else is as the kernel has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.runtime.clock import SystemClock
from handlers.executors.host import HostExecutor
from handlers.executors.settings import HostSettings
from handlers.model import AgentResult, Installation, Verdict
from handlers.tc.collect import collect
from handlers.tc.result import result_of
from tests.handlers.tc.nodes import agent, codes, seen
from tests.kernel.lab import OK, UNSPEC, Lab, Netns

pytestmark = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)
PASS, WARN, FAIL, UNKNOWN, SKIPPED = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIPPED
SHOT = 2

Build = Callable[[Lab, Netns], None]


def own(lab: Lab, node: Netns, direction: str, *, pref: int = 10, handle: int = 1, device: str = "eni1") -> None:
    """The Agent's filter, named as it names them."""
    name = f"classifier_{direction}_security_classifier_{direction}_{node.index(device)}_{node.inode}_4321"
    node.filter(
        device, direction, lab.returning(UNSPEC, f"classifier_{direction}"[:15]), pref=pref, handle=handle, name=name
    )


def both(lab: Lab, node: Netns, *, pref: int = 10, handle: int = 1) -> None:
    own(lab, node, "ingress", pref=pref, handle=handle)
    own(lab, node, "egress", pref=pref, handle=handle)


def vendor(name: str, code: int, *, pref: int, handle: int = 1, agents: int = 10, agents_handle: int = 1) -> Build:
    def build(lab: Lab, node: Netns) -> None:
        node.filter("eni1", "ingress", lab.returning(code, name[:15]), pref=pref, handle=handle, name=name)
        both(lab, node, pref=agents, handle=agents_handle)

    return build


def source(name: str, text: str, *, pref: int = 1) -> Build:
    def build(lab: Lab, node: Netns) -> None:
        program = lab.compiled(f'SEC("tc") int {name}(struct __sk_buff *skb) {{ {text} }}', name)
        node.filter("eni1", "ingress", program, pref=pref, handle=1, name=name)
        both(lab, node)

    return build


def cilium_tcx(lab: Lab, node: Netns) -> None:
    both(lab, node)
    node.tcx("eni1", "ingress", lab.returning(OK, "cil_from_contai"))


def cilium_tcx_that_removed(lab: Lab, node: Netns) -> None:
    own(lab, node, "egress")
    node.tcx("eni1", "ingress", lab.returning(OK, "cil_from_contai"))


def retina_tcx(lab: Lab, node: Netns) -> None:
    both(lab, node)
    node.tcx("eni1", "ingress", lab.returning(UNSPEC, "endpoint_ingres"))


def redirecting(lab: Lab, node: Netns) -> None:
    node.filter("eni1", "ingress", lab.redirecting("cil_from_contai"), pref=1, handle=1)
    both(lab, node)


def tail_calling(lab: Lab, node: Netns) -> None:
    array = lab.program_array({1: lab.returning(OK, "cil_tail")})
    node.filter("eni1", "ingress", lab.tail_calling(array, 1, UNSPEC, "cil_from_contai"), pref=1, handle=1)
    both(lab, node)


def equal_and_newer(lab: Lab, node: Netns) -> None:
    both(lab, node)
    node.filter("eni1", "ingress", lab.returning(OK, "vendor_in"), pref=10, handle=7)


def equal_and_older(lab: Lab, node: Netns) -> None:
    node.filter("eni1", "ingress", lab.returning(OK, "vendor_in"), pref=10, handle=7)
    both(lab, node)


def replaced(lab: Lab, node: Netns) -> None:
    both(lab, node)
    node.filter("eni1", "ingress", lab.returning(OK, "handle_ingress"), pref=10, handle=1, replace=True)


def u32_redirect(lab: Lab, node: Netns) -> None:
    node.plain_filter("eni1", "ingress", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "lo", pref=5)  # fmt: skip
    both(lab, node)


def u32(*action: str) -> Build:
    def build(lab: Lab, node: Netns) -> None:
        node.plain_filter("eni1", "ingress", "match", "u32", "0", "0", "action", "mirred", "egress", *action, pref=5)
        both(lab, node)

    return build


def of_another_chain(lab: Lab, node: Netns) -> None:
    node.filter("eni1", "ingress", lab.returning(OK, "vendor_in"), pref=1, chain=7)
    both(lab, node)


def chain_that_is_run(lab: Lab, node: Netns) -> None:
    u32("mirror", "dev", "lo", "goto", "chain", "7")(lab, node)
    node.filter("eni1", "ingress", lab.returning(OK, "vendor_in"), pref=1, chain=7)


def shared_block(lab: Lab, node: Netns) -> None:
    node.tc("qdisc", "add", "dev", "eni1", "ingress_block", "22", "clsact")
    node.tc("filter", "add", "block", "22", "pref", "5", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "lo")  # fmt: skip
    own(lab, node, "egress")


def nobody(lab: Lab, node: Netns) -> None:
    both(lab, node)


def no_filters(_lab: Lab, node: Netns) -> None:
    node.clsact("eni1")


ROWS: Mapping[str, tuple[Build, dict[str, Any], Verdict, list[str]]] = {
    "0 race": (vendor("cil_from_container", OK, pref=1, agents=1, agents_handle=2), {"version": "7.39.1"}, FAIL, ["tc.priority_equal", "tc.race"]),
    "0 after the race": (vendor("endpoint_ingress_filter", UNSPEC, pref=1), {"version": "7.39.2"}, PASS, []),
    "1 disabled": (no_filters, {"settings": {"network.enabled": "false"}}, SKIPPED, ["tc.network_disabled"]),
    "2 nobody": (nobody, {}, PASS, []),
    "3 tcx that passes": (cilium_tcx, {}, FAIL, ["tc.tcx_first"]),
    "3 tcx that removed filters": (cilium_tcx_that_removed, {}, FAIL, ["tc.removed", "tc.tcx_first"]),
    "4 tcx that goes on": (retina_tcx, {}, PASS, []),
    "5 unspec": (vendor("endpoint_ingress_filter", UNSPEC, pref=1), {}, PASS, []),
    "5 drops": (source("calico_from_wl", "return skb->len > 9000 ? 2 : -1;"), {}, PASS, []),
    "5 redirects some": (source("cali_tc_preambl", "return skb->len > 100 ? bpf_redirect(1, 0) : -1;"), {}, WARN, ["tc.redirected"]),
    "5 same priority and handle": (replaced, {}, FAIL, ["tc.handle_taken", "tc.priority_low"]),
    "6 priority 1": (vendor("handle_ingress", OK, pref=1), {}, FAIL, ["tc.priority_one"]),
    "6 priority 1, redirects all": (redirecting, {}, FAIL, ["tc.priority_one"]),
    "6 priority 1, by a tail call": (tail_calling, {}, FAIL, ["tc.priority_one"]),
    "7 priority 2": (vendor("vendor_in", OK, pref=2), {}, FAIL, ["tc.priority_low"]),
    "7 priority 10, attached later": (equal_and_newer, {}, FAIL, ["tc.priority_low"]),
    "7 priority 10, attached before": (equal_and_older, {}, WARN, ["tc.priority_equal"]),
    "8 priority 2, the Agent at 1": (vendor("vendor_in", OK, pref=2, agents=1), {}, PASS, []),
    "9 priority 11": (vendor("vendor_in", OK, pref=11), {}, PASS, []),
    "9 priority 66": (vendor("mb_tc_ingress", OK, pref=66), {}, PASS, []),
    "10 raised": (vendor("vendor_in", OK, pref=20, agents=50), {"settings": {"network.classifier_priority": "0"}}, FAIL, ["tc.priority_raised"]),
    "11 cannot be told": (source("vendor_in", "return bpf_get_prandom_u32();", pref=5), {}, UNKNOWN, ["tc.cannot_tell"]),
    "12 missing everywhere": (no_filters, {}, WARN, ["tc.not_attached"]),
    "other filters": (u32_redirect, {}, WARN, ["tc.matching_filter"]),
    "other filters that end the chain": (u32("mirror", "dev", "lo", "pass"), {}, WARN, ["tc.matching_filter"]),
    "other filters that go on": (u32("mirror", "dev", "lo", "continue"), {}, PASS, []),
    "another chain": (of_another_chain, {}, PASS, []),
    "another chain, which is run": (chain_that_is_run, {}, WARN, ["tc.matching_filter"]),
    "a block that devices share": (shared_block, {}, WARN, ["tc.matching_filter", "tc.missing"]),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
async def test_each_row_of_the_table_on_real_attachments(row: str, lab: Lab, tmp_path: Path) -> None:
    build, agents, verdict, found = ROWS[row]
    node = lab.namespace()
    node.veth("eni1", "eth0", into=lab.namespace())
    build(lab, node)

    result = await examined(node, tmp_path, agents)

    assert (result.verdict, sorted(codes(result))) == (verdict, found), result.reason


async def test_a_block_that_devices_share_is_named_as_what_keeps_the_agent_out(lab: Lab, tmp_path: Path) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0", into=lab.namespace())
    shared_block(lab, node)

    with pytest.raises(OSError, match="not supported"):
        own(lab, node, "ingress")
    result = await examined(node, tmp_path, {})

    missing = next(finding for finding in result.findings if finding.code == "tc.missing")
    assert "a block that devices share" in missing.evidence[0]


async def test_a_node_of_many_pods_is_one_table(lab: Lab, tmp_path: Path) -> None:
    node = lab.namespace()
    names = node.veths(60, into=lab.namespace())
    program = lab.returning(OK, "cil_from_contai")
    for name in names:
        node.filter(name, "ingress", program, pref=1, handle=1, name=f"cil_from_container-{name}")
        own(lab, node, "ingress", device=name)
        own(lab, node, "egress", device=name)

    result = await examined(node, tmp_path, {})

    assert [table.count for table in result.tables if table.verdict is FAIL] == [60]


async def examined(node: Netns, root: Path, agents: Mapping[str, Any]) -> AgentResult:
    """The verdict on this namespace alone, as if it were the host's."""
    (root / "opt" / "datadog-agent").mkdir(parents=True)
    executor = HostExecutor("this-host", HostSettings(root=root))
    (found,) = await executor.agents()
    collected = await collect(found, executor, SystemClock())
    assert collected.evidence is not None, collected.said
    (namespace,) = (each for each in collected.evidence.namespaces if each.inode == node.inode)
    evidence = collected.evidence.model_copy(
        update={"namespaces": (namespace.model_copy(update={"host": True}),), "agent": seen(**agents), "unseen": ()}
    )
    return result_of(agent(Installation.HOST), evidence)
