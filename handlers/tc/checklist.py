"""
Answers the documentation's checklist: which of its five answers fits each vendor that was found.

The checklist tells people to ask their vendor
(docs.datadoghq.com/security/workload_protection/troubleshooting/threats/). It does not cover tcx and netkit.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from handlers.tc.effects import Effect
from handlers.tc.evidence import Attachment
from handlers.tc.hooks import Link


class ChecklistAnswer(StrEnum):
    """The answers, in the words that people look up in the checklist."""

    NONE = "no other eBPF classifier"
    UNSPEC = "returns TC_ACT_UNSPEC"
    ONE = "priority 1"
    LOW = "priority 2 to 10"
    HIGH = "priority 11 or higher"
    NEWER = "tcx or netkit, which the checklist does not know"


def answer(link: Link) -> ChecklistAnswer:
    """Return the answer for one vendor program."""
    if link.entry.attachment is not Attachment.FILTER:
        return ChecklistAnswer.UNSPEC if link.effect is Effect.CONTINUES else ChecklistAnswer.NEWER
    if link.effect is Effect.CONTINUES:
        return ChecklistAnswer.UNSPEC
    pref = link.entry.pref or 0
    if pref <= 1:
        return ChecklistAnswer.ONE
    return ChecklistAnswer.LOW if pref <= 10 else ChecklistAnswer.HIGH


def answers(links: Iterable[Link]) -> tuple[str, ...]:
    """Return one line per vendor and answer, such as `Cilium: priority 1`, at most 10; or `ChecklistAnswer.NONE`."""
    found = dict.fromkeys(
        f"{link.vendor.name if link.vendor else link.what[:60]}: {answer(link)}"
        for link in links
        if not link.own and link.entry.kind == "bpf"
    )
    return tuple(found)[:10] or (str(ChecklistAnswer.NONE),)
