"""The collector on a real kernel: real namespaces, devices and programs."""

from __future__ import annotations

import base64
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.tc import collector
from handlers.tc.evidence import Attachment, Device, Evidence, Namespace
from tests.kernel.lab import OK, UNSPEC, Lab, Netns

pytestmark = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)

Collect = Callable[..., Evidence]


def seen(evidence: Evidence, netns: Netns) -> Namespace:
    return next(each for each in evidence.namespaces if each.inode == netns.inode)


def device(evidence: Evidence, netns: Netns, name: str) -> Device:
    return next(each for each in seen(evidence, netns).devices if each.name == name)


def test_a_chain_is_listed_in_the_order_in_which_the_kernel_runs_it(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    node.filter("eni1", "ingress", lab.returning(UNSPEC, "classifier_ingr"), pref=10, handle=1)
    node.filter("eni1", "ingress", lab.returning(OK, "handle_ingress"), pref=1, handle=1)
    node.filter("eni1", "ingress", lab.returning(UNSPEC, "late"))
    node.tcx("eni1", "ingress", lab.returning(OK, "cil_from_contai"))
    node.tcx("eni1", "ingress", lab.returning(UNSPEC, "tcx_ingress"), first=True)

    evidence = collect()

    found = device(evidence, node, "eni1")
    assert found.kind == "veth"
    assert (found.up, found.clsact, found.tcx_seen, found.egress) == (True, True, True, ())
    assert found.ingress is not None
    names = [(each.attachment, each.pref, evidence.programs[each.program or 0].name) for each in found.ingress]
    assert names == [
        (Attachment.TCX, None, "tcx_ingress"),
        (Attachment.TCX, None, "cil_from_contai"),
        (Attachment.FILTER, 1, "handle_ingress"),
        (Attachment.FILTER, 10, "classifier_ingr"),
        (Attachment.FILTER, 49152, "late"),
    ]
    assert not seen(evidence, node).unseen
    assert evidence.tcx is True


def test_a_program_is_read_with_its_instructions_and_the_helpers_that_it_calls(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    loaded = lab.redirecting("redirector")
    node.filter("eni1", "egress", loaded, pref=1, handle=1, name="named by its vendor")

    evidence = collect()

    (entry,) = device(evidence, node, "eni1").egress or ()
    assert (entry.program, entry.name, entry.direct_action, entry.handle) == (loaded.id, "named by its vendor", True, 1)
    program = evidence.program(loaded.id)
    assert program is not None
    assert len(program.code()) == 4 * 8
    assert program.calls == {2: "bpf_redirect"}
    assert not program.unseen


def test_tail_calls_are_followed_through_their_program_array(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    leaf = lab.returning(OK, "leaf")
    inner = lab.program_array({2: leaf})
    outer = lab.program_array({1: lab.tail_calling(inner, 2, UNSPEC, "between")})
    root = lab.tail_calling(outer, 1, UNSPEC, "root")
    node.tcx("eni1", "ingress", root)

    evidence = collect()

    assert evidence.program_arrays[inner.id].entries == {2: leaf.id}
    assert (evidence.programs[root.id].maps, evidence.programs[root.id].calls) == ((outer.id,), {3: "bpf_tail_call"})
    assert evidence.programs[leaf.id].name == "leaf"


def test_programs_that_differ_in_their_maps_alone_are_given_once(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    arrays = [lab.program_array({}) for _ in range(2)]
    programs = [lab.tail_calling(array, 1, UNSPEC, "alike") for array in arrays]
    for each in programs:
        node.tcx("eni1", "ingress", each)

    evidence = collect()

    given = [evidence.programs[each.id].instructions is not None for each in programs]
    assert given == [True, False]
    first, second = (evidence.program(each.id) for each in programs)
    assert first is not None
    assert second is not None
    assert int.from_bytes(second.code()[4:8], evidence.byte_order) == arrays[1].id
    assert second.code()[8:] == first.code()[8:]
    assert base64.b64decode(second.instructions or "") == second.code()


def test_every_link_of_the_kernel_is_looked_at(lab: Lab) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    programs = [lab.returning(UNSPEC, name) for name in ("first", "second")]
    for each in programs:
        node.tcx("eni1", "ingress", each)

    found = [struct.unpack_from("=III", link) for link in collector.Bpf().links(5000)]

    tcx = 11  # linux:include/uapi/linux/bpf.h BPF_LINK_TYPE_TCX
    assert {each.id for each in programs} <= {program for kind, _, program in found if kind == tcx}


def test_a_namespace_is_named_by_the_host_name_of_its_pod(lab: Lab, collect: Collect) -> None:
    line = ["unshare", "--net", "--uts", "sh", "-c", "hostname web-6f7d && echo ready && exec sleep 60"]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as pod:
        assert pod.stdout is not None
        assert pod.stdout.readline() == b"ready\n"
        inode = Path(f"/proc/{pod.pid}/ns/net").stat().st_ino
        evidence = collect()
        pod.kill()

    (found,) = (each for each in evidence.namespaces if each.inode == inode)
    assert found.pids == (pod.pid,)
    assert found.name in {"web-6f7d (sh)", "web-6f7d (sleep)"}
