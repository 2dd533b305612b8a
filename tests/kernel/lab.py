"""
A laboratory of real network namespaces with real eBPF programs in them. Needs root, iproute2, and clang for C.

    with Lab() as lab:
        pod = lab.namespace()
        pod.veth("eni1", "eth0")
        pod.filter("eni1", "ingress", lab.returning(0, "handle_ingress"), pref=1, handle=1, name="handle_ingress")
        pod.tcx("eni1", "ingress", lab.returning(-1, "tcx_ingress_flow"))

Everything that was made is gone when the block is left. Devices are attached to by netlink and bpf(2) as the vendors do
it, and with nothing of what is under test.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

OK, SHOT, STOLEN, REDIRECT, UNSPEC = 0, 2, 4, 7, -1
"""What a classifier may return (linux/pkt_cls.h); to tcx they are PASS, DROP, -, REDIRECT and NEXT."""
ALL = 3
"""ETH_P_ALL."""

DIRECTIONS = {"ingress": (0xFFFFFFF2, 46), "egress": (0xFFFFFFF3, 47)}
"""A direction's parent in clsact, and its attach type for tcx (linux/pkt_sched.h, linux/bpf.h)."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD, _OBJ_GET, _INFO, _LINK_CREATE, _MAP_FREEZE = 0, 2, 5, 7, 15, 28, 22
_SCHED_CLS, _ARRAY, _PROG_ARRAY = 3, 2, 3


def available() -> str:
    """Why no laboratory can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "it needs root"
    missing = [program for program in ("ip", "tc", "clang", "bpftool") if not shutil.which(program)]
    return f"it needs {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Loaded:
    """A program in the kernel, held by its descriptor."""

    fd: int
    id: int
    name: str


@dataclass(frozen=True)
class ProgramArray:
    """A map of tail-call targets."""

    fd: int
    id: int


class Lab:
    """Makes things, and takes them away again."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._prefix = f"csm-{os.getpid()}-{secrets.token_hex(2)}"
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def namespace(self) -> Netns:
        """A network namespace with nothing but `lo`."""
        self._made += 1
        name = f"{self._prefix}-{self._made}"
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "delete", name)
        made = Netns(name)
        self._stack.callback(made.close)
        return made

    def of_process(self, pid: int) -> Netns:
        """The network namespace of a process, which is not the laboratory's to take away."""
        self._made += 1
        name = f"{self._prefix}-{self._made}"
        ip("netns", "attach", name, str(pid))
        self._stack.callback(ip, "netns", "delete", name)
        made = Netns(name)
        self._stack.callback(made.close)
        return made

    def returning(self, code: int, name: str) -> Loaded:
        """A classifier that returns `code` for every packet."""
        return self.assembled(insn(0xB7, dst=0, imm=code) + EXIT, name)

    def redirecting(self, name: str, ifindex: int = 1) -> Loaded:
        """A classifier that returns what `bpf_redirect` returns."""
        body = insn(0xB7, dst=1, imm=ifindex) + insn(0xB7, dst=2) + call(23) + EXIT
        return self.assembled(body, name)

    def tail_calling(self, array: ProgramArray, index: int, otherwise: int, name: str) -> Loaded:
        """A classifier that jumps to a program of an array, and returns `otherwise` when there is none."""
        body = load_map(2, array.fd) + insn(0xB7, dst=3, imm=index) + call(12)
        return self.assembled(body + insn(0xB7, dst=0, imm=otherwise) + EXIT, name)

    def assembled(self, instructions: bytes, name: str) -> Loaded:
        """Load instructions as a classifier. The kernel keeps 15 characters of its name."""
        code = ctypes.create_string_buffer(instructions, len(instructions))
        licence, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(1 << 20)

        def load(verbose: int) -> int:
            where = ctypes.addressof(log) if verbose else 0
            attr = struct.pack(
                "=IIQQIIQII16s", _SCHED_CLS, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence),
                verbose, len(log) if verbose else 0, where, 0, 0, name.encode()[:15],
            )  # fmt: skip
            return bpf(_PROG_LOAD, attr)

        try:
            return self._held(load(0))
        except OSError as error:
            with suppress(OSError):  # once more, for the verifier's words
                load(1)
            raise OSError(error.errno, f"{name} was not loaded: {log.value.decode()}") from error

    def compiled(self, source: str, function: str) -> Loaded:
        """Compile C with clang, and load one of its functions with its maps. Types and section come from `PRELUDE`."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="csm-c-")))
        (folder / "program.c").write_text(PRELUDE + source)
        build = [
            "clang",
            "-O2",
            "-g",
            "-Wall",
            "-Werror",
            "-Wno-unused",
            "-target",
            "bpf",
            "-c",
            "program.c",
            "-o",
            "program.o",
        ]
        _run(*build, cwd=folder)
        pins = self._pins() / folder.name
        _run("bpftool", "prog", "loadall", str(folder / "program.o"), str(pins), "type", "classifier")
        path = ctypes.create_string_buffer(str(pins / function).encode())
        held = self._held(bpf(_OBJ_GET, struct.pack("=QII", ctypes.addressof(path), 0, 0)))
        shutil.rmtree(pins)
        return held

    def program_array(self, entries: dict[int, Loaded], size: int = 8) -> ProgramArray:
        """A program array with these programs."""
        descriptor = bpf(_MAP_CREATE, struct.pack("=IIIIIII16s", _PROG_ARRAY, 4, 4, size, 0, 0, 0, b"calls"))
        self._stack.callback(os.close, descriptor)
        for index, program in entries.items():
            key, value = ctypes.c_uint32(index), ctypes.c_uint32(program.fd)
            pointers = (ctypes.addressof(key), ctypes.addressof(value))
            bpf(_MAP_UPDATE, struct.pack("=IIQQQ", descriptor, 0, *pointers, 0))
        return ProgramArray(descriptor, struct.unpack_from("=I", _info(descriptor), 4)[0])

    def number_array(self, values: Sequence[int]) -> int:
        """The descriptor of an array of numbers of eight bytes."""
        descriptor = bpf(_MAP_CREATE, struct.pack("=IIIIIII16s", _ARRAY, 4, 8, len(values), 0, 0, 0, b"numbers"))
        self._stack.callback(os.close, descriptor)
        for index, number in enumerate(values):
            key, value = ctypes.c_uint32(index), ctypes.c_uint64(number)
            pointers = (ctypes.addressof(key), ctypes.addressof(value))
            bpf(_MAP_UPDATE, struct.pack("=IIQQQ", descriptor, 0, *pointers, 0))
        return descriptor

    def _held(self, descriptor: int) -> Loaded:
        self._stack.callback(os.close, descriptor)
        info = _info(descriptor)
        return Loaded(descriptor, struct.unpack_from("=I", info, 4)[0], info[64:80].split(b"\0")[0].decode())

    def _pins(self) -> Path:
        """A file system for pins of the laboratory's own."""
        if not hasattr(self, "_mounted"):
            self._mounted = Path(tempfile.mkdtemp(prefix="csm-bpffs-"))
            _run("mount", "-t", "bpf", "bpf", str(self._mounted))
            self._stack.callback(os.rmdir, self._mounted)
            self._stack.callback(_run, "umount", str(self._mounted))
        return self._mounted


@dataclass
class Netns:
    """One network namespace of the laboratory."""

    name: str
    _links: list[int] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where it is named."""
        return Path("/run/netns", self.name)

    @property
    def inode(self) -> int:
        """What it is known by."""
        return self.path.stat().st_ino

    def inside(self, work: Callable[[], T]) -> T:
        """Do something there: in a thread, so that the process itself never leaves its own namespace."""
        done: list[T] = []
        failed: list[BaseException] = []

        def enter() -> None:
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
                try:
                    if _libc.setns(descriptor, 0x40000000):
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(descriptor)
                done.append(work())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join(60)
        if failed:
            raise failed[0]
        return done[0]

    def veth(self, name: str, peer: str, *, into: Netns | None = None) -> None:
        """A pair of devices, both up; the peer may be in another namespace, as a pod's `eth0` is."""
        other = into or self
        ip("-n", self.name, "link", "add", name, "type", "veth", "peer", "name", peer, "netns", other.name)
        ip("-n", self.name, "link", "set", name, "up")
        ip("-n", other.name, "link", "set", peer, "up")

    def veths(self, count: int, prefix: str = "lxc", *, into: Netns | None = None) -> Sequence[str]:
        """Many pairs at once, `lxc0` with `lxc0-peer` and so on; the peers may be in another namespace."""
        names = [f"{prefix}{number}" for number in range(count)]
        where = f"netns {into.name} " if into else ""
        lines = "".join(f"link add {name} up type veth peer {where}name {name}-peer\n" for name in names)
        ip("-n", self.name, "-batch", "-", stdin=lines)
        return names

    def rename(self, name: str, to: bytes) -> None:
        """Give a device any name that the kernel takes; `ip` itself is more careful."""
        index = self.index(name)
        self.inside(lambda: _request(19, 0, struct.pack("=BxHiII", 0, 0, index, 0, 0) + _attribute(3, to + b"\0")))

    def delete(self, name: str) -> None:
        """Take a device away."""
        ip("-n", self.name, "link", "delete", name)

    def index(self, device: str) -> int:
        """The index of a device."""
        return self.inside(lambda: socket.if_nametoindex(device))

    def clsact(self, device: str) -> None:
        """The qdisc that classic filters need. No error when it is there."""
        message = struct.pack("=BxxxiIII", 0, self.index(device), 0xFFFF0000, 0xFFFFFFF1, 0)
        with suppress(FileExistsError):
            self.inside(lambda: _request(36, _CREATE | _EXCL, message + _attribute(1, b"clsact\0")))

    def filter(
        self,
        device: str,
        direction: str,
        program: Loaded,
        *,
        pref: int = 0,
        handle: int = 0,
        name: bytes | str = "",
        direct_action: bool = True,
        protocol: int = ALL,
        chain: int = 0,
        replace: bool = False,
    ) -> None:
        """
        Attach a classic filter, as vendors do it. `pref` 0 lets the kernel choose (49152 and down), `handle` 0 too.

        Adds (EEXIST when both are taken); `replace` is what Cilium and the AWS agent do.
        """
        self.clsact(device)
        label = name if isinstance(name, bytes) else (name or program.name).encode()
        options = _attribute(6, struct.pack("=I", program.fd)) + _attribute(7, label + b"\0")
        options += _attribute(8, struct.pack("=I", 1 if direct_action else 0))
        self._add(device, direction, "bpf", options, pref, handle, protocol, chain, replace=replace)

    def plain_filter(
        self, device: str, direction: str, *arguments: str, pref: int = 1, kind: Sequence[str] = ("u32",)
    ) -> None:
        """Attach a filter that is no eBPF, in the words of `tc`: `"match", "u32", "0", "0", "action", "mirred", …`."""
        self.clsact(device)
        where = ["filter", "add", "dev", device, direction, "pref", str(pref), "protocol", "all"]
        self.tc(*where, *kind, *arguments)

    def tc(self, *arguments: str) -> None:
        """Run `tc` there."""
        _run("tc", "-n", self.name, *arguments)

    def tcx(self, device: str, direction: str, program: Loaded, *, first: bool = False) -> None:
        """Attach by a tcx link, at the end of the chain or before all others."""
        self._link(device, program, DIRECTIONS[direction][1], _BEFORE if first else 0)

    def netkit(self, device: str, program: Loaded, *, peer: bool = False) -> None:
        """Attach to a netkit device's primary side, or for its peer."""
        self._link(device, program, 55 if peer else 54, 0)

    def close(self) -> None:
        """Let go of the links."""
        while self._links:
            os.close(self._links.pop())

    def _link(self, device: str, program: Loaded, kind: int, flags: int) -> None:
        attr = struct.pack("=IIIIIIQ", program.fd, self.index(device), kind, flags, 0, 0, 0)
        self._links.append(self.inside(lambda: bpf(_LINK_CREATE, attr)))

    def _add(
        self, device: str, direction: str, kind: str, options: bytes, pref: int, handle: int, protocol: int,
        chain: int, *, replace: bool,
    ) -> None:  # fmt: skip
        info = pref << 16 | socket.htons(protocol)
        message = struct.pack("=BxxxiIII", 0, self.index(device), handle, DIRECTIONS[direction][0], info)
        attributes = _attribute(1, kind.encode() + b"\0") + _attribute(2, options)
        attributes += _attribute(11, struct.pack("=I", chain)) if chain else b""
        flags = _CREATE | (0 if replace else _EXCL)
        self.inside(lambda: _request(44, flags, message + attributes))


PRELUDE = """
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32; typedef unsigned long long __u64;
struct __sk_buff {
    __u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex,
          ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __noinline __attribute__((noinline))
static long (*bpf_redirect)(__u32 ifindex, __u64 flags) = (void *) 23;
static long (*bpf_tail_call)(void *ctx, void *array, __u32 index) = (void *) 12;
static __u32 (*bpf_get_prandom_u32)(void) = (void *) 7;
static __u64 (*bpf_ktime_get_ns)(void) = (void *) 5;
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *) 1;
char _license[] SEC("license") = "GPL";
"""
"""What every C source of the tests starts with, so that no headers need to be installed. Functions go in `SEC("tc")`."""


def insn(code: int, *, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction, in this machine's byte order."""
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


def call(helper: int) -> bytes:
    """A call of a helper function by its number."""
    return insn(0x85, imm=helper)


def load_map(dst: int, descriptor: int) -> bytes:
    """Two instructions that load a map's address."""
    return insn(0x18, dst=dst, src=1, imm=descriptor) + insn(0)


EXIT = insn(0x95)

_CREATE, _EXCL, _BEFORE = 0x400, 0x200, 1 << 3


def bpf(command: int, attr: bytes) -> int:
    """bpf(2). Raises `OSError`."""
    buffer = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    result = _libc.syscall(_BPF, command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return int(result)


def ip(*arguments: str, stdin: str | None = None) -> None:
    """Run `ip`."""
    _run("ip", *arguments, stdin=stdin)


def _run(*argv: str, stdin: str | None = None, cwd: Path | None = None) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, input=stdin, cwd=cwd, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr or done.stdout}")


def _info(descriptor: int) -> bytes:
    info = ctypes.create_string_buffer(256)
    bpf(_INFO, struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info)))
    return info.raw


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def _request(kind: int, flags: int, body: bytes) -> None:
    """One rtnetlink request, in the calling thread's namespace. Raises the `OSError` that the kernel answers."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(10)
        netlink.send(struct.pack("=IHHII", len(body) + 16, kind, 0x5 | flags, 1, 0) + body)
        answer: Any = netlink.recv(65536)
    (code,) = struct.unpack_from("=i", answer, 16)
    if code:
        raise OSError(-code, os.strerror(-code))
