"""Completions for a line of the command language, shown on the page while a person types. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from bot.commands.parser import USAGE

MOST = 12
NOTES = {
    "selftest": "Self-test every Agent of a target, or one",
    "flare": "A flare of one Agent; uploaded only when somebody approves it",
    "tc": "Check the traffic-control programs of every node",
    "targets": "What there is to run it on",
    "runs": "The latest runs",
    "show": "A run's report once more",
    "cancel": "End a run; what was found is kept",
    "help": "The commands",
}
RUNS = ("show", "cancel")


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion. `text` is the whole line with the completion inserted; empty for a hint."""

    text: str
    label: str
    note: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The command, verbs, targets, Agents and runs of a sandbox."""

    command: str
    """With its leading slash."""
    hint: str
    verbs: Collection[str]
    targets: Callable[[], Mapping[str, str]]
    """Descriptions of the targets, by name."""
    agents: Callable[[str], Sequence[str]]
    """The names of a target's Agents."""
    runs: Callable[[], Sequence[str]]
    """The ids of the runs that were shown, latest first."""


def completions(line: str, words: Vocabulary) -> Sequence[Completion]:
    """Return what can follow the typed line: the command, a verb, or at most twelve arguments."""
    command, space, rest = line.partition(" ")
    if not space:
        return [Completion(f"{words.command} ", words.command, words.hint)] if words.command.startswith(command) else []
    if command != words.command:
        return []
    verb, space, rest = rest.lstrip().partition(" ")
    if not space:
        return [
            Completion(f"{command} {each}{_space(each)}", USAGE[each], NOTES.get(each, ""))
            for each in words.verbs
            if each.startswith(verb.lower())
        ]
    if verb not in words.verbs:
        return []
    found = [Completion(f"{command} {verb} {text}", text, note) for text, note in _arguments(verb, rest, words)]
    exact = len(found) == 1 and found[0].label == rest
    return [Completion("", USAGE[verb], NOTES.get(verb, ""))] if exact or not found else found[:MOST]


def _space(verb: str) -> str:
    return "" if "<" not in USAGE[verb] else " "


def _arguments(verb: str, rest: str, words: Vocabulary) -> Iterator[tuple[str, str]]:
    if " " in rest or verb == "targets":
        return
    if verb in RUNS:
        yield from ((run, "") for run in words.runs() if run.startswith(rest))
    elif verb == "help":
        yield from ((each, NOTES.get(each, "")) for each in words.verbs if each.startswith(rest))
    elif "/" not in rest:
        yield from ((name, note) for name, note in words.targets().items() if name.startswith(rest))
    elif verb != "runs":
        target, _, start = rest.partition("/")
        if target in words.targets():
            yield from ((f"{target}/{agent}", "") for agent in words.agents(target) if agent.startswith(start))
