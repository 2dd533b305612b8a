"""What people type is read, or refused with a line that would have worked."""

from __future__ import annotations

import pytest

from bot.commands.parser import (
    CancelCommand,
    CheckCommand,
    FlareCommand,
    HelpCommand,
    RunsCommand,
    ShowCommand,
    TargetsCommand,
    parse,
    usage,
)
from handlers.errors import UsageError

LINES = [
    ("SelfTest\u00a0“cluster-a”", CheckCommand("selftest", "cluster-a")),
    ("selftest <http://a.example|a.example>/node-7", CheckCommand("selftest", "a.example", "node-7")),
    ("tc cluster-a", CheckCommand("tc", "cluster-a")),
    ("flare c/n 123 —email <mailto:a@b.c|a@b.c>", FlareCommand("c", "n", "123", "a@b.c")),
    ("flare c --email=a@b.c", FlareCommand("c", email="a@b.c")),
    ("targets", TargetsCommand()),
    ("runs", RunsCommand()),
    ("runs c", RunsCommand("c")),
    ("show r-1a", ShowCommand("r-1a")),
    ("cancel r-1a", CancelCommand("r-1a")),
    ("help flare", HelpCommand("flare")),
    ("", HelpCommand()),
]


@pytest.mark.parametrize(("line", "command"), LINES)
def test_a_line_is_read_and_its_canonical_form_reads_the_same(line, command):
    assert parse(line) == command
    assert type(parse(line)) is type(command)
    assert parse(str(command)) == command


@pytest.mark.parametrize(
    "line",
    ["selftset c", "selftest", "selftest a b", "selftest a/", "selftest a;b", "flare c 12x", "flare c --email x",
     "tc c --email a@b.c", "show 1", "runs a/b", "selftest a\x07", "x" * 2001, "selftest clustre-a", "help nope"],
)  # fmt: skip
def test_a_faulty_line_is_refused_with_one_that_works(line):
    known = ["cluster-a", "c", "a"]
    with pytest.raises(UsageError) as caught:
        parse(line, known_targets=known)
    parse(caught.value.example, known_targets=known)


def test_help_offers_only_what_is_there():
    assert usage(available=("selftest",)) == ("selftest <target>[/<agent>]",)


def test_a_target_that_may_not_be_named_is_known_and_not_hinted_at() -> None:
    known, shown = ("cluster-a", "edge"), ("edge",)

    assert parse("selftest cluster-a", known_targets=known, shown=shown) == CheckCommand("selftest", "cluster-a")
    with pytest.raises(UsageError) as caught:
        parse("selftest clustera", known_targets=known, shown=shown)
    assert "cluster-a" not in f"{caught.value} {caught.value.example}"


def test_no_address_is_longer_than_one_may_be() -> None:
    """RFC 5321, 4.5.3.1.3; and a column of the database has room for 320."""
    names = ".".join(["b" * 60] * 3)
    assert parse(f"flare c --email {'a' * 60}@{names}.com")
    with pytest.raises(UsageError, match="needs an e-mail address"):
        parse(f"flare c --email {'a' * 60}@{names}.{names}.com")
