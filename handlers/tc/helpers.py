"""
Return values of the kernel's eBPF helpers, where they are known and matter (`net/core/filter.c` of Linux).

Redirecting helpers return TC_ACT_REDIRECT, or TC_ACT_SHOT when they are called with flags that they refuse.
"""

from __future__ import annotations

from handlers.tc.values import U64, Number, anything

_MOST_ERRNO = 4095
_REDIRECTS = frozenset(("bpf_redirect", "bpf_redirect_peer", "bpf_redirect_neigh"))
_ERRORS = frozenset(
    (
        "bpf_skb_store_bytes",
        "bpf_skb_load_bytes",
        "bpf_skb_load_bytes_relative",
        "bpf_skb_pull_data",
        "bpf_skb_change_head",
        "bpf_skb_change_tail",
        "bpf_skb_change_proto",
        "bpf_skb_adjust_room",
        "bpf_skb_vlan_push",
        "bpf_skb_vlan_pop",
        "bpf_l3_csum_replace",
        "bpf_l4_csum_replace",
        "bpf_map_update_elem",
        "bpf_map_delete_elem",
        "bpf_perf_event_output",
        "bpf_skb_event_output",
        "bpf_ringbuf_output",
    )
)
"""Helpers that return 0 or a negative error number."""


def result_of(name: str) -> Number:
    """Return what register 0 may hold after a call of this helper. An empty name: the helper was not identified."""
    if name in _REDIRECTS:
        return Number(frozenset((7, 2)))
    why = f"the result of {name}" if name else "the result of a helper that could not be named"
    if name in _ERRORS:
        return Number(frozenset((0,)), (U64 - _MOST_ERRNO, U64), why)
    return anything(why)
