"""The collector where not all is as it should be: few rights, old kernels, hidden programs, hostile names, things that go away."""

from __future__ import annotations

import ast
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from handlers.tc import collector
from handlers.tc.evidence import Evidence
from tests.kernel.conftest import PROGRAM
from tests.kernel.lab import OK, UNSPEC, Lab, Netns
from tests.kernel.test_collector import device, seen

Collect = Callable[..., Evidence]

SECCOMP = """
import ctypes, os, struct, sys
number, command, code = 321 if os.uname().machine == "x86_64" else 280, int(sys.argv[1]), int(sys.argv[2])
rules = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, command),
         (0x06, 0, 0, 0x00050000 | code), (0x06, 0, 0, 0x7FFF0000)]
packed = b"".join(struct.pack("=HBBI", *rule) for rule in rules)
buffer = ctypes.create_string_buffer(packed)
program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(rules), ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Run a program for which one command of bpf(2) fails with one error, as a kernel without it makes it fail."""

needs_bpf = pytest.mark.needs("ip", "tc", "clang", "bpftool", root=True)


def refusing(command: int, error: int) -> tuple[str, ...]:
    """Before a command line: one command of bpf(2) answers an error to it."""
    return (sys.executable, "-c", SECCOMP, str(command), str(error))


@pytest.fixture
def node(lab: Lab) -> Netns:
    made = lab.namespace()
    made.veth("eni1", "eth0")
    made.filter("eni1", "ingress", lab.returning(OK, "handle_ingress"), pref=1, handle=1)
    return made


@needs_bpf
def test_a_kernel_without_tcx_has_no_tcx_programs_and_everything_was_seen(node: Netns, collect: Collect) -> None:
    evidence = collect(*refusing(16, 22))  # BPF_PROG_QUERY: EINVAL, which is what a kernel before 6.6 says

    assert evidence.tcx is False
    found = device(evidence, node, "eni1")
    assert (found.tcx_seen, found.unseen) == (True, ())
    assert [entry.pref for entry in found.ingress or ()] == [1]


@needs_bpf
def test_tcx_programs_that_may_not_be_listed_are_not_seen(node: Netns, collect: Collect) -> None:
    evidence = collect(*refusing(16, 1))  # EPERM

    assert evidence.tcx is None
    found = device(evidence, node, "eni1")
    assert found.tcx_seen is False
    assert found.unseen == ("Its tcx programs could not be listed: Operation not permitted (it needs CAP_NET_ADMIN).",)
    assert [entry.pref for entry in found.ingress or ()] == [1]


@needs_bpf
def test_programs_that_may_not_be_opened_are_named_as_such(node: Netns, collect: Collect) -> None:
    evidence = collect(*refusing(13, 1))

    (entry,) = device(evidence, node, "eni1").ingress or ()
    program = evidence.programs[entry.program or 0]
    assert program.instructions is None
    assert program.unseen == ("It may not be looked at: Operation not permitted (it needs CAP_SYS_ADMIN).",)
    assert entry.name == "handle_ingress"


@contextmanager
def knob(path: str, value: str) -> Iterator[None]:
    """A setting of the kernel, for as short as it can be."""
    place = Path("/proc/sys", path)
    before = place.read_text()
    place.write_text(value)
    try:
        yield
    finally:
        place.write_text(before)


WITHOUT_SYSLOG = ("setpriv", "--bounding-set=-syslog", "--inh-caps=-syslog")


@needs_bpf
def test_hidden_instructions_are_said_to_be_hidden(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    with knob("net/core/bpf_jit_harden", "2"):  # blinds the constants of what is loaded meanwhile
        blinded = lab.returning(OK, "blinded")
    node.tcx("eni1", "ingress", blinded)

    with knob("kernel/kptr_restrict", "1"):
        evidence = collect(*WITHOUT_SYSLOG)

    program = evidence.programs[blinded.id]
    assert (program.name, program.instructions) == ("blinded", None)
    assert program.unseen == ("The kernel hides its instructions (bpf_jit_harden, kptr_restrict).",)
    assert evidence.programs[blinded.id].tag


@needs_bpf
def test_without_addresses_calls_have_no_names_but_tail_calls_do(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    redirecting, tailing = lab.redirecting("redirecting"), lab.tail_calling(lab.program_array({}), 1, OK, "tailing")
    node.tcx("eni1", "ingress", redirecting)
    node.tcx("eni1", "ingress", tailing)

    with knob("kernel/kptr_restrict", "1"):
        evidence = collect(*WITHOUT_SYSLOG)

    assert evidence.programs[redirecting.id].calls == {}
    assert evidence.programs[redirecting.id].instructions
    assert "CAP_SYSLOG" in evidence.programs[redirecting.id].unseen[0]
    assert evidence.programs[tailing.id].calls == {3: "bpf_tail_call"}
    assert not evidence.programs[tailing.id].unseen


@needs_bpf
def test_an_unprivileged_run_says_what_it_could_not_see(node: Netns, tmp_path: Path) -> None:
    # From its input, as it is sent: this user may not read the file.
    line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-ISB", "-"]
    done = subprocess.run(line, input=PROGRAM.read_bytes(), capture_output=True, check=True, cwd="/")

    evidence = Evidence.model_validate_json(done.stdout)

    assert any("CAP_SYS_PTRACE" in each for each in evidence.unseen)
    assert all(each.inode != node.inode or each.unseen for each in evidence.namespaces)
    own = [each for each in evidence.namespaces if not each.unseen]
    assert own, "its own namespace can be read by anybody"
    assert all(each.tcx_seen is False and "CAP_NET_ADMIN" in each.unseen[0] for each in own[0].devices)


@needs_bpf
def test_a_namespace_that_may_not_be_entered_is_listed_as_not_read(node: Netns, collect: Collect) -> None:
    evidence = collect("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")

    found = seen(evidence, node)
    assert found.unseen == ("This network namespace could not be read: Operation not permitted.",)
    assert not found.devices


@needs_bpf
def test_hostile_names_come_out_as_printable_text_of_bounded_length(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    node.veth("eni1", "eth0")
    node.filter(
        "eni1",
        "ingress",
        lab.returning(OK, "plain"),
        pref=1,
        name=b"<!channel>\x1b[2J\r\n\xff\xe2\x80\xae" + b"\x07" * 200,
    )
    node.rename("eni1", b"\x1b[31m\xff\xfe\x7f")

    evidence = collect()

    found = device(evidence, node, "\\x1b[31m\\xff\\xfe\\x7f")
    (entry,) = found.ingress or ()
    assert entry.name.startswith("<!channel>\\x1b[2J\\r\\n\\xff\\u202e\\x07")
    assert entry.name.isprintable()
    assert len(entry.name) <= 256


@needs_bpf
def test_a_device_that_vanishes_while_it_is_read_is_noted_and_left_out(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = lab.namespace()
    names = node.veths(3, into=lab.namespace())
    for name in names:
        node.filter(name, "ingress", lab.returning(OK, name), pref=1)
    there = {name: node.index(name) for name in names}
    filters = collector.filters

    def gone_meanwhile(netlink: collector.Netlink, index: int, direction: str) -> list[collector.Facts]:
        if (index, direction) == (there["lxc1"], "ingress"):
            node.delete("lxc1")
        return filters(netlink, index, direction)

    monkeypatch.setattr(collector, "filters", gone_meanwhile)
    shown: collector.Facts = {"devices": [], "unseen": []}
    node.inside(lambda: collector.read_devices(shown, collector.Bpf()))

    assert sorted(each["name"] for each in shown["devices"]) == ["lo", "lxc0", "lxc2"]
    assert shown["vanished"] == ["lxc1"]
    assert all(len(each["ingress"]) == 1 for each in shown["devices"] if each["name"] != "lo")
    assert shown["unseen"] == []


@needs_bpf
def test_a_namespace_that_vanishes_before_it_is_entered_is_counted(lab: Lab) -> None:
    node = lab.namespace()
    gone = {"inode": node.inode, "host": False, "paths": [str(node.path) + "-gone"], "name": "gone"}

    assert collector.read_namespace(gone, collector.Bpf()) is None


@needs_bpf
def test_three_hundred_devices_take_about_a_second_at_most(lab: Lab, collect: Collect) -> None:
    node = lab.namespace()
    program = lab.returning(UNSPEC, "classifier_ingr")
    attached = lab.returning(OK, "cil_from_contai")
    for name in node.veths(300, into=lab.namespace()):
        for direction in ("ingress", "egress"):
            node.filter(name, direction, program, pref=10)
        node.tcx(name, "ingress", attached)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    evidence = collect()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    devices = [each for each in seen(evidence, node).devices if each.kind == "veth"]
    assert len(devices) == 300
    assert all(len(each.ingress or ()) == 2 and len(each.egress or ()) == 1 for each in devices)
    # Of the processor's time, start of the interpreter included: the clock on the wall depends on who else is at work.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_when_time_is_up_what_was_collected_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collector, "DEADLINE_S", 0.2)
    monkeypatch.setattr(collector, "read_namespace", lambda *_: time.sleep(30))

    started = time.monotonic()
    assert collector.main() == 0

    assert time.monotonic() - started < 10
    evidence = Evidence.model_validate_json(capsys.readouterr().out)
    assert any("Time was up" in each for each in evidence.unseen)


def test_without_an_alarm_it_collects_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "setitimer")

    monkeypatch.setattr(collector.signal, "setitimer", refused)

    assert collector.main() == 0
    assert Evidence.model_validate_json(capsys.readouterr().out).namespaces


def test_a_document_that_is_too_large_loses_instructions_first(monkeypatch: pytest.MonkeyPatch) -> None:
    collection = collector.Collection()
    collection.document["namespaces"] = [
        {"inode": 1, "devices": [{"name": f"eni{n}", "index": n} for n in range(30)], "unseen": []}
    ]
    collection.document["programs"] = {n: {"id": n, "name": "alike", "instructions": "A" * 4000} for n in range(20)}

    monkeypatch.setattr(collector, "MOST_BYTES", 20_000)
    without_instructions = Evidence.model_validate_json(collection.to_json())
    monkeypatch.setattr(collector, "MOST_BYTES", 1_000)
    without_devices = Evidence.model_validate_json(collection.to_json())

    assert len(without_instructions.namespaces[0].devices) == 30
    assert without_instructions.programs[0].instructions is None
    assert "too large" in without_instructions.unseen[0]
    assert len(without_devices.namespaces[0].devices) < 30
    assert "too large" in without_devices.namespaces[0].unseen[0]


def test_the_collector_is_good_python_of_3_8_and_needs_nothing_else() -> None:
    tree = ast.parse(PROGRAM.read_text("utf-8"), feature_version=(3, 8))

    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


@needs_bpf
def test_nothing_is_written_and_no_process_is_started(lab: Lab, tmp_path: Path) -> None:
    lab.namespace().veth("eni1", "eth0")
    watched = f"""
import json, sys
watched = {{"open", "subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.mkdir", "os.rename", "os.remove"}}
with open({str(PROGRAM)!r}) as file:
    program = compile(file.read(), "collector", "exec")
events = []
sys.addaudithook(lambda name, arguments: events.append([name, repr(arguments)]) if name in watched else None)
scope = {{"__name__": "collector"}}
exec(program, scope)
scope["main"]()
sys.stderr.write(json.dumps(events))
"""
    done = subprocess.run([sys.executable, "-ISB", "-c", watched], capture_output=True, check=True, cwd=tmp_path)

    events = json.loads(done.stderr)
    assert {name for name, _ in events} == {"open"}
    assert all("'w" not in arguments and "'a'" not in arguments for _, arguments in events)
    assert not list(tmp_path.iterdir())
