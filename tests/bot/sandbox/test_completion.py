"""What the page offers while somebody types a command."""

from __future__ import annotations

import pytest

from bot.commands import parser
from bot.sandbox.completion import Vocabulary, completions

WORDS = Vocabulary(
    command="/csm",
    hint="what it does",
    verbs=("selftest", "flare", "show", "targets", "help"),
    targets=lambda: {"cluster-a": "Kubernetes", "edge": "Docker"},
    agents=lambda target: [f"{target}-{number}" for number in range(1, 40)],
    runs=lambda: ["r-2", "r-1"],
)


def labels(line: str) -> list[str]:
    return [each.label for each in completions(line, WORDS)]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("/", ["/csm"]),
        ("/x", []),
        ("/csm s", ["selftest <target>[/<agent>]", "show <run>"]),
        ("/csm selftest ", ["cluster-a", "edge"]),
        ("/csm flare e", ["edge"]),
        ("/csm selftest edge/edge-39", ["selftest <target>[/<agent>]"]),
        ("/csm show ", ["r-2", "r-1"]),
        ("/csm help f", ["flare"]),
        ("/csm nonsense ", []),
        ("/other selftest ", []),
    ],
)
def test_what_comes_next_is_offered(line: str, offered: list[str]) -> None:
    assert labels(line) == offered


def test_a_long_list_is_cut() -> None:
    assert len(labels("/csm selftest edge/")) == 12


@pytest.mark.parametrize("line", ["/csm ", "/csm selftest ", "/csm show ", "/csm help ", "/csm flare edge/edge-1"])
def test_what_is_offered_is_part_of_the_language(line: str) -> None:
    for each in completions(line, WORDS):
        if each.text and not each.text.endswith(" "):
            parser.parse(each.text.removeprefix("/csm "))
