"""A configuration file is read or refused, whatever it holds, and never at more cost than its size."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.settings import load
from bot.config.yaml_lines import read
from handlers.errors import ConfigurationError

GOOD = "targets: {a: {host: {}}}\n"
NAMES = "abcdefghi"


def bomb(step: str) -> str:
    """Each line holds the one before it nine times: 9^9 things in all, for whoever unfolds them."""
    steps = (f"{name}: &{name} {step.format(','.join([f'*{before}'] * 9))}" for before, name in pairwise(NAMES))
    return "\n".join(["a: &a {k: v}", *steps, ""])


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb("[{}]") + "policy: *i\n", "policy.0"),
        (bomb("{{<<: [{}]}}") + "targets: *i\n", "targets"),
        (bomb("[{}]") + GOOD + "policy: [{who: ['*'], may: [*i], on: ['*'], in: ['*']}]\n", "policy.0.may.0"),
        ("targets: &a\n  b: *a\n", "targets.b.b"),
        (GOOD + "policy: &a [*a]\n", "policy.0"),
        ("targets: " + "[" * 900_000, "nested too deeply"),
        ("targets: " + "{a: " * 200_000, "nested too deeply"),
        ("targets: !!python/name:os.system {}\n", "line 1: tags"),
        (GOOD + "site: !!int foo\n", "line 2: tags"),
        (GOOD + "? [a]\n: b\n", "line 2: found unhashable key"),
        (GOOD + 'site: "a\x00b"\n', "line 2: there is a character"),
        (GOOD + "---\nb: c\n", "line 2: but found another document"),
        (GOOD + f"slack: {{port: {'9' * 5000}}}\n", "line 2: slack.port"),
        (GOOD + "health: true\n", "line 2: health: it must be a mapping, with keys such as host, port"),
    ],
    ids=lambda text: text[:12] if isinstance(text, str) else "",
)
def test_what_is_no_configuration_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "csm.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "csm.yaml")
    assert any(words in fault for fault in caught.value.faults), caught.value.faults[:3]


def test_plain_words_are_what_they_look_like() -> None:
    text = "{a: on, b: no, c: 1:30, d: 2026-99-99, e: 08, f: =, g: 12, h: true, i: ~, j: 1.5, k: 0x1F, l: 1_000}"
    values = read(text, source="x").values

    assert values == {
        "a": "on", "b": "no", "c": "1:30", "d": "2026-99-99", "e": "08", "f": "=", "g": 12, "h": True, "i": None, "j": 1.5,
        "k": "0x1F", "l": "1_000",
    }  # fmt: skip


@given(
    st.lists(st.sampled_from([*"[]{},:-?*&!|>'\"%@`#<= \n\t~0.9+", "a", "&a ", "*a ", "<<: ", "---", "!!int ", "on"]))
)
def test_any_text_is_a_mapping_or_a_fault(parts: list[str]) -> None:
    try:
        marked = read("".join(parts), source="x")
    except ConfigurationError as error:
        assert error.faults  # noqa: PT017 - either is right
    else:
        assert isinstance(marked.values, dict)
        list(marked.duplicates())
