"""
Holds the table of what a return code does to the chain; `handlers.tc.returns` computes what a program can return.

Sources: `net/sched/cls_bpf.c`, `net/core/dev.c` and `include/uapi/linux/pkt_cls.h` of Linux.

The Agent sees a packet on a hook if and only if nothing that can end the chain runs before it. A drop ends the chain
too, but it does not count: after it there is no packet that the Agent should have seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from handlers.tc.evidence import Attachment, Entry
from handlers.tc.returns import Returns

NAMES = {-1: "UNSPEC", 0: "OK", 1: "RECLASSIFY", 2: "SHOT", 3: "PIPE", 4: "STOLEN", 5: "QUEUED", 6: "REPEAT"} | {
    7: "REDIRECT",
    8: "TRAP",
}
TCX_NAMES = {-1: "NEXT", 0: "PASS", 2: "DROP", 7: "REDIRECT"}
_ACCEPTS = frozenset((0, 4, 8))
"""OK accepts the packet, and no later entry runs; STOLEN and TRAP take the packet away."""
_REDIRECT, _DROP = 7, 2
_DIRECT = frozenset((-1, 0, 2, 4, 7, 8))
"""Codes of a direct-action filter. All others, PIPE too, mean UNSPEC to it (cls_bpf.c: cls_bpf_exec_opcode)."""
_TCX = frozenset((-1, 0, 2, 7))
"""Codes of tcx programs. All others mean NEXT (`include/net/tcx.h`: tcx_action_code)."""


class Effect(StrEnum):
    """What an entry does to the packets that later entries should see. Members are ordered from best to worst."""

    CONTINUES = "goes on"
    """The next entry sees every packet that is not dropped."""
    PASSES = "goes over to the other device"
    """What a netkit program passes goes on to the hooks of the other device (`drivers/net/netkit.c`: netkit_xmit)."""
    REDIRECTS = "redirects some"
    """Some packets are redirected; the others reach the next entry."""
    MATCHES = "ends what it matches"
    """A filter that ends the chain for the packets that it matches, and for no others."""
    UNKNOWN = "cannot be told"
    ENDS = "ends the chain"


def effect(entry: Entry, returns: Returns) -> Effect:
    """Return the effect of an entry, given what its program can return."""
    if entry.skip_sw:
        return Effect.CONTINUES
    if entry.kind != "bpf":
        return _of_filter(entry)
    if entry.attachment is Attachment.FILTER and entry.direct_action is None:
        both = {_of_program(entry.attachment, returns), _of_class(entry, returns)}
        return both.pop() if len(both) == 1 else Effect.UNKNOWN
    if entry.attachment is Attachment.FILTER and not entry.direct_action:
        return _of_class(entry, returns)
    return _of_program(entry.attachment, returns)


def of_codes(attachment: Attachment, codes: Iterable[int]) -> Effect:
    """Return the effect of a program that returns only these codes."""
    return _of_program(attachment, Returns(frozenset(codes)))


def names(entry: Entry, returns: Returns) -> str:
    """Describe for people what an entry can return: `OK, SHOT, via tail call: UNSPEC`, or `cannot tell`."""
    if entry.kind != "bpf":
        return ", ".join(entry.actions) or "no action"
    known = TCX_NAMES if entry.attachment is not Attachment.FILTER else NAMES
    direct = entry.attachment is not Attachment.FILTER or entry.direct_action is not False

    def said(codes: Iterable[int]) -> str:
        if not direct:
            return ", ".join("no match" if code == 0 else "match" for code in sorted(codes))
        return ", ".join(dict.fromkeys(known.get(code, f"{known[-1]} ({code})") for code in sorted(codes)))

    found = [said(returns.codes)] if returns.codes else []
    found += [f"via tail call: {said(returns.via_tail_call)}"] if returns.via_tail_call else []
    found += [f"{known[-1]} (errors)"] if returns.negative and -1 not in returns.all else []
    found += ["the rest cannot be told"] if returns.unknown and found else []
    return ", ".join(found) or "cannot tell"


def _of_program(attachment: Attachment, returns: Returns) -> Effect:
    """Effect of a direct-action filter, and of tcx and netkit programs."""
    understood = _DIRECT if attachment is Attachment.FILTER else _TCX
    codes = {code if code in understood else -1 for code in returns.all} | ({-1} if returns.negative else set())
    netkit = attachment is Attachment.NETKIT
    if codes & _ACCEPTS and not netkit:
        return Effect.ENDS
    if not returns.known:
        return Effect.UNKNOWN
    if netkit and codes & {0, -1} and _REDIRECT not in codes:
        return Effect.PASSES
    if netkit and codes & {0, -1}:
        return Effect.REDIRECTS
    if _REDIRECT in codes:
        return Effect.REDIRECTS if -1 in codes else Effect.ENDS
    return Effect.CONTINUES


def _of_class(entry: Entry, returns: Returns) -> Effect:
    """Effect of a filter whose program returns a class: 0 is no match; a match runs the filter's actions."""
    if _goes_on(entry) or (returns.known and returns.all == {0} and not returns.negative):
        return Effect.CONTINUES
    matches_all = returns.known and 0 not in returns.all
    if matches_all:
        return Effect.ENDS
    return Effect.MATCHES if returns.known else Effect.UNKNOWN


def _of_filter(entry: Entry) -> Effect:
    """Effect of flower, u32, matchall and similar filters: a match ends the chain unless its actions say otherwise."""
    if _goes_on(entry):
        return Effect.CONTINUES
    return Effect.ENDS if entry.kind == "matchall" else Effect.MATCHES


def _goes_on(entry: Entry) -> bool:
    """
    Return whether every packet that matches either goes on to the next filter or is dropped.

    Actions run one after another as long as each returns `pipe`; `continue` is no verdict (`net/sched/act_api.c`:
    tcf_action_exec). Some actions return one of two controls for each packet (`police drop/ok`). An eBPF action can
    return any control. A redirected packet is gone, whatever control the action returns.
    """
    for action in entry.actions:
        kind, *words = action.split()
        controls = set(words[-1].split("/")) if words else {""}
        if kind == "bpf" or "redirect" in words or not controls <= {"pipe", "continue", "drop"}:
            return False
        if "pipe" not in controls:
            return True
    return False
