#!/usr/bin/env python3
"""
Print what this node's kernel knows about packet classifiers, and the Agent's own settings, as `csm.tc-evidence/1`.

One file, standard library only, Python 3.8 and up. It runs on the Agent's node, in the container with the most rights,
usually sent over stdin. It only reads: it prints the document, starts no process and writes no file. What it may not
read is listed in `unseen`; missing rights are not an error. See `handlers.tc.evidence` for the document, and
`handlers.tc.collect` for how it is sent.

Kernel facts are cited as `linux:path`; they were read in 6.6 and hold from 4.19 on unless said otherwise.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import json
import os
import re
import signal
import socket
import stat
import struct
import sys
import time
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NoReturn, Optional, Sequence, Set, Tuple

Facts = Dict[str, Any]
"""An object of the document."""

SCHEMA = "csm.tc-evidence/1"
DEADLINE_S = 20.0
"""At the deadline, what was collected so far is printed, with a note."""
MOST_BYTES = 8 * 1024 * 1024
MOST_NAMESPACES = 2000
MOST_PROGRAMS = 20000
MOST_INSTRUCTION_BYTES = 4 * 1024 * 1024
"""Of all programs, before base64. Programs that differ only in their maps count once."""
MOST_NAME = 256
MOST_UNSEEN = 50


class TimeUp(BaseException):
    """The deadline has passed. Raised at any point."""


def main() -> int:
    """Collect and print. The exit status is 0 when a document was printed."""
    collection = Collection()
    signal.signal(signal.SIGALRM, _time_is_up)
    try:
        _set_alarm(DEADLINE_S)
        collection.collect()
        _set_alarm(0)
    except TimeUp:
        collection.document["unseen"].append("Time was up after {:g} s: the rest was not read.".format(DEADLINE_S))
    sys.stdout.write(collection.to_json() + "\n")
    sys.stdout.flush()
    return 0


def _set_alarm(seconds: float) -> None:
    with contextlib.suppress(OSError):  # a seccomp profile may refuse it; then the sender's deadline applies
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _time_is_up(*_: object) -> NoReturn:
    raise TimeUp


class Collection:
    """The document while it is collected. `document` is valid at any moment."""

    def __init__(self, proc: Optional[str] = None) -> None:
        self.proc = proc or host_proc(os.environ)
        self.started = time.monotonic()
        self.document: Facts = {
            "schema": SCHEMA,
            "collector": "python",
            "byte_order": sys.byteorder,
            "kernel": text(os.uname().release),
            "agent": {},
            "namespaces": [],
            "vanished": 0,
            "programs": {},
            "program_arrays": {},
            "unseen": [],
        }

    def collect(self) -> None:
        """Fill the document."""
        unseen = self.document["unseen"]
        bpf = Bpf()
        processes = Processes(self.proc, unseen)
        self.document["agent"] = agent(processes)
        for namespace in find_namespaces(processes, unseen):
            read = read_namespace(namespace, bpf)
            if read is None:
                self.document["vanished"] += 1
            else:
                self.document["namespaces"].append(read)
        pair_netkits(self.document["namespaces"])
        if bpf.has_tcx is not None:
            self.document["tcx"] = bpf.has_tcx
        programs = Programs(bpf, self.document["programs"], self.document["program_arrays"], unseen)
        programs.read(program_ids(self.document["namespaces"]))
        programs.name_calls(os.path.join(self.proc, "kallsyms"))
        programs.find_replacements()

    def to_json(self) -> str:
        """The document within its limit: instructions are left out first, then devices."""
        self.document["duration_s"] = round(time.monotonic() - self.started, 3)
        del self.document["unseen"][MOST_UNSEEN:]
        for cut in (None, self._without_instructions, self._without_devices):
            if cut:
                cut()
            found = json.dumps(self.document, separators=(",", ":"), sort_keys=False)
            if len(found) <= MOST_BYTES:
                break
        return found

    def _without_instructions(self) -> None:
        for program in self.document["programs"].values():
            for key in ("instructions", "same_as", "loads", "calls"):
                program.pop(key, None)
        self.document["unseen"].insert(0, "The document was too large: instructions of programs were left out.")

    def _without_devices(self) -> None:
        for namespace in self.document["namespaces"]:
            namespace["unseen"] = ["The document was too large: devices were left out."]
            del namespace["devices"][20 if namespace.get("host") else 0 :]
        self.document["programs"] = {}
        self.document["program_arrays"] = {}


# -- text -------------------------------------------------------------------------------------------------------


def text(raw: "bytes | str", most: int = MOST_NAME) -> str:
    """Foreign bytes or text as printable text of limited length; control characters and invalid UTF-8 as `\\x1b`."""
    if isinstance(raw, bytes):
        raw = raw.split(b"\0")[0].decode("utf-8", "backslashreplace")
    shown = "".join(each if each.isprintable() else _escaped(each) for each in raw[:most])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def why(error: OSError) -> str:
    """An error's text: `Operation not permitted`."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


# -- bpf(2) -----------------------------------------------------------------------------------------------------

BPF_CALLS = {
    "x86_64": 321, "aarch64": 280, "ppc64le": 361, "ppc64": 361, "s390x": 351, "riscv64": 280, "loongarch64": 280,
    "armv7l": 386, "armv6l": 386, "i686": 357, "i386": 357,
}  # fmt: skip
MAP_LOOKUP, PROG_FD, MAP_FD, INFO, PROG_QUERY, LINK_FD, LINK_NEXT = 1, 13, 14, 15, 16, 30, 31
TCX = {"ingress": 46, "egress": 47}
NETKIT_PRIMARY, NETKIT_PEER = 54, 55
PROG_ARRAY, EXTENSION, TRACING_LINK = 3, 28, 2
NET, UTS = 0x40000000, 0x04000000
"""Kinds of namespaces (linux:include/uapi/linux/sched.h)."""
MOST_ATTACHED = 64
"""linux:include/linux/bpf_mprog.h BPF_MPROG_MAX."""


class Bpf:
    """The system call and the commands that are used. All raise `OSError`."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._call = self._libc.syscall
        self._call.restype = ctypes.c_long
        self._number = BPF_CALLS.get(os.uname().machine)
        self._attr = ctypes.create_string_buffer(64)
        self._ids = (ctypes.c_uint32 * MOST_ATTACHED)()
        self.has_tcx: Optional[bool] = None
        """Whether the kernel has tcx; `None` before a query."""

    def __call__(self, command: int) -> int:
        if self._number is None:
            raise OSError(errno.ENOSYS, "bpf")
        result = self._call(self._number, command, self._attr, 64)
        if result < 0:
            raise OSError(ctypes.get_errno(), "bpf")
        return int(result)

    def _set(self, layout: str, *values: int) -> None:
        ctypes.memset(self._attr, 0, 64)
        struct.pack_into(layout, self._attr, 0, *values)

    def enter(self, descriptor: int, kind: int = NET) -> None:
        """Enter a namespace, with the calling thread only."""
        if self._libc.setns(descriptor, kind):
            raise OSError(ctypes.get_errno(), "setns")

    def attached(self, ifindex: int, kind: int) -> List[int]:
        """Ids of the programs at a device's tcx or netkit hook, in execution order."""
        self._set("=IIIIQI", ifindex, kind, 0, 0, ctypes.addressof(self._ids), MOST_ATTACHED)
        self(PROG_QUERY)
        (count,) = struct.unpack_from("=I", self._attr, 24)
        return list(self._ids[:count])

    def open(self, command: int, number: int) -> int:
        """A descriptor for the program, map or link of this id."""
        self._set("=I", number)
        return self(command)

    def links(self, most: int) -> Iterator[bytes]:
        """The info of each link in the kernel (ids since 5.8); nothing where that is not permitted."""
        number = 0
        for _ in range(most):
            self._set("=I", number)
            try:
                self(LINK_NEXT)
            except OSError:
                return
            number = int(struct.unpack_from("=I", self._attr, 4)[0])
            try:
                yield self._link(number)
            except OSError:
                continue  # it is gone

    def _link(self, number: int) -> bytes:
        descriptor = self.open(LINK_FD, number)
        try:
            info = ctypes.create_string_buffer(32)
            self.info(descriptor, info)
            return info.raw
        finally:
            os.close(descriptor)

    def info(self, descriptor: int, buffer: "ctypes.Array[ctypes.c_char]") -> None:
        """Fill the buffer with the info of a program, map or link. Its content is also the input."""
        self._set("=IIQ", descriptor, len(buffer), ctypes.addressof(buffer))
        self(INFO)

    def entries(self, descriptor: int, size: int) -> Iterator[Tuple[int, int]]:
        """Pairs of index and program id of a program array."""
        key, value = ctypes.c_uint32(), ctypes.c_uint32()
        self._set("=IIQQQ", descriptor, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        call, number, attr = self._call, self._number, self._attr
        for index in range(size):
            key.value = index
            if call(number, MAP_LOOKUP, attr, 64) == 0:
                yield index, value.value
            elif ctypes.get_errno() != errno.ENOENT:
                raise OSError(ctypes.get_errno(), "bpf")


# -- rtnetlink --------------------------------------------------------------------------------------------------

GETLINK, GETQDISC, GETTFILTER = 18, 38, 46
DUMP, INTERRUPTED = 0x301, 0x10
TRIES = 3
ERROR, DONE = 2, 3
PARENTS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
CLSACT = 0xFFFF0000
"""The handle of clsact, and of the older `ingress` qdisc."""


class Netlink:
    """A socket for dumps, in the namespace where it was created."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self.interrupted = False
        """Whether a change interrupted every try of a dump."""

    def close(self) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> List[bytes]:
        """All answers to a dump. A dump that a change interrupted is repeated."""
        for _ in range(TRIES):
            found, whole = self._dump(kind, body)
            if whole:
                break
        self.interrupted |= not whole
        return found

    def _dump(self, kind: int, body: bytes) -> Tuple[List[bytes], bool]:
        self._socket.send(struct.pack("=IHHII", len(body) + 16, kind, DUMP, 1, 0) + body)
        found: List[bytes] = []
        whole = True
        while True:
            data = self._socket.recv(65536)
            place = 0
            while place + 16 <= len(data):
                length, answer, flags, _, _ = struct.unpack_from("=IHHII", data, place)
                if flags & INTERRUPTED:
                    whole = False
                if answer in (ERROR, DONE):
                    # A dump that fails midway ends normally, with an error code (linux:net/netlink/af_netlink.c).
                    code = signed(data[place + 16 : place + length])
                    if code < 0:
                        raise OSError(-code, "netlink")
                    return found, whole
                found.append(data[place + 16 : place + length])
                place += (length + 3) & ~3


def attributes(data: bytes, place: int) -> Dict[int, bytes]:
    """The attributes from an offset on, by kind without its flags (nested, byte order)."""
    found = {}
    end = len(data)
    while place + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, place)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[place + 4 : place + length]
        place += (length + 3) & ~3
    return found


ALL_LINKS = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, 29, 8)
"""With RTEXT_FILTER_SKIP_STATS, which halves the answer."""


def links(netlink: Netlink) -> Dict[int, Facts]:
    """Devices: index -> {name, index, kind, up, link}."""
    found = {}
    for message in netlink.dump(GETLINK, ALL_LINKS):
        _, _, index, flags, _ = struct.unpack_from("=BxHiII", message)
        attrs = attributes(message, 16)
        device: Facts = {"name": text(attrs.get(3, b"")), "index": index, "up": bool(flags & 1)}
        kind = attributes(attrs.get(18, b""), 0).get(1)
        if kind:
            device["kind"] = text(kind)
        if 5 in attrs:
            device["link"] = u32(attrs[5])
        found[index] = device
    return found


def indexes(netlink: Netlink) -> Set[int]:
    """Indexes of the present devices."""
    return {struct.unpack_from("=i", message, 4)[0] for message in netlink.dump(GETLINK, ALL_LINKS)}


def qdiscs(netlink: Netlink) -> Dict[int, str]:
    """The kind of qdisc that holds classic filters, by device: `clsact` or `ingress`."""
    found = {}
    for message in netlink.dump(GETQDISC, bytes(20)):
        index, handle = struct.unpack_from("=iI", message, 4)
        if handle == CLSACT:
            found[index] = text(attributes(message, 20).get(1, b""))
    return found


def filters(netlink: Netlink, index: int, direction: str) -> List[Facts]:
    """The classic filters of one chain in execution order: chain 0 first, then as the kernel walks them."""
    body = struct.pack("=BxxxiIII", 0, index, 0, PARENTS[direction], 0)
    found = [entry for entry in map(filter_entry, netlink.dump(GETTFILTER, body)) if entry]
    return sorted(found, key=lambda entry: int(entry["chain"]))


ACTIONS_OF = {"bpf": 1, "u32": 7, "flower": 3, "matchall": 2, "basic": 3, "fw": 4, "cgroup": 1, "flow": 9, "route": 6}
"""Which attribute of a filter's options holds its actions (linux:include/uapi/linux/pkt_cls.h)."""
FLAGS_OF = {"bpf": 9, "flower": 22, "matchall": 3, "u32": 11}
PARMS_OF = {"connmark": 1, "csum": 1, "ct": 1, "ctinfo": 3, "gate": 3, "ife": 1, "nat": 1, "police": 1}
"""Which attribute of an action's options holds its control; 2 for the rest (linux:include/uapi/linux/tc_act)."""
CONTROLS = {
    -1: "continue", 0: "ok", 1: "reclassify", 2: "drop", 3: "pipe", 4: "stolen", 5: "queued", 6: "repeat",
    7: "redirect", 8: "trap",
}  # fmt: skip
MIRRED = {1: "egress redirect", 2: "egress mirror", 3: "ingress redirect", 4: "ingress mirror"}


def filter_entry(message: bytes) -> Optional[Facts]:
    """One filter; `None` for a message that only announces a priority, or a hash table of u32."""
    index, handle, _, info = struct.unpack_from("=iIII", message, 4)
    attrs = attributes(message, 20)
    if 2 not in attrs:
        return None
    kind, options = text(attrs.get(1, b"")), attributes(attrs[2], 0)
    if kind == "u32" and 5 not in options:  # TCA_U32_SEL
        return None
    entry: Facts = {
        "attachment": "filter",
        "kind": kind,
        "pref": info >> 16,
        "handle": handle,
        "chain": u32(attrs.get(11)) or 0,
        "protocol": socket.ntohs(info & 0xFFFF),
    }
    if kind == "bpf":
        entry["name"] = text(options.get(7, b""))
        entry["direct_action"] = bool((u32(options.get(8)) or 0) & 1)
        if 11 in options:
            entry["program"] = u32(options[11])
    actions = filter_actions(options.get(ACTIONS_OF.get(kind, 0), b""))
    if actions:
        entry["actions"] = actions
    if (u32(options.get(FLAGS_OF.get(kind, 0))) or 0) & 2:  # TCA_CLS_FLAGS_SKIP_SW
        entry["skip_sw"] = True
    if index == -1:  # TCM_IFINDEX_MAGIC_BLOCK
        entry["shared"] = True
    return entry


def filter_actions(data: bytes) -> List[str]:
    """
    Kinds and controls of the actions of a filter, in their order: `gact drop`, `mirred egress redirect stolen`.

    An action with two controls shows both: `police drop/ok` above and below a rate, `gact drop/ok` by chance.
    """
    found = []
    for _, action in sorted(attributes(data, 0).items()):
        attrs = attributes(action, 0)
        kind = text(attrs.get(1, b""))
        options = attributes(attrs.get(2, b""), 0)
        parms = options.get(PARMS_OF.get(kind, 2), b"")
        words = [kind]
        if kind == "mirred" and len(parms) >= 24:
            words.append(MIRRED.get(struct.unpack_from("=i", parms, 20)[0], "?"))
        if len(parms) >= 12:
            codes = [struct.unpack_from("=i", parms, 4 if kind == "police" else 8)[0]]
            if kind == "police":
                codes.append(signed(options.get(5)))  # TCA_POLICE_RESULT
            elif kind == "gact" and len(options.get(3, b"")) >= 8:  # TCA_GACT_PROB
                codes.append(signed(options[3][4:]))
            words.append("/".join(control(code) for code in codes))
        found.append(" ".join(words))
    return found


def control(code: int) -> str:
    """The control of an action, in the words of `tc`."""
    if code >> 28 == 2:
        return "goto chain {}".format(code & 0x0FFFFFFF)
    if code >> 28 == 1:
        return "jump {}".format(code & 0x0FFFFFFF)
    return CONTROLS.get(code, str(code))


def signed(data: Optional[bytes]) -> int:
    """Four bytes as a signed number; 0 without them."""
    return int(struct.unpack_from("=i", data)[0]) if data and len(data) >= 4 else 0


def u32(data: Optional[bytes]) -> Optional[int]:
    """Four bytes as a number; `None` without them."""
    return int(struct.unpack_from("=I", data)[0]) if data and len(data) >= 4 else None


# -- processes --------------------------------------------------------------------------------------------------

HOSTS_PIDS = 0xEFFFFFFC
"""The inode of the first PID namespace (linux:include/linux/proc_ns.h PROC_PID_INIT_INO)."""
AGENTS = ("system-probe", "security-agent", "agent")
PIDS_KEPT = 4


def host_proc(environment: Mapping[str, str]) -> str:
    """The path of the host's /proc: `HOST_PROC`, the chart's mount, or `/proc`."""
    for place in (environment.get("HOST_PROC"), "/host/proc"):
        if place and os.path.isdir(os.path.join(place, "1")):
            return place
    return "/proc"


class Processes:
    """
    The node's processes, as far as they can be seen.

    Of other processes than the Agent's, only what the kernel holds is read (name, links). They control their
    environment, command line and files, and reading those may never end.
    """

    def __init__(self, proc: str, unseen: List[str]) -> None:
        self.proc = proc
        self.unseen = unseen
        self.networks: Dict[int, List[int]] = {}
        """Inode of the network namespace -> a few pids."""
        self.agents: List[Tuple[str, int]] = []
        """Pairs of name and pid."""
        self.hidden = 0
        for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
            self._look_at(pid)
        if self.hidden:
            unseen.append(
                "The network namespaces of {} processes may not be read: it needs CAP_SYS_PTRACE.".format(self.hidden)
            )
        if proc == "/proc" and not self._are_all():
            unseen.append(
                "The host's processes cannot be seen from here (a PID namespace of its own, no host's /proc): "
                "only this container's network namespace was read, and which one is the host's is not known."
            )

    def _look_at(self, pid: int) -> None:
        try:
            with open("{}/{}/comm".format(self.proc, pid), "rb") as file:
                name = file.read(64).rstrip(b"\n").decode("utf-8", "replace")
        except OSError:
            return
        if name in AGENTS and (name != "agent" or self.is_datadogs(pid)):
            self.agents.append((name, pid))
        try:
            inode = int(os.readlink("{}/{}/ns/net".format(self.proc, pid))[5:-1])
        except PermissionError:
            self.hidden += pid != 1  # other processes show where it is
        except (OSError, ValueError):
            pass
        else:
            pids = self.networks.setdefault(inode, [])
            if len(pids) < PIDS_KEPT:
                pids.append(pid)

    def is_datadogs(self, pid: int) -> bool:
        """Other programs are named `agent`, too."""
        return "datadog" in self.link(pid, "exe")

    def command_line(self, pid: int) -> List[str]:
        return [word.decode("utf-8", "replace") for word in self.read(pid, "cmdline").split(b"\0") if word]

    def environment(self, pid: int) -> Dict[str, str]:
        """Its environment at its start. Raises `OSError`."""
        pairs = (word.partition(b"=") for word in self.read(pid, "environ", strict=True).split(b"\0"))
        return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, _, value in pairs if key}

    def link(self, pid: int, name: str) -> str:
        try:
            return os.readlink("{}/{}/{}".format(self.proc, pid, name))
        except OSError:
            return ""

    def read(self, pid: int, name: str, *, strict: bool = False) -> bytes:
        try:
            with open("{}/{}/{}".format(self.proc, pid, name), "rb") as file:
                return file.read(256 * 1024)
        except OSError:
            if strict:
                raise
            return b""

    def root(self, pid: int) -> str:
        """The root of the files that a process sees."""
        return "{}/{}/root".format(self.proc, pid)

    def first(self) -> Tuple[int, ...]:
        """
        The host's first processes, as far as is known.

        Kernel threads stay in the first namespaces, and may be readable where process 1 is not.
        """
        return (1, 2) if self.read(2, "comm") == b"kthreadd\n" else (1,)

    def own_mounts(self) -> str:
        """The mount namespace of this program, which identifies its container."""
        try:
            return os.readlink("/proc/self/ns/mnt")
        except OSError:
            return ""

    def host_network(self) -> Optional[int]:
        """The inode of the host's network namespace; `None` when it cannot be told."""
        if self.proc == "/proc" and not self._are_all():
            return None
        for pid in self.first():
            try:
                return int(os.readlink("{}/{}/ns/net".format(self.proc, pid))[5:-1])
            except (OSError, ValueError):
                continue
        return None

    def _are_all(self) -> bool:
        try:
            return os.stat("/proc/self/ns/pid").st_ino == HOSTS_PIDS
        except OSError:
            return True


# -- namespaces -------------------------------------------------------------------------------------------------

NAMED = ("run/netns", "var/run/netns", "run/docker/netns")


def find_namespaces(processes: Processes, unseen: List[str]) -> List[Facts]:
    """Every visible network namespace, our own and the host's first: dicts with `inode`, `paths` and what is shown."""
    own, device = 0, 0
    try:
        status = os.stat("/proc/self/ns/net")
        own, device = status.st_ino, status.st_dev
    except OSError as error:
        unseen.append("The network namespace of this process cannot be read: {}.".format(why(error)))
    host = processes.host_network()
    found: Dict[int, Facts] = {own: {"inode": own, "paths": [None]}}
    for inode, pids in processes.networks.items():
        namespace = found.setdefault(inode, {"inode": inode, "paths": []})
        namespace["pids"] = pids
        namespace["paths"] += ["{}/{}/ns/net".format(processes.proc, pid) for pid in pids]
    for inode, path in _named(processes, device):
        namespace = found.setdefault(inode, {"inode": inode, "paths": []})
        namespace.setdefault("name", text(os.fsencode(os.path.basename(path))))
        namespace["paths"].append(path)
    if host is not None and host not in found:
        found[host] = {"inode": host, "paths": [processes.proc + "/1/ns/net", processes.proc + "/2/ns/net"]}
    for namespace in found.values():
        namespace["host"] = namespace["inode"] == host
        namespace.setdefault("name", "host" if namespace["host"] else _name(processes, namespace.get("pids", ())))
        if not namespace["host"] and namespace.get("pids"):
            namespace["uts"] = "{}/{}/ns/uts".format(processes.proc, namespace["pids"][0])
    if host is None:
        unseen.append("Which network namespace is the host's is not known.")
    if len(found) > MOST_NAMESPACES:
        unseen.append("There are {} network namespaces; {} were read.".format(len(found), MOST_NAMESPACES))
    # Our own first, before the thread leaves it.
    order = sorted(found.values(), key=lambda each: (None not in each["paths"], not each["host"], each["inode"]))
    return order[:MOST_NAMESPACES]


def _named(processes: Processes, device: int) -> Iterator[Tuple[int, str]]:
    """Pairs of inode and path of named namespaces, which may have no process."""
    for root in [processes.root(pid) + "/" for pid in processes.first()] + ["/"]:
        for folder in NAMED:
            try:
                names = os.listdir(root + folder)
            except OSError:
                continue
            for name in names:
                path = os.path.join(root + folder, name)
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                if status.st_dev == device:  # otherwise a stale file
                    yield status.st_ino, path


def _name(processes: Processes, pids: Iterable[int]) -> str:
    """The name of one of its processes, other than `pause` if possible."""
    names = [text(processes.read(pid, "comm").rstrip(b"\n")) for pid in pids]
    return next((name for name in names if name != "pause"), "".join(names[:1]))


def host_name(path: str, bpf: Bpf) -> str:
    """The host name in the UTS namespace at a path; a pod has its own. Empty when it cannot be entered."""
    try:
        here, there = os.open("/proc/self/ns/uts", os.O_RDONLY), -1
    except OSError:
        return ""
    try:
        there = os.open(path, os.O_RDONLY)
        bpf.enter(there, UTS)
        name = text(os.uname().nodename)
        bpf.enter(here, UTS)
    except OSError:
        return ""
    finally:
        for descriptor in (here, there):
            if descriptor >= 0:
                os.close(descriptor)
    return name


def read_namespace(namespace: Facts, bpf: Bpf) -> Optional[Facts]:
    """A namespace with its devices; `None` when it is gone. `unseen` says when it is not permitted."""
    shown: Facts = {key: namespace[key] for key in ("inode", "host", "pids", "name") if namespace.get(key)}
    shown["devices"], shown["unseen"] = [], []
    here = None
    try:
        if None not in namespace["paths"]:
            here = os.open("/proc/self/ns/net", os.O_RDONLY)
            _enter(namespace, bpf)
        read_devices(shown, bpf)
        hostname = host_name(namespace["uts"], bpf) if namespace.get("uts") else ""
        if hostname and hostname != os.uname().nodename:
            shown["name"] = text("{} ({})".format(hostname, shown["name"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        shown["unseen"].append("This network namespace could not be read: {}.".format(why(error)))
    finally:
        if here is not None:
            _return(bpf, here)
    return shown


def _enter(namespace: Facts, bpf: Bpf) -> None:
    """Enter it by the first path that still leads there."""
    failure: OSError = FileNotFoundError(errno.ENOENT, "it is gone")
    for path in namespace["paths"]:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except ProcessLookupError:
            continue
        except OSError as error:
            failure = error
            continue
        try:
            if os.fstat(descriptor).st_ino == namespace["inode"]:
                bpf.enter(descriptor)
                return
        finally:
            os.close(descriptor)
    raise failure


def _return(bpf: Bpf, here: int) -> None:
    with contextlib.suppress(OSError):  # fails only where entering fails
        bpf.enter(here)
    os.close(here)


def read_devices(shown: Facts, bpf: Bpf) -> None:
    """Read the devices of the thread's namespace."""
    netlink = Netlink()
    try:
        devices, kinds = links(netlink), qdiscs(netlink)
        read = [device for device in devices.values() if read_device(device, kinds, netlink, bpf)]
        # A filter dump of a device that is gone is empty, not an error (linux:net/sched/cls_api.c tc_dump_tfilter).
        there = indexes(netlink)
        shown["devices"] = [device for device in read if device["index"] in there]
        kept = {device["index"] for device in shown["devices"]}
        gone = [device["name"] for index, device in devices.items() if index not in kept]
        if gone:
            shown["vanished"] = gone
        if netlink.interrupted:
            shown["unseen"].append("Devices changed while they were listed, three times: the list may not be whole.")
    finally:
        netlink.close()


def read_device(device: Facts, qdisc_kinds: Mapping[int, str], netlink: Netlink, bpf: Bpf) -> bool:
    """Read both chains of a device, in execution order. False when it is gone."""
    qdisc, unseen = qdisc_kinds.get(device["index"], ""), device.setdefault("unseen", [])
    device.update({"clsact": qdisc == "clsact", "qdisc": qdisc, "tcx_seen": True})
    try:
        for direction in ("ingress", "egress"):
            device[direction] = _attached(device, bpf, TCX[direction])
            # The older qdisc lists its ingress filters for any parent (linux:net/sched/sch_ingress.c).
            if qdisc == "clsact" or (qdisc == "ingress" and direction == "ingress"):
                device[direction] += _filters(device, netlink, direction)
        if device.get("kind") == "netkit":
            _with_netkit(device, bpf)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        unseen.append("Its programs could not be read: {}.".format(why(error)))
        device["tcx_seen"] = False
    if not unseen:
        del device["unseen"]
    return True


def _filters(device: Facts, netlink: Netlink, direction: str) -> List[Facts]:
    try:
        return filters(netlink, device["index"], direction)
    except OSError as error:
        device["unseen"].append("Its {} filters could not be read: {}.".format(direction, why(error)))
        return []


def _attached(device: Facts, bpf: Bpf, kind: int) -> List[Facts]:
    """tcx programs by bpf(2); none on a kernel without tcx. What may not be listed is noted."""
    if bpf.has_tcx is False:
        return []
    try:
        found = bpf.attached(device["index"], kind)
    except OSError as error:
        if error.errno == errno.EINVAL:
            bpf.has_tcx = False
        else:
            _not_listed(device, "tcx", error)
        return []
    bpf.has_tcx = True
    return [{"attachment": "tcx", "program": program} for program in found]


def _not_listed(device: Facts, what: str, error: OSError) -> None:
    """Note once what may not be listed. Raises the error when the device is gone."""
    if error.errno == errno.ENODEV:
        raise error
    note = "Its {} programs could not be listed: {} (it needs CAP_NET_ADMIN).".format(what, why(error))
    if note not in device["unseen"]:
        device["unseen"].append(note)
    device["tcx_seen"] = False


def _with_netkit(device: Facts, bpf: Bpf) -> None:
    """
    Add netkit's programs where their packets pass: the primary's after its egress, the peer's before its ingress.

    Both are read from the primary; the peer refuses (linux:drivers/net/netkit.c netkit_dev_fetch: EACCES).
    """
    try:
        after, before = bpf.attached(device["index"], NETKIT_PRIMARY), bpf.attached(device["index"], NETKIT_PEER)
    except OSError as error:
        if error.errno == errno.EACCES:
            device["netkit"] = "peer"
        else:
            _not_listed(device, "netkit", error)
        return
    device["netkit"] = "primary"
    device["ingress"] = _netkit(before) + device["ingress"]
    device["egress"] = device["egress"] + _netkit(after)


def _netkit(programs: Iterable[int]) -> List[Facts]:
    return [{"attachment": "netkit", "program": program} for program in programs]


def pair_netkits(namespaces: Sequence[Facts]) -> None:
    """
    Add to each peer of a netkit pair what the primary listed: its own programs after its egress, the primary's before
    its ingress. A pair is two devices that name each other's index; without exactly one match, the peer was not seen.
    """
    pairs: Dict[Tuple[Any, Any], List[Facts]] = {}
    devices = [device for namespace in namespaces for device in namespace["devices"]]
    for device in devices:
        if device.get("netkit") == "primary":
            pairs.setdefault((device.get("link"), device["index"]), []).append(device)
    for device in devices:
        if device.get("netkit") != "peer":
            continue
        primaries = pairs.get((device["index"], device.get("link")), [])
        if len(primaries) != 1:
            device["tcx_seen"] = False
            device.setdefault("unseen", []).append(
                "Its netkit programs are known to its primary device, which was not found."
            )
            continue
        device["ingress"] = _of_netkit(primaries[0]["egress"]) + device["ingress"]
        device["egress"] = device["egress"] + _of_netkit(primaries[0]["ingress"])


def _of_netkit(chain: Iterable[Facts]) -> List[Facts]:
    return [dict(entry) for entry in chain if entry["attachment"] == "netkit"]


def program_ids(namespaces: Iterable[Facts]) -> List[int]:
    """The ids of all attached programs, in the order in which they were found."""
    found: Dict[int, None] = {}
    for namespace in namespaces:
        for device in namespace["devices"]:
            for direction in ("ingress", "egress"):
                for entry in device.get(direction, ()):
                    if entry.get("program"):
                        found[entry["program"]] = None
    return list(found)


# -- programs ---------------------------------------------------------------------------------------------------


class Programs:
    """Reads each program once, and those that its tail calls can reach."""

    def __init__(self, bpf: Bpf, programs: Dict[int, Facts], arrays: Dict[int, Facts], unseen: List[str]) -> None:
        self._bpf = bpf
        self._programs = programs
        self._arrays = arrays
        self._unseen = unseen
        self._code = ctypes.create_string_buffer(MOST_CODE)
        self._maps = (ctypes.c_uint32 * MOST_MAPS)()
        self._bodies: Dict[bytes, int] = {}
        """Instructions with their maps blanked -> the program that had them first."""
        self._calls: Dict[int, Dict[int, int]] = {}
        """Program -> index of the calling instruction -> what it calls, as an offset to `__bpf_call_base`."""
        self._left = MOST_INSTRUCTION_BYTES
        self._entries_left = MOST_ENTRIES
        self._other_maps: Set[int] = set()

    def read(self, ids: Iterable[int]) -> None:
        """Read programs, and those that their program arrays hold."""
        waiting = list(ids)
        for number in waiting:  # grows during the loop
            if number in self._programs:
                continue
            if len(self._programs) >= MOST_PROGRAMS:
                self._unseen.append("There are more than {} programs; the rest was not read.".format(MOST_PROGRAMS))
                break
            program, tail_calls = self._read(number)
            self._programs[number] = program
            if tail_calls:
                for array in program["maps"]:
                    waiting.extend(self._array(array))

    def _read(self, number: int) -> Tuple[Facts, bool]:
        """A program, and whether it makes tail calls."""
        try:
            descriptor = self._bpf.open(PROG_FD, number)
        except OSError as error:
            return {"id": number, "unseen": [_not_opened(error)]}, False
        try:
            return self._described(number, descriptor)
        except OSError as error:
            return {"id": number, "unseen": ["It could not be read: {}.".format(why(error))]}, False
        finally:
            os.close(descriptor)

    def _described(self, number: int, descriptor: int) -> Tuple[Facts, bool]:
        info = self._info(descriptor)
        kind, size = struct.unpack_from("=I", info, 0)[0], struct.unpack_from("=I", info, 20)[0]
        shown, maps = struct.unpack_from("=Q", info, 32)[0], struct.unpack_from("=I", info, 52)[0]
        program: Facts = {"id": number, "type": kind, "name": text(info[64:80]), "tag": info[8:16].hex()}
        program["maps"] = list(self._maps[: min(maps, MOST_MAPS)])
        tail_calls = True
        if not size or not shown:
            program["unseen"] = ["The kernel hides its instructions (bpf_jit_harden, kptr_restrict)."]
        elif size > MOST_CODE:
            program["unseen"] = ["Its instructions are {} bytes, which is too many.".format(size)]
        else:
            tail_calls = self._instructions(program, ctypes.string_at(self._code, size))
        return program, tail_calls

    def _info(self, descriptor: int) -> bytes:
        """`struct bpf_prog_info` (linux:include/uapi/linux/bpf.h), with instructions and maps in our buffers."""
        info = ctypes.create_string_buffer(88)
        struct.pack_into("=I", info, 20, MOST_CODE)
        struct.pack_into("=Q", info, 32, ctypes.addressof(self._code))
        struct.pack_into("=I", info, 52, MOST_MAPS)
        struct.pack_into("=Q", info, 56, ctypes.addressof(self._maps))
        self._bpf.info(descriptor, info)
        return info.raw

    def _instructions(self, program: Facts, code: bytes) -> bool:
        """Store the instructions, or which program has the same. Returns whether there are tail calls."""
        body, loads = without_maps(code)
        first = self._bodies.setdefault(body, program["id"])
        if loads:
            program["loads"] = loads
        if first != program["id"]:
            program["same_as"] = first
            return TAIL_CALL in self._calls.get(first, {}).values()
        calls = self._calls[first] = called(code)
        if len(code) > self._left:
            program["unseen"] = ["The instructions of all programs together are too many: these were left out."]
        else:
            self._left -= len(code)
            program["instructions"] = base64.b64encode(code).decode("ascii")
        return TAIL_CALL in calls.values()

    def _array(self, number: int) -> Iterable[int]:
        """The programs in a map that was not read before, if it is a program array."""
        if number in self._other_maps or number in self._arrays:
            return ()
        found = self._read_map(number)
        if found is None:
            self._other_maps.add(number)
            return ()
        self._arrays[number] = found
        entries: Dict[int, int] = found.get("entries", {})
        return entries.values()

    def _read_map(self, number: int) -> Optional[Facts]:
        try:
            descriptor = self._bpf.open(MAP_FD, number)
        except OSError as error:
            return {"id": number, "unseen": [_not_opened(error)]}
        try:
            info = ctypes.create_string_buffer(24)
            self._bpf.info(descriptor, info)
            kind, _, _, _, size = struct.unpack_from("=IIIII", info)
            return self._entries(number, descriptor, size) if kind == PROG_ARRAY else None
        except OSError as error:
            return {"id": number, "unseen": ["It could not be read: {}.".format(why(error))]}
        finally:
            os.close(descriptor)

    def _entries(self, number: int, descriptor: int, size: int) -> Facts:
        if size > self._entries_left:
            return {"id": number, "unseen": ["It has {} places, which is too many to look at.".format(size)]}
        self._entries_left -= size
        return {"id": number, "entries": dict(self._bpf.entries(descriptor, size))}

    def name_calls(self, kallsyms: str) -> None:
        """Store the names of helper calls, where the kernel shows addresses."""
        wanted = {offset for calls in self._calls.values() for offset in calls.values()}
        names = helper_names(kallsyms, wanted - {0, TAIL_CALL})
        names[TAIL_CALL] = "bpf_tail_call"
        for number, calls in self._calls.items():
            named = {index: names[offset] for index, offset in calls.items() if offset in names}
            if named:
                self._programs[number]["calls"] = named
            if len(named) < len(calls):
                note = "The kernel does not tell which helper functions it calls (it needs CAP_SYSLOG; kptr_restrict)."
                self._programs[number].setdefault("unseen", []).append(note)

    def find_replacements(self) -> None:
        """
        Store which programs replace functions of others (freplace), as those of a dispatcher do.
        The instructions of a replaced program do not show what it returns.
        """
        for count, link in enumerate(self._bpf.links(MOST_LINKS), 1):
            if count == MOST_LINKS:
                self._unseen.append(
                    "There may be more than {} links: which programs others replace is not all known.".format(count)
                )
            kind, _, number, _, _, target = struct.unpack_from("=IIIIII", link)
            if kind == TRACING_LINK and target in self._programs and self._type(number) == EXTENSION:
                self._programs[target].setdefault("replaced_by", []).append(number)

    def _type(self, number: int) -> Optional[int]:
        """The type of a program that was not read."""
        try:
            descriptor = self._bpf.open(PROG_FD, number)
        except OSError:
            return None
        try:
            info = ctypes.create_string_buffer(8)
            self._bpf.info(descriptor, info)
            return u32(info.raw)
        except OSError:
            return None
        finally:
            os.close(descriptor)


MOST_LINKS = 5000
MOST_CODE = 8 * 1024 * 1024
MOST_MAPS = 512
MOST_ENTRIES = 400000
"""Slots in all program arrays together: reading one takes about a microsecond."""
TAIL_CALL = 12
"""The offset of a tail call in dumps (linux:kernel/bpf/syscall.c bpf_insn_prepare_dump); no helper has one so small."""


def _not_opened(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "It vanished before it was read."
    return "It may not be looked at: {} (it needs CAP_SYS_ADMIN).".format(why(error))


def without_maps(code: bytes) -> Tuple[bytes, List[int]]:
    """Instructions with the ids of the maps that they load blanked, and those ids in their order."""
    opcodes, blank = code[::8], bytearray(code)
    loads: List[int] = []
    index = opcodes.find(0x18)
    while index >= 0:
        if _source(code, index) in (1, 2, 5, 6):  # BPF_PSEUDO_MAP_FD, _VALUE, _IDX, _IDX_VALUE
            loads.append(struct.unpack_from("=I", code, index * 8 + 4)[0])
            blank[index * 8 + 4 : index * 8 + 8] = bytes(4)
        index = opcodes.find(0x18, index + 2)
    return bytes(blank), loads


def _source(code: bytes, index: int) -> int:
    """The source register of an instruction; the two registers share a byte, in the machine's order."""
    return code[index * 8 + 1] >> 4 if sys.byteorder == "little" else code[index * 8 + 1] & 15


def called(code: bytes) -> Dict[int, int]:
    """Helper calls: index of the instruction -> offset to `__bpf_call_base`; 0 where the kernel hides it."""
    opcodes = code[::8]
    found: Dict[int, int] = {}
    index = opcodes.find(0x85)
    while index >= 0:
        if _source(code, index) == 0:  # not a function of the program (1) or of the kernel (2)
            found[index] = struct.unpack_from("=i", code, index * 8 + 4)[0]
        index = opcodes.find(0x85, index + 1)
    return found


def helper_names(kallsyms: str, offsets: Set[int]) -> Dict[int, str]:
    """
    The names of helper functions by their offset to `__bpf_call_base` (linux:kernel/bpf/verifier.c do_misc_fixups).

    The file is five megabytes: it is searched, not parsed.
    """
    if not offsets:
        return {}
    try:
        with open(kallsyms, "rb") as file:
            symbols = b"\n" + file.read(64 * 1024 * 1024)
    except OSError:
        return {}
    base = re.search(rb"\n([0-9a-f]+) \w __bpf_call_base\n", symbols)
    if not base or not int(base.group(1), 16):
        return {}
    digits = len(base.group(1))
    names: Dict[int, str] = {}
    for offset in offsets:
        address = (int(base.group(1), 16) + offset) % (1 << 4 * digits)
        found = re.findall(rb"\n%0*x \w (\w+)" % (digits, address), _around(symbols, b"\n%0*x " % (digits, address)))
        if found:
            names[offset] = text(next((name for name in found if name.startswith(b"bpf_")), found[0]))
    return names


def _around(symbols: bytes, start: bytes) -> bytes:
    """600 bytes from the first line that starts so; several symbols may share an address."""
    place = symbols.find(start)
    return symbols[place : place + 600] if place >= 0 else b""


# -- the Agent --------------------------------------------------------------------------------------------------

OLD, NEW = "runtime_security_config.", "event_monitoring_config."
"""An old key that is set overrides the new one
(DataDog/datadog-agent:pkg/security/probe/config/config.go@006787fa getInt)."""
SETTINGS: Dict[str, Tuple[str, ...]] = {
    "runtime_security.enabled": (OLD + "enabled",),
    "ebpfless.enabled": (OLD + "ebpfless.enabled",),
}
SETTINGS.update(
    {
        name: (OLD + name, NEW + name)
        for name in (
            "network.enabled",
            "network.classifier_priority",
            "network.classifier_handle",
            "network.raw_classifier_handle",
            "network.ingress.enabled",
            "network.raw_packet.enabled",
            "network.lazy_interface_prefixes",
        )
    }
)
KEYS = {key for keys in SETTINGS.values() for key in keys}
CONFIGURED = "/etc/datadog-agent"
INSTALLED = "/opt/datadog-agent"
MOST_FILE = 1024 * 1024


class Source:
    """One source of settings: an environment or a file."""

    def __init__(self, name: str, values: Mapping[str, str], *, environment: bool = False) -> None:
        self.name = text(name, 1000)
        self._values = values
        self._environment = environment

    def find(self, key: str) -> Optional[Facts]:
        """The value of a key; an empty variable is not set."""
        name = "DD_" + key.upper().replace(".", "_") if self._environment else key
        value = self._values.get(name)
        return {"value": text(value, 1000), "key": name, "source": self.name} if value else None


def agent(processes: Processes) -> Facts:
    """The Agent of this node: its processes, version and settings."""
    unseen: List[str] = []
    running: Dict[str, int] = {}
    for name, pid in processes.agents:
        running.setdefault(name, pid)
    probe = _system_probe(processes, unseen)
    if probe is not None:
        running["system-probe"] = probe
    roots = ["", processes.root(probe)] if probe is not None else [""]
    found: Facts = {"running": running, "version": next(filter(None, map(_version, roots)), None), "unseen": unseen}
    sources = _sources(processes, probe, unseen) if probe is not None else []
    found["settings_seen"] = bool(sources)
    found["settings"] = dict(_settings(sources))
    return found


def _system_probe(processes: Processes, unseen: List[str]) -> Optional[int]:
    """The system-probe to report: one in our mount namespace, or else the first."""
    pids = [pid for name, pid in processes.agents if name == "system-probe"]
    own = processes.own_mounts()
    here = [pid for pid in pids if own and processes.link(pid, "ns/mnt") == own]
    if not pids:
        unseen.append("No running system-probe was seen.")
    elif len(here or pids) > 1:
        unseen.append(
            "{} system-probes run here; the settings are those of process {}.".format(
                len(here or pids), (here or pids)[0]
            )
        )
    return next(iter(here or pids), None)


def _settings(sources: Sequence[Source]) -> Iterator[Tuple[str, Facts]]:
    """Each setting that is set: an older key before a newer one, then a stronger source first."""
    for name, keys in SETTINGS.items():
        setting = next((found for key in keys for source in sources for found in [source.find(key)] if found), None)
        if setting:
            yield name, setting


def _sources(processes: Processes, pid: int, unseen: List[str]) -> List[Source]:
    """
    Sources of a system-probe's settings, the strongest first: fleet policies, its environment, its file
    (DataDog/datadog-agent:pkg/config/nodetreemodel/config.go). Empty when none could be read.
    """
    found: List[Source] = []
    environment: Dict[str, str] = {}
    try:
        environment = processes.environment(pid)
        found.append(Source("environment of system-probe (pid {})".format(pid), environment, environment=True))
    except OSError as error:
        unseen.append("The environment of system-probe could not be read: {}.".format(why(error)))
    words = processes.command_line(pid)
    path = _option(words, ("--config", "-c", "--cfgpath")) or CONFIGURED
    path = os.path.join(processes.link(pid, "cwd") or "/", path)
    configured = _file(processes.root(pid), path, unseen)
    policies = _option(words, ("--fleetcfgpath",)) or environment.get("DD_FLEET_POLICIES_DIR", "")
    managed = _file(processes.root(pid), policies, unseen) if policies else None
    return ([managed] if managed else []) + found + ([configured] if configured else [])


def _option(words: Sequence[str], names: Sequence[str]) -> str:
    """The value of an option on a command line."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else "".join(words[place + 1 : place + 2])
    return ""


def _file(root: str, path: str, unseen: List[str]) -> Optional[Source]:
    """The `system-probe.yaml` at a path, which may be its folder's. A missing file sets nothing."""
    if not path.endswith((".yaml", ".yml")):
        path = path.rstrip("/") + "/system-probe.yaml"
    try:
        content = regular_file(root + path)
    except (FileNotFoundError, NotADirectoryError):
        return Source(path, {})
    except OSError as error:
        unseen.append("{} could not be read: {}.".format(text(path), why(error)))
        return None
    if len(content) > MOST_FILE:
        unseen.append("{} is too large to be read.".format(text(path)))
        return None
    values, unread = read_yaml(
        content.decode("utf-8", "replace"), ("runtime_security_config", "event_monitoring_config")
    )
    unseen.extend("Line {} of {} could not be read.".format(line, text(path)) for line in unread[:5])
    return Source(path, values)


def regular_file(path: str) -> bytes:
    """At most MOST_FILE + 1 bytes of a regular file. Other files raise: reading a pipe may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return file.read(MOST_FILE + 1)


def _version(root: str) -> Optional[str]:
    """The version, as `7.70.1`, from the Agent's package manifest."""
    for name in ("version-manifest.json", "version-manifest.txt"):
        try:
            head = regular_file("{}{}/{}".format(root, INSTALLED, name)).decode("utf-8", "replace")
        except OSError:
            continue
        found = re.search(r'"build_version"\s*:\s*"([^"]+)"', head) or re.match(r"\S+ (\d+\.\d+\.\S+)", head)
        if found:
            return text(found.group(1), 64)
    return None


# -- YAML -------------------------------------------------------------------------------------------------------

_KEY = re.compile(
    r"""( *)("[^"]*" *|'[^']*' *|[^\s"'#\[\]{}&*!|>%@`,:-](?:[^#\[\]{}:]|:(?=[^ ]))*):(?: +(.*)|$)"""  # linear in its input
)
_ITEM = re.compile(r"( *)-(?: +(.*)|$)")


class _Unread(Exception):
    """Not supported here, though it may be valid YAML."""


def read_yaml(document: str, sections: Sequence[str]) -> Tuple[Dict[str, str], List[int]]:
    """
    Scalars and lists of scalars of block mappings, by dotted key, and the numbers of lines that could not be read.

    A subset of YAML: the rest (anchors, tags, merges, several documents, scalars over several lines) is not guessed.
    Lines outside of the wanted sections are ignored. Keys are lower-cased, as by the Agent.
    """
    found: Dict[str, List[str]] = {}
    unread: List[int] = []
    path: List[Tuple[int, str]] = []
    skipped: Optional[int] = None
    for number, line in enumerate(document.splitlines(), 1):
        bare = line.strip()
        indent = len(line) - len(line.lstrip(" "))
        if not bare or bare.startswith("#") or (number == 1 and bare.startswith("\ufeff#")):
            continue
        if bare == "---":
            if path:  # another document
                unread.append(number)
                break
            continue
        if skipped is not None and indent > skipped:
            continue
        skipped = None
        try:
            skipped = _read_line(line, indent, path, found)
        except _Unread:
            if not path or indent == 0 or path[0][1] in sections:
                unread.append(number)
            skipped = indent or None
    wanted = tuple(section + "." for section in sections)
    return {key: ", ".join(values) for key, values in found.items() if key.startswith(wanted)}, unread


def _read_line(line: str, indent: int, path: List[Tuple[int, str]], found: Dict[str, List[str]]) -> Optional[int]:
    """Parse one line. Returns the indent beyond which the following lines belong to a scalar, if any do."""
    item = _ITEM.fullmatch(line)
    if item:
        return _read_item(item.group(2) or "", indent, path, found)
    pair = _KEY.fullmatch(line.rstrip())
    if not pair:
        raise _Unread
    while path and path[-1][0] >= indent:
        path.pop()
    key = pair.group(2).strip().strip("\"'").lower()
    if key == "<<":
        raise _Unread
    path.append((indent, key))
    value = _uncommented(pair.group(3) or "")
    name = ".".join(part for _, part in path)
    if value[:1] in ("|", ">"):
        if name in KEYS:
            raise _Unread
        return indent
    if value.startswith("{"):
        found.update({name + "." + inner: [scalar] for inner, scalar in _flow_mapping(value)})
    elif value.startswith("["):
        found[name] = _flow_list(value)
    elif value:
        found[name] = [_scalar(value)]
    return None


def _read_item(value: str, indent: int, path: List[Tuple[int, str]], found: Dict[str, List[str]]) -> Optional[int]:
    """Parse an item of the innermost key's list. Items that hold more than a scalar are skipped."""
    while path and path[-1][0] > indent:
        path.pop()
    value = _uncommented(value)
    if not path or not value or value[0] in "[{|>" or re.match(r"- |-$|[^\"']*:( |$)", value):
        return indent
    found.setdefault(".".join(part for _, part in path), []).append(_scalar(value))
    return None


def _uncommented(value: str) -> str:
    """A value without its trailing comment."""
    if value[:1] in "\"'" and value:
        end = value.find(value[0], 1)
        return value[: end + 1] if end > 0 and value[end + 1 :].strip()[:1] in ("", "#") else value
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()


def _scalar(value: str) -> str:
    """A scalar on one line; empty for null."""
    if value[0] in "\"'":
        if len(value) < 2 or value[-1] != value[0] or value[0] in value[1:-1] or "\\" in value:
            raise _Unread
        return value[1:-1]
    if value[0] in "&*!%@`":
        raise _Unread
    return "" if value in ("~", "null", "Null", "NULL") else value


def _flow_list(value: str) -> List[str]:
    if not value.endswith("]") or any(character in value[1:-1] for character in "[]{}"):
        raise _Unread
    return [_scalar(part.strip()) for part in value[1:-1].split(",") if part.strip()]


def _flow_mapping(value: str) -> Iterator[Tuple[str, str]]:
    if not value.endswith("}") or any(character in value[1:-1] for character in "[]{}"):
        raise _Unread
    for part in value[1:-1].split(","):
        key, colon, scalar = part.partition(":")
        if part.strip():
            if not colon or not scalar.strip():
                raise _Unread
            yield key.strip().strip("\"'").lower(), _scalar(scalar.strip())


if __name__ == "__main__":
    sys.exit(main())
