"""
Parser of the command language, which is the same in Slack and in the terminal. Pure: a line in, a command out.

`str(command)` is the canonical line, and `parse(str(command)) == command`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from handlers.errors import UsageError

MAX_CHARS = 2000
USAGE: Mapping[str, str] = {
    "selftest": "selftest <target>[/<agent>]",
    "flare": "flare <target>[/<agent>] [<case id>] [--email <address>]",
    "tc": "tc <target>[/<agent>]",
    "targets": "targets",
    "runs": "runs [<target>]",
    "show": "show <run>",
    "cancel": "cancel <run>",
    "help": "help [<command>]",
}
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?")
_RUN = re.compile(r"r-[A-Za-z0-9-]{1,64}")
_CASE = re.compile(r"[0-9]{1,12}")
_EMAIL = re.compile(r"(?=.{1,254}\Z)[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_LINK = re.compile(r"<(?:mailto:|https?://)[^<>|\s]*\|([^<>|\s]+)>")
_INVISIBLE = str.maketrans(dict.fromkeys("\u200b\ufeff\u2060", None))
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»\"‘’‚‛'`", None))


@dataclass(frozen=True, slots=True)
class CheckCommand:
    """`selftest <target>[/<agent>]`, or the same with `tc`."""

    command: str
    target: str
    agent: str | None = None

    def __str__(self) -> str:
        return f"{self.command} {f'{self.target}/{self.agent}' if self.agent else self.target}"


@dataclass(frozen=True, slots=True)
class FlareCommand:
    """`flare <target>[/<agent>] [<case id>] [--email <address>]`."""

    target: str
    agent: str | None = None
    case: str | None = None
    email: str | None = None

    def __str__(self) -> str:
        words = ["flare", f"{self.target}/{self.agent}" if self.agent else self.target, self.case or ""]
        return " ".join([*filter(None, words), *(["--email", self.email] if self.email else [])])


@dataclass(frozen=True, slots=True)
class TargetsCommand:
    """`targets`."""

    def __str__(self) -> str:
        return "targets"


@dataclass(frozen=True, slots=True)
class RunsCommand:
    """`runs [<target>]`."""

    target: str | None = None

    def __str__(self) -> str:
        return f"runs {self.target or ''}".strip()


@dataclass(frozen=True, slots=True)
class ShowCommand:
    """`show <run>`."""

    run: str

    def __str__(self) -> str:
        return f"show {self.run}"


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """`cancel <run>`."""

    run: str

    def __str__(self) -> str:
        return f"cancel {self.run}"


@dataclass(frozen=True, slots=True)
class HelpCommand:
    """`help [<command>]`."""

    topic: str | None = None

    def __str__(self) -> str:
        return f"help {self.topic or ''}".strip()


ParsedCommand = CheckCommand | FlareCommand | TargetsCommand | RunsCommand | ShowCommand | CancelCommand | HelpCommand


def parse(  # noqa: C901, PLR0911 - one branch and one return per command
    line: str, *, known_targets: Collection[str] = (), shown: Collection[str] | None = None
) -> ParsedCommand:
    """
    Parse one line. Raises `UsageError` that says what is wrong.

    With an empty `known_targets`, target names are not checked. `shown` are the targets that hints and examples may
    name; by default all known ones.
    """
    shown = known_targets if shown is None else shown
    words = _words(line)
    if not words:
        return HelpCommand()
    verb, rest = words[0].lower(), words[1:]
    target = min(shown, default="cluster-a")
    if verb not in USAGE:
        near = get_close_matches(verb, USAGE, 1)
        hint = f" Did you mean `{near[0]}`?" if near else f" The commands are {', '.join(USAGE)}."
        raise UsageError(f"There is no such command.{hint}", example=_example(near[0] if near else "help", target))
    example = _example(verb, target)
    email, rest = _email(rest, verb, example)
    least = 1 if "<" in USAGE[verb].split("[")[0] else 0
    most = {"targets": 0, "flare": 2}.get(verb, 1)
    if not least <= len(rest) <= most:
        raise UsageError(f"`{verb}` is written `{USAGE[verb]}`.", example=example)
    first = rest[0] if rest else None
    if verb in {"show", "cancel"}:
        run = _slot(_RUN, first or "", "A run's id looks like `r-…`.", example)
        return ShowCommand(run) if verb == "show" else CancelCommand(run)
    if verb == "help":
        if first is not None and first.lower() not in USAGE:
            raise UsageError(f"There is help on {', '.join(USAGE)}.", example="help selftest")
        return HelpCommand(first.lower() if first else None)
    if verb == "targets":
        return TargetsCommand()
    if first is None:
        return RunsCommand()
    name, slash, agent = first.partition("/")
    _target(name, known_targets, shown, example)
    if verb == "runs" and slash:
        raise UsageError("`runs` takes a target without an Agent.", example=example)
    if slash:
        _slot(_NAME, agent, "An Agent is written `target/agent`, in letters, digits, dots, dashes and colons.", example)
    if verb == "flare":
        case = _slot(_CASE, rest[1], "A case id has digits only.", example) if len(rest) > 1 else None
        return FlareCommand(name, agent or None, case, email)
    if verb == "runs":
        return RunsCommand(name)
    return CheckCommand(verb, name, agent or None)


def usage(topic: str | None = None, *, available: Collection[str] = tuple(USAGE)) -> tuple[str, ...]:
    """Return the lines of help, only for commands that are `available`."""
    return tuple(line for verb, line in USAGE.items() if verb in available and topic in (None, verb))


def _words(line: str) -> list[str]:
    if len(line) > MAX_CHARS:
        raise UsageError(f"The line has {len(line)} characters; {MAX_CHARS} are the most.", example="help")
    text = html.unescape(_LINK.sub(r"\1", line))
    text = text.translate(_INVISIBLE)
    # A printable string has no character of these categories. Most lines are printable and are scanned only once.
    if not text.isprintable() and any(
        unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character != "\t" for character in text
    ):
        raise UsageError("The line holds control characters; type it on one line.", example="help")
    words = text.translate(_QUOTES).split()
    return [re.sub(r"^(?:[—―–‒−]|--|-(?=e))+", "--", re.sub("[‐‑‒–−]", "-", word)) for word in words]


def _email(words: list[str], verb: str, example: str) -> tuple[str | None, list[str]]:
    email: str | None = None
    rest: list[str] = []
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if not word.startswith("--"):
            rest.append(word)
        elif verb != "flare" or option.lower() != "--email" or email is not None:
            raise UsageError(f"That option is not one here: `{USAGE[verb]}`.", example=example)
        else:
            given = value if equals else next(left, "")
            email = _slot(_EMAIL, given, "`--email` needs an e-mail address.", example)
    return email, rest


def _slot(pattern: re.Pattern[str], value: str, fault: str, example: str) -> str:
    if not pattern.fullmatch(value):
        raise UsageError(fault, example=example)
    return value


def _target(name: str, known: Collection[str], shown: Collection[str], example: str) -> None:
    _slot(_NAME, name, "A target's name has letters, digits, dots, dashes and colons.", example)
    if known and name not in known:
        near = get_close_matches(name, shown, 1)
        hint = f"Did you mean `{near[0]}`?" if near else "`targets` lists them."
        fixed = example.replace(min(shown), near[0]) if near else "targets"
        raise UsageError(f"There is no target `{name}`. {hint}", example=fixed)


def _example(verb: str, target: str) -> str:
    tails = {"targets": "", "show": " r-1", "cancel": " r-1", "help": " selftest"}
    return verb + tails.get(verb, f" {target}")
