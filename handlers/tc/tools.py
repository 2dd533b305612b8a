"""
Collects evidence without Python: from `tc -j` and `bpftool -j`, where they are installed.

They see less: one network namespace, no instructions, tcx only from bpftool 7.3 on, and no settings. `unseen` lists
all of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from handlers.errors import BinaryMissing
from handlers.executors.base import Completed
from handlers.redaction import clean
from handlers.tc.evidence import MOST_NAME, AgentSeen, Attachment, Device, Entry, Evidence, Namespace, Program

Run = Callable[[Sequence[str]], Awaitable[Completed]]

WHY = "there is no Python for the collector"
MOST_LINKS = 2000
MOST_LISTINGS = 200
"""Limit of filter listings, each of which is a separate command."""
TCX_KERNEL = (6, 6)
TCX_BPFTOOL = (7, 3)
"""The first version that lists tcx programs (bpftool 7.3 belongs to Linux 6.6)."""
TYPES = {"sched_cls": 3, "sched_act": 4, "ext": 28}
_DEVICE_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+-]{0,14}")


async def collect(run: Run) -> Evidence | None:
    """Collect evidence with the tools; `None` when there is no `tc`. Raises any `ExecError` but `BinaryMissing`."""
    qdiscs = await _rows(run, "tc", "-j", "qdisc", "show")
    if qdiscs is None:
        return None
    return await _Tools(run).evidence(qdiscs)


class _Tools:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._listings = 0
        self._unseen = ["Without Python, only `tc` and `bpftool` could be asked, which see one network namespace."]

    async def evidence(self, qdiscs: Sequence[Mapping[str, Any]]) -> Evidence:
        kernel = await _line(self._run, "uname", "-r")
        attached = await self._attached(kernel)
        links = await _rows(self._run, "ip", "-j", "-d", "link", "show")
        if links is None:
            links = [{"ifname": name} for name in dict.fromkeys(str(qdisc.get("dev", "")) for qdisc in qdiscs)]
            self._unseen.append("There is no `ip`: devices without a queue were not listed.")
        holders = {str(qdisc.get("dev")): str(qdisc.get("kind")) for qdisc in qdiscs if qdisc.get("handle") == "ffff:"}
        devices = [await self._device(link, holders, attached) for link in links[:MOST_LINKS]]
        own, host = [await _line(self._run, "readlink", f"/proc/{pid}/ns/net") for pid in ("self", "1")]
        namespace = Namespace(inode=_inode(own), host=bool(own) and own == host, devices=tuple(devices))
        return Evidence(
            collector="tools",
            kernel=kernel,
            agent=AgentSeen(settings_seen=False, unseen=("Its settings cannot be read with these tools.",)),
            namespaces=(namespace,),
            programs=await self._programs(),
            unseen=tuple(self._unseen),
        )

    async def _attached(self, kernel: str) -> Sequence[Mapping[str, Any]] | None:
        """The tcx and netkit programs; `None` when they could not be listed. A kernel before 6.6 has none."""
        if (_version(kernel) or TCX_KERNEL) < TCX_KERNEL:
            return []
        version = await _json(self._run, "bpftool", "-j", "version")
        if not isinstance(version, Mapping) or (_version(str(version.get("version"))) or (0, 0)) < TCX_BPFTOOL:
            self._unseen.append("There is no `bpftool` that lists tcx programs (7.3 and newer do).")
            return None
        shown = await _rows(self._run, "bpftool", "-j", "net", "show")
        if not shown:
            self._unseen.append("`bpftool` could not list tcx programs.")
            return None
        return [each for each in _mappings(shown[0].get("tc")) if str(each.get("kind")).startswith(("tcx/", "netkit/"))]

    async def _device(
        self, link: Mapping[str, Any], holders: Mapping[str, str], attached: Sequence[Mapping[str, Any]] | None
    ) -> Device:
        name = str(link.get("ifname", ""))
        holder, unseen = holders.get(name, ""), []
        chains: dict[str, tuple[Entry, ...]] = {}
        for direction in ("ingress", "egress"):
            first = [_program(each) for each in attached or () if _is_at(each, name, f"tcx/{direction}")]
            if holder == "clsact" or (holder == "ingress" and direction == "ingress"):
                found = await self._filters(name, direction)
                unseen += [] if found is not None else [f"Its {direction} filters could not be listed."]
                first += found or []
            chains[direction] = tuple(first)
        if any(_is_at(each, name, "netkit/") for each in attached or ()):
            unseen.append("It has netkit programs, whose place these tools do not tell.")
        return Device(
            name=_name(name),
            index=_number(link.get("ifindex")) or 0,
            kind=_kind(link),
            up="UP" in link["flags"] if isinstance(link.get("flags"), list) else None,
            clsact=holder == "clsact",
            qdisc=_name(holder),
            ingress=chains["ingress"],
            egress=chains["egress"],
            tcx_seen=attached is not None,
            unseen=tuple(unseen),
        )

    async def _filters(self, name: str, direction: str) -> list[Entry] | None:
        """The classic filters of a chain; `None`: not listed. A name that is no plain word is never an argument."""
        self._listings += 1
        if not _DEVICE_NAME.fullmatch(name) or self._listings > MOST_LISTINGS:
            return None
        shown = await _rows(self._run, "tc", "-j", "filter", "show", "dev", name, direction)
        if shown is None:
            return None
        entries = [_filter(each) for each in shown if _is_filter(each)]
        return sorted(entries, key=lambda entry: entry.chain or 0)

    async def _programs(self) -> Mapping[int, Program]:
        shown = await _rows(self._run, "bpftool", "-j", "prog", "show")
        hidden = ("Its instructions cannot be read with these tools.",)
        return {
            number: Program(
                id=number,
                type=TYPES.get(str(each.get("type"))),
                name=_name(each.get("name", "")),
                tag=str(each.get("tag", ""))[:32],
                unseen=hidden,
            )
            for each in shown or ()
            if str(each.get("type")) in TYPES and (number := _number(each.get("id")))
        }


def _kind(link: Mapping[str, Any]) -> str:
    info = link.get("linkinfo")
    return _name(info.get("info_kind", "")) if isinstance(info, Mapping) else ""


def _filter(shown: Mapping[str, Any]) -> Entry:
    options = shown["options"]
    program = options.get("prog")
    return Entry(
        attachment=Attachment.FILTER,
        kind=_name(shown.get("kind", "")),
        pref=_number(shown.get("pref")),
        handle=_handle(options),
        chain=_number(shown.get("chain")),
        program=_number(program.get("id")) if isinstance(program, Mapping) else None,
        name=_name(options.get("bpf_name", "")),
        direct_action=bool(options.get("direct-action")) if shown.get("kind") == "bpf" else None,
        actions=tuple(_action(each) for each in _mappings(options.get("actions"))),
        skip_sw=bool(options.get("skip_sw")),
    )


def _is_filter(shown: Mapping[str, Any]) -> bool:
    """Return false for a row that only announces a priority, and for a hash table of u32."""
    options = shown.get("options")
    return isinstance(options, Mapping) and "ht_divisor" not in options


def _action(shown: Mapping[str, Any]) -> str:
    control = shown.get("control_action")
    words = [shown.get("kind"), shown.get("direction"), shown.get("mirred_action")]
    said = str(control.get("type", "")).replace("pass", "ok") if isinstance(control, Mapping) else ""
    chance = shown.get("prob")
    by_chance = isinstance(chance, Mapping) and chance.get("random_type") != "none"
    # `tc` prints both controls of police under one key, so only one of them can be read.
    words.append(f"{said}/?" if shown.get("kind") == "police" or by_chance else said)
    return _name(" ".join(str(word) for word in words if word))


def _program(shown: Mapping[str, Any]) -> Entry:
    return Entry(attachment=Attachment.TCX, program=_number(shown.get("prog_id", shown.get("id"))))


def _is_at(shown: Mapping[str, Any], name: str, kind: str) -> bool:
    return shown.get("devname") == name and str(shown.get("kind", "")).startswith(kind)


def _handle(options: Mapping[str, Any]) -> int | None:
    try:
        return int(str(options.get("handle")), 0)
    except ValueError:
        return None


def _inode(link: str) -> int:
    found = re.fullmatch(r"net:\[(\d{1,19})\]", link)
    return int(found[1]) if found else 0


def _version(text: str) -> tuple[int, int] | None:
    found = re.match(r"v?(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2])) if found else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _name(value: Any) -> str:
    return clean(str(value)[:MOST_NAME], max_chars=MOST_NAME - 40)


async def _json(run: Run, *argv: str) -> Any:
    """The JSON that a tool printed; `None` when the tool is missing, failed, or printed something else."""
    try:
        done = await run(argv)
    except BinaryMissing:
        return None
    if done.exit_status != 0:
        return None
    try:
        return json.loads(done.output.stdout.decode("utf-8", "replace") or "[]")
    except ValueError:
        return None


async def _rows(run: Run, *argv: str) -> list[Mapping[str, Any]] | None:
    """The objects of the list that a tool printed; `None` when it printed no list."""
    shown = await _json(run, *argv)
    return list(_mappings(shown)) if isinstance(shown, list) else None


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else iter(())


async def _line(run: Run, *argv: str) -> str:
    """The one line that a tool printed; empty when the tool is missing or failed."""
    try:
        done = await run(argv)
    except BinaryMissing:
        return ""
    return clean(done.output.stdout[:MOST_NAME], max_chars=MOST_NAME).strip() if done.exit_status == 0 else ""
