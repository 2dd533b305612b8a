"""
Remove secrets, terminal escape sequences and control characters from a target's output.

Redact first and truncate afterwards: a secret that is cut in two is no longer recognised.

All functions are pure; no original text is kept. Repetitions in the patterns are bounded, or consume what they match,
so that the cost is linear in the length of the input.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import re2


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets, and how many of each kind were removed."""

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

# Prefilter: the patterns run only on text with one of these words. One pass of an automaton over all of the text.
_NEEDLES = re2.compile(
    "(?i)key|pass|secret|token|authorization|bearer|basic |://|eyj|private|pwd|cookie|communit|credential"
    r"|akia|asia|xox|xapp|gh[pousr]_|glpat-|aiza|ya29\.|sig=|hooks\.slack"
)

_VALUE = (
    r"(?:\\{1,4}[\"'][^\"'\n]*(?:\\{1,4}[\"'])?"
    r'|"(?:[^"\\\n]|\\[^\n])*"?'
    r"|'(?:[^'\\\n]|\\[^\n])*'?"
    r"|[^\s\"']\S*)"
)
_SPACE = r"[^\S\n]{0,32}"
_GAP = rf"\\{{0,4}}[\"']?{_SPACE}(?:=>|:=|[:=＝：﹦﹕]){_SPACE}"
_SUFFIX = r"(?:s|\d{1,4})?(?:[_-](?!file|path|count|type|name|ttl|expir|dir)[A-Za-z0-9]{1,16}){0,2}"
_WORDS = {
    "api_key": r"api[ _-]?key|app(?:lication)?[ _-]?key",
    "password": r"password|passwd|passphrase|pwd",
    "secret": r"secret|private[_-]?key|access[_-]?key(?![_-]id)|account[_-]?key|credential",
    "token": r"token(?![_-]id)|bearer",
    "community": r"community(?:[_-]string)?",
}
_QUOTE = re.compile(r"\\{0,4}[\"']")
_HARMLESS = re.compile(
    r"(?:\d{1,4}|true|false|yes|no|on|off|none|null|nil|n/a|ok|set|unset|empty|(?:in)?valid|missing|required|optional"
    r"|(?:en|dis)abled|expired|unknown|not|[|>][-+0-9]{0,2})(?![^\s,;)\]}])",
    re.IGNORECASE,
)
"""Words in the position of a value that are not secret: `passwords: 3 checked`, `api key: valid`."""


def _keyed(kind: str) -> re.Pattern[str]:
    return re.compile(rf"((?:{_WORDS[kind]}){_SUFFIX}{_GAP})({_VALUE})", re.IGNORECASE)


def _setting(kind: str) -> re.Pattern[str]:
    """The pattern of a line that is a setting: its value is the rest of the line, spaces included."""
    before = rf"^{_SPACE}(?:-[ ]|export[ ]|set[ ])?[\"']?[\w.-]{{0,64}}?"
    return re.compile(rf"({before}(?:{_WORDS[kind]}){_SUFFIX}{_GAP})([^\s\"'{{\[|>\\][^\n]*)", re.IGNORECASE)


_ESCAPED = r"(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})"
"""
The position after an escaped line break in logs and JSON, or after a percent-encoded character of a URL: the last
letter of such an escape is not part of a word.
"""
_START = rf"(?:(?<![A-Za-z0-9_-])|{_ESCAPED})"
"""
Where a token may begin. A plain word boundary is not enough: a run of dashes has one after each dash, and each attempt
would read the rest of the run again, at a cost that is the square of its length.
"""
_WORD = rf"(?:\b|{_ESCAPED})"

_PRIVATE_KEY = re.compile(
    r"()(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z))",
    re.DOTALL,
)
"""The only secret of several lines; all other patterns run line by line."""

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("authorization", re.compile(rf"((?:proxy-)?authorization{_GAP})([^\n]+)", re.IGNORECASE)),
    ("cookie", re.compile(rf"((?:set-)?cookie{_GAP})([^\n]+)", re.IGNORECASE)),
    ("api_key", re.compile(r"((?:api|app|application)[ _-]?key ending with:?[ \t]{0,32})([^\s,;]+)", re.IGNORECASE)),
    *((kind, _setting(kind)) for kind in ("password", "secret", "community")),
    *((kind, _keyed(kind)) for kind in _WORDS),
    ("signature", re.compile(r"([?&;]sig=)([^\s&\"']+)", re.IGNORECASE)),
    # A password may contain slashes, so after a colon they are part of it.
    ("credentials", re.compile(r"(://)((?:[^\s/@\"'<>:]{0,256}:[^\s@\"'<>]{1,512}|[^\s/@\"'<>]{1,512})@)")),
    ("bearer", re.compile(rf"({_WORD}(?:bearer|basic)[ \t]{{1,8}})([A-Za-z0-9._~+/=-]{{12,}})", re.IGNORECASE)),
    ("jwt", re.compile(rf"()({_START}eyJ[A-Za-z0-9_-]{{6,}}(?:\.[A-Za-z0-9_-]*){{1,4}})")),
    ("aws_key", re.compile(rf"()({_WORD}(?:AKIA|ASIA)[A-Z0-9]{{12,}})")),
    ("github_token", re.compile(rf"()({_WORD}(?:gh[pousr]_[A-Za-z0-9]{{10,}}|github_pat_\w{{10,}}))")),
    ("gitlab_token", re.compile(rf"()({_START}glpat-[A-Za-z0-9_-]{{10,}})")),
    ("slack_token", re.compile(rf"()({_START}(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{{6,}})")),
    ("slack_webhook", re.compile(r"(hooks\.slack\.com/(?:services|workflows|triggers)/)([^\s\"'<>]+)", re.IGNORECASE)),
    ("google_key", re.compile(rf"()({_WORD}(?:AIza[A-Za-z0-9_-]{{20,}}|ya29\.[A-Za-z0-9_-]{{10,}}))")),
)


def redact(text: str) -> Redacted:
    """Replace every secret by `[redacted:kind]`. A text without secrets is returned unchanged."""
    if not _NEEDLES.search(text):
        return Redacted(text)
    counts: Counter[str] = Counter()
    if "PRIVATE KEY" in text:
        text = _substitute("private_key", _PRIVATE_KEY, text, counts)
    lines = text.split("\n")
    block: _Block | None = None
    for number, line in enumerate(lines):
        if block is not None and line.strip():
            if block.holds(line):
                lines[number] = block.redact(line, counts)
                continue
            block = None
        if _NEEDLES.search(line):
            block = _opened_by(line)
            for kind, pattern in _PATTERNS:
                line = _substitute(kind, pattern, line, counts)  # noqa: PLW2901 - one pattern after the other
            lines[number] = line
    return Redacted("\n".join(lines), dict(counts))


def _substitute(kind: str, pattern: re.Pattern[str], text: str, counts: Counter[str]) -> str:
    replacement = _Replacement(kind)
    text = pattern.sub(replacement, text)
    if replacement.count:
        counts[kind] += replacement.count
    return text


class _Replacement:
    """Replacement function for one kind of secret; counts its replacements."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._mark = f"[redacted:{kind}]"
        self.count = 0

    def __call__(self, match: re.Match[str]) -> str:
        before, value = match[1], match[2]
        if _HARMLESS.match(value) or value.startswith("[redacted:") or (self._kind == "bearer" and _is_word(value)):
            return match[0]
        self.count += 1
        if self._kind == "credentials":
            return f"{before}{self._mark}@"
        opening = _QUOTE.match(value)
        quote = opening[0] if opening else ""
        closing = quote if len(value) >= 2 * len(quote) and value.endswith(quote) else ""
        return f"{before}{quote}{self._mark}{closing}"


def _is_word(value: str) -> bool:
    """Whether a value is prose and not a token: `basic authentication`, `Bearer token_is_missing`."""
    letters = value.strip(".").replace("_", "").replace("-", "")
    return letters.isalpha() and (letters.islower() or letters.istitle())


_OPENS = re.compile(
    rf"^(?P<indent>{_SPACE})(?P<item>-[ ])?[\"']?[\w. -]{{0,64}}?(?:"
    + "|".join(rf"(?P<{kind}>{words})" for kind, words in _WORDS.items())
    + rf"){_SUFFIX}[\"']?{_SPACE}[:=]{_SPACE}(?P<scalar>[|>][-+0-9]{{0,2}})?{_SPACE}$",
    re.IGNORECASE,
)
_SETTING = re.compile(r"\s*(?:- )?[\"']?[\w.-]+[\"']?\s*[:=](?:\s|$)")
_OPAQUE = re.compile(r"(?=\S{0,256}\d)\S{8,}$")


@dataclass(slots=True)
class _Block:
    """Values on the lines after their key: YAML's block scalars and lists, and a value alone on the next line."""

    kind: str
    indent: int
    scalar: bool
    first: bool = True

    def holds(self, line: str) -> bool:
        """Whether a line that is not empty is a value of this block."""
        bare = line.lstrip()
        deeper = len(line) - len(bare) - self.indent
        listed = deeper == 0 and bare.startswith("- ")
        apart = self.first and deeper == 0 and _OPAQUE.match(bare.rstrip()) is not None
        self.first = False
        return (deeper > 0 or listed or apart) and (self.scalar or not _SETTING.match(line))

    def redact(self, line: str, counts: Counter[str]) -> str:
        bare = line.lstrip()
        margin = line[: len(line) - len(bare)] + ("- " if bare.startswith("- ") else "")
        if "[redacted:" in line or _HARMLESS.match(bare.removeprefix("- ")):
            return line
        counts[self.kind] += 1
        return f"{margin}[redacted:{self.kind}]"


def _opened_by(line: str) -> _Block | None:
    opens = _OPENS.match(line)
    if opens is None:
        return None
    kind = next(kind for kind in _WORDS if opens[kind])
    return _Block(kind, len(opens["indent"]) + len(opens["item"] or ""), scalar=bool(opens["scalar"]))


def clean(data: bytes | str, *, max_chars: int = 4000) -> str:
    """
    A target's output, fit to show to people: decoded, stripped of control characters, redacted, then truncated.

    At most `max_chars` characters stay, followed by a note of how many were left out.
    """
    text = _plain(data)
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]}… {len(text) - max_chars} more characters"


def clean_lines(data: bytes | str, *, max_lines: int = 20, max_chars: int = 2000) -> tuple[str, ...]:
    """Like `clean`, as lines without the empty ones; a last line notes how many lines were left out."""
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


def decode(data: bytes) -> str:
    """Decode output for a parser: without escape sequences, CRLF as LF, not redacted."""
    return _ANSI.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n"))


_PRINTABLE_ASCII = bytes([0x09, 0x0A, *range(0x20, 0x7F)])


def _plain(data: bytes | str) -> str:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    if raw.translate(None, _PRINTABLE_ASCII):
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        text = _ANSI.sub("", text.replace("\r\n", "\n")).replace("\r", "\n")
        text = _CONTROL.sub("", text)
    else:  # printable ASCII only, the usual case: nothing to strip
        text = raw.decode("ascii")
    return redact(text).text
