"""
Text helpers that all renderings share: glyphs, durations, lists of names, and the sanitising of foreign text.

*Foreign* text is all text that did not come from this program: evidence, names, reasons, what a person typed. It enters
Slack's mrkdwn only through `mrkdwn()`, and every other output only through `plain()`.
Escaping as `docs.slack.dev: messaging/formatting-message-text` requires: `&`, `<` and `>`, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from handlers.model import Verdict

GLYPHS: Mapping[Verdict, str] = {
    Verdict.PASS: "✅",
    Verdict.WARN: "⚠️",
    Verdict.FAIL: "❌",
    Verdict.UNKNOWN: "❔",
    Verdict.SKIPPED: "⏭️",
}
COMMANDS: Mapping[str, str] = {"selftest": "Self-test", "flare": "Flare", "tc": "tc check"}

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|[@-Z\\-_])")
# C0 except tab and newline, C1, surrogates, non-characters, and the marks that reorder text.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_EMOJI_CODE = re.compile(r":(?=[a-z0-9_+'-]*[a-z][a-z0-9_+'-]*:)")
_USER_ID = re.compile(r"[UW][A-Z0-9]{7,20}")


def cut(text: str, limit: int, *, note: str = " …") -> str:
    """Cut to at most `limit` characters, with `note` at the end when some are missing."""
    return text if len(text) <= limit else text[: max(0, limit - len(note))] + note


def plain(text: str, limit: int = 2000) -> str:
    """Foreign text without control characters, escape sequences and reordering marks; at most `limit` characters."""
    # Cut first, so that a line of 12 MB costs no more time than a short one.
    head = text[: limit * 2 + 200].replace("\r\n", "\n").replace("\r", "\n")
    found = _UNWANTED.sub("", _ANSI.sub("", head))
    return cut(found + ("…" if len(text) > len(head) else ""), limit)


def one_line(text: str, limit: int = 300) -> str:
    """As `plain()`, on one line."""
    return cut(" ".join(plain(text, limit * 2).split()), limit)


def escape(text: str) -> str:
    """Escape `&`, `<` and `>` for Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(text: str, limit: int = 300) -> str:
    """Foreign text as one line of mrkdwn: no mention, link, code fence or emoji can start in it."""
    return escape(_EMOJI_CODE.sub(":\u200b", one_line(text, limit).replace("`", "'")))


def person(who: str) -> str:
    """`<@U…>` for a Slack user id, otherwise the name."""
    return f"<@{who}>" if _USER_ID.fullmatch(who) else mrkdwn(who, 80)


def title(command: str, target: str, limit: int = 100) -> str:
    """`Self-test of cluster-a`, as plain text."""
    return f"{COMMANDS.get(command, one_line(command, 20))} of {one_line(target, limit)}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def minutes(seconds: float) -> str:
    """`less than a minute`, `12 min`, `3 h`: how old something is."""
    whole = int(seconds // 60)
    if whole < 1:
        return "less than a minute"
    return f"{whole} min" if whole < 120 else f"{whole // 60} h"


def agents(number: int) -> str:
    """`1 Agent`, `9 Agents`."""
    return f"{number} Agent" if number == 1 else f"{number} Agents"


def some(names: Sequence[str], most: int = 5) -> str:
    """`a, b and 14 more`: plain text, one line."""
    shown = [one_line(name, 80) for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def verdict(found: Verdict) -> str:
    """`✅ pass`: a glyph and the word."""
    return f"{GLYPHS[found]} {found.value}"


def counted(counts: Mapping[Verdict, int], *, glyphs: bool = True) -> str:
    """`❌ 1 fail, ✅ 11 pass`, worst first."""
    ranked = sorted(((v, n) for v, n in counts.items() if n), key=lambda item: -item[0].badness)
    return ", ".join((f"{GLYPHS[v]} " if glyphs else "") + f"{n} {v.value}" for v, n in ranked)


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """Return the items without duplicates, in the order of their first appearance."""
    return tuple(dict.fromkeys(items))
