"""
Take secrets, terminal sequences and control characters out of what a target printed.

Redact first and bound afterwards: a secret that a bound cuts in two is no longer recognised.
Everything here is a pure function; no original is kept. Repetitions in the patterns are bounded, or
consume what they match, so that the cost grows with the length of the input and no faster.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets, and how many of each kind were taken out."""

    text: str
    counts: Mapping[str, int] = field(default_factory=dict)


# CSI, then OSC/DCS/PM/APC up to their end or the line's, then two-character escapes.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]{0,8}[0-~]?"
)
# C0 and C1 but \t and \n, zero-width and bidirectional controls, soft hyphen, lone surrogates, tags.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)

# A secret is looked for only where one of these is in the lower-cased text.
_NEEDLES = (
    *("key", "pass", "secret", "token", "auth", "bearer", "basic ", "://", "eyj", "private", "pwd", "cookie"),
    *("communit", "credential", "akia", "asia", "xox", "xapp", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    *("glpat-", "aiza", "ya29.", "sig=", "hooks.slack"),
)

_VALUE = (
    r"(?:\\{1,4}[\"'][^\"'\n]*(?:\\{1,4}[\"'])?"
    r'|"(?:[^"\\\n]|\\[^\n])*"?'
    r"|'(?:[^'\\\n]|\\[^\n])*'?"
    r"|[^\s\"']\S*)"
)
_GAP = r"\\{0,4}[\"']?[ \t]{0,32}(?:=>|:=|[:=＝：﹦﹕])[ \t]{0,32}"
_SUFFIX = r"(?:s|\d{1,4})?(?:[_-](?!file|path|count|type|name|ttl|expir|dir)[A-Za-z0-9]{1,16}){0,2}"


_QUOTE = re.compile(r"\\{0,4}[\"']")


def _keyed(words: str) -> re.Pattern[str]:
    return re.compile(rf"((?:{words}){_SUFFIX}{_GAP})({_VALUE})", re.IGNORECASE)


_START = r"(?<![A-Za-z0-9_-])"
"""Where a token begins. A word boundary is no such place: a run of dashes has one after each, and every
attempt there would read the rest of the run again, which costs the square of its length."""

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private_key",
        re.compile(
            r"()(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z))",
            re.DOTALL,
        ),
    ),
    ("authorization", re.compile(rf"((?:proxy-)?authorization{_GAP})([^\n]+)", re.IGNORECASE)),
    ("cookie", re.compile(rf"((?:set-)?cookie{_GAP})([^\n]+)", re.IGNORECASE)),
    ("api_key", re.compile(r"((?:api|app|application)[ _-]?key ending with:?[ \t]{0,32})([^\s,;]+)", re.IGNORECASE)),
    ("api_key", _keyed(r"api[ _-]?key|app(?:lication)?[ _-]?key")),
    ("password", _keyed(r"password|passwd|passphrase|pwd")),
    ("secret", _keyed(r"secret|private[_-]?key|access[_-]?key|account[_-]?key|credential")),
    ("token", _keyed(r"token|bearer")),
    ("community", _keyed(r"community(?:[_-]string)?")),
    ("signature", re.compile(r"([?&;]sig=)([^\s&\"']+)", re.IGNORECASE)),
    # A password may hold slashes, so after a colon they are part of it.
    ("credentials", re.compile(r"(://)((?:[^\s/@\"'<>:]{0,256}:[^\s@\"'<>]{1,512}|[^\s/@\"'<>]{1,512})@)")),
    ("bearer", re.compile(r"(\b(?:bearer|basic)[ \t]{1,8})([A-Za-z0-9._~+/=-]{12,})", re.IGNORECASE)),
    ("jwt", re.compile(rf"()({_START}eyJ[A-Za-z0-9_-]{{6,}}(?:\.[A-Za-z0-9_-]*){{1,4}})")),
    ("aws_key", re.compile(r"()(\b(?:AKIA|ASIA)[A-Z0-9]{12,})")),
    ("github_token", re.compile(r"()(\b(?:gh[pousr]_[A-Za-z0-9]{10,}|github_pat_\w{10,}))")),
    ("gitlab_token", re.compile(rf"()({_START}glpat-[A-Za-z0-9_-]{{10,}})")),
    ("slack_token", re.compile(rf"()({_START}(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{{6,}})")),
    ("slack_webhook", re.compile(r"(hooks\.slack\.com/(?:services|workflows|triggers)/)([^\s\"'<>]+)", re.IGNORECASE)),
    ("google_key", re.compile(r"()(\b(?:AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{10,}))")),
)


def redact(text: str) -> Redacted:
    """Replace every secret by `[redacted:kind]`. Clean text comes back as it is."""
    lowered = text.lower()
    if not any(needle in lowered for needle in _NEEDLES):
        return Redacted(text)
    counts: Counter[str] = Counter()
    for kind, pattern in _PATTERNS:
        text, found = pattern.subn(_replace(kind), text)
        if found:
            counts[kind] += found
    return Redacted(text, dict(counts))


def _replace(kind: str) -> Callable[[re.Match[str]], str]:
    mark = f"[redacted:{kind}]"

    def replacement(match: re.Match[str]) -> str:
        value = match[2]
        if kind == "credentials":
            return f"{match[1]}{mark}@"
        opening = _QUOTE.match(value)
        quote = opening[0] if opening else ""
        closing = quote if len(value) >= 2 * len(quote) and value.endswith(quote) else ""
        return f"{match[1]}{quote}{mark}{closing}"

    return replacement


def clean(data: bytes | str, *, max_chars: int = 4000) -> str:
    """
    What a target printed, fit for people: decoded, stripped, redacted, then bounded.

    At most `max_chars` characters of it stay, followed by a note of how many were left out.
    """
    text = _plain(data)
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]}… {len(text) - max_chars} more characters"


def clean_lines(data: bytes | str, *, max_lines: int = 20, max_chars: int = 2000) -> tuple[str, ...]:
    """The same as lines without the empty ones; a last line notes how many were left out."""
    lines = [line.rstrip() for line in _plain(data).split("\n") if line.strip()]
    kept: list[str] = []
    left = max_chars
    for line in lines[:max_lines]:
        if left <= 0:
            break
        kept.append(line if len(line) <= left else f"{line[:left]}… {len(line) - left} more characters")
        left -= len(line)
    if len(kept) < len(lines):
        kept.append(f"… {len(lines) - len(kept)} more lines")
    return tuple(kept)


def _plain(data: bytes | str) -> str:
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    text = _ANSI.sub("", text.replace("\r\n", "\n")).replace("\r", "\n")
    return redact(_CONTROL.sub("", text)).text
