"""
Which entries are the Agent's own (DataDog/ebpf-manager:tc.go@cc112e7, DataDog/datadog-agent:pkg/security/ebpf/probes/tc.go).

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
"""UNSPEC, and SHOT for rules that drop (DataDog/datadog-agent #39066)."""


def is_own(entry: Entry, program: Program | None, returns: Returns) -> bool:
    """
    Whether the Agent attached this.

    A name alone is no proof: a program that is named so, and can return what the Agent's never does, is somebody else's.
    """
    if entry.attachment is not Attachment.FILTER or entry.kind != "bpf" or entry.direct_action is False:
        return False
    by_filter = _FILTER.fullmatch(entry.name)
    by_program = not entry.name and program is not None and _PROGRAM.fullmatch(program.name)
    return bool(by_filter or by_program) and returns.all <= _MAY_RETURN


def short_name(entry: Entry, program: Program | None) -> str:
    """Its name without what differs from device to device."""
    name = re.sub(r"_security_.*", "", entry.name) or "classifier"
    return f"{name} (raw packets)" if is_raw(entry, program) else name


def is_raw(entry: Entry, program: Program | None) -> bool:
    """Whether it is the one for rules on raw packets, which stands beside the classifier and is no replacement for it."""
    return "raw_packet" in entry.name or (
        not entry.name and program is not None and program.name.startswith("classifier_raw_")
    )
