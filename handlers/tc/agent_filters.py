"""
Recognises the Agent's own filters among the entries of a chain.

Sources: DataDog/ebpf-manager:tc.go@cc112e7, DataDog/datadog-agent:pkg/security/ebpf/probes/tc.go.

A filter is named `<section>_<uid>_<pid>`, for example
`classifier_egress_security_classifier_egress_6_4026531840_4321`; the kernel keeps 15 characters of a program's name.
"""

from __future__ import annotations

import re

from handlers.tc.evidence import Attachment, Entry, Program
from handlers.tc.returns import Returns

_FILTER = re.compile(
    r"classifier_(?:in|e)gress_security_classifier_(?:raw_packet_)?(?:in|e)gress_\d{1,10}_\d{1,20}_\d{1,10}"
)
_PROGRAM = re.compile(r"classifier_(?:egre|ingr|raw_)[a-z_]*")
_MAY_RETURN = frozenset((-1, 2))
"""Codes that the Agent's programs return: UNSPEC, and SHOT for rules that drop (DataDog/datadog-agent #39066)."""


def is_own(entry: Entry, program: Program | None, returns: Returns) -> bool:
    """
    Return whether the Agent attached this entry.

    The name alone is no proof. A program with such a name that can return any other code than the Agent's programs
    belongs to another vendor.
    """
    if entry.attachment is not Attachment.FILTER or entry.kind != "bpf" or entry.direct_action is False:
        return False
    by_filter = _FILTER.fullmatch(entry.name)
    by_program = not entry.name and program is not None and _PROGRAM.fullmatch(program.name)
    return bool(by_filter or by_program) and returns.all <= _MAY_RETURN


def short_name(entry: Entry, program: Program | None) -> str:
    """The filter's name without the parts that differ between devices."""
    name = re.sub(r"_security_.*", "", entry.name) or "classifier"
    return f"{name} (raw packets)" if is_raw(entry, program) else name


def is_raw(entry: Entry, program: Program | None) -> bool:
    """Return whether this is the filter for raw-packet rules. It runs beside the classifier and does not replace it."""
    return "raw_packet" in entry.name or (
        not entry.name and program is not None and program.name.startswith("classifier_raw_")
    )
