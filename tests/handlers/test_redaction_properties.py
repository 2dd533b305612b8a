"""Whatever surrounds it, a secret does not come through."""

from __future__ import annotations

import string

from hypothesis import assume, given
from hypothesis import strategies as st

from handlers.redaction import clean, redact

SECRETS = st.text(string.ascii_letters + string.digits + "!#%*+-./@^_~", min_size=8, max_size=40).filter(
    lambda value: any(c.isdigit() for c in value) and any(c.isupper() for c in value) and value[0].isalnum()
)
KEYS = st.sampled_from(
    ["password", "api_key", "DD_APP_KEY", "client_secret", "auth_token", "snmp_community", "Passphrase"]
)
GAPS = st.sampled_from([":", "=", " = ", ": ", "\u00a0=\u00a0", " => ", ' : "', "='"])
ANYTHING = st.text(max_size=60)


@given(before=ANYTHING, key=KEYS, gap=GAPS, secret=SECRETS, after=ANYTHING)
def test_a_value_after_its_name_is_taken_out(before: str, key: str, gap: str, secret: str, after: str) -> None:
    assume(secret not in before + after)
    assert secret not in clean(f"{before}\n{key}{gap}{secret}\n{after}")


@given(key=KEYS, secret=SECRETS, marker=st.sampled_from(["", " |", " >-", " |2"]), indent=st.integers(1, 8))
def test_a_value_on_the_lines_after_its_name_is_taken_out(key: str, secret: str, marker: str, indent: int) -> None:
    text = f"a: 1\n{key}:{marker}\n{' ' * indent}{secret}\n{' ' * indent}{secret[::-1]}\nb: 2\n"
    cleaned = clean(text)
    assert secret not in cleaned
    assert secret[::-1] not in cleaned
    assert cleaned.startswith("a: 1\n")
    assert cleaned.endswith("b: 2\n")


@given(words=st.lists(st.text(string.ascii_letters, min_size=3, max_size=9), min_size=2, max_size=5))
def test_a_password_of_several_words_is_taken_out(words: list[str]) -> None:
    phrase = " ".join(words)
    assert not any(f" {word}" in clean(f"password: xx{phrase}") for word in words)


@given(st.text() | st.binary())
def test_anything_can_be_cleaned_and_holds_no_control_character(data: str | bytes) -> None:
    cleaned = clean(data)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in cleaned)
    assert not any(0x7F <= ord(c) < 0xA0 for c in cleaned)


FRAGMENTS = st.sampled_from(
    [
        "password",
        "token",
        "api_key",
        ":",
        "=",
        " ",
        "\n",
        "  ",
        '"',
        "'",
        "\\",
        "|",
        "x1Y2z3w4",
        "://",
        "@",
        "eyJaaaaaa.b",
        "- ",
        "secret",
    ]
)


@given(st.lists(FRAGMENTS, max_size=24).map("".join))
def test_a_second_pass_changes_nothing(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once
