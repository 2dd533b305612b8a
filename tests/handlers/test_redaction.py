"""What targets print loses its secrets and its control sequences, and nothing else."""

from __future__ import annotations

import time

import pytest

from handlers.redaction import clean, clean_lines, redact

SECRET = "Zq7" + "hunter2" * 4
HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "line",
    [
        f"api_key: {HEX}",
        f"DD_API_KEY={HEX}",
        f'DD-API-KEY: "{HEX}"',
        f"API Key ending with: {SECRET}",
        f'{{"password": "{SECRET}", "user": "ana"}}',
        f'{{\\"password\\": \\"{SECRET}\\"}}',
        f"password='{SECRET}'",
        f"password＝{SECRET}",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"https://ana:{SECRET}@example.com/x",
        f"postgresql://ana:{SECRET}@db/x",
        f"Authorization: Bearer {SECRET}",
        f"Cookie: a=1; session={SECRET}",
        f"snmp community: {SECRET}",
        f"-----BEGIN RSA PRIVATE {'KEY'}-----\n{SECRET}\n-----END RSA PRIVATE {'KEY'}-----",
        f"-----BEGIN PRIVATE {'KEY'}-----\n{SECRET}\n",
        "xox" + f"b-1-{SECRET}",
        "gh" + f"p_{SECRET}",
        "key AK" + "IA" + "Q" * 16 + " " + f"password={SECRET}",
        "glp" + f"at-{SECRET}",
        "AI" + f"za{SECRET}",
        "ya" + f"29.{SECRET}",
        "ey" + f"J{SECRET}.{SECRET}.{SECRET}",
        f"https://blob.example/x?sv=1&sig={SECRET}",
        f"https://hooks.slack.com/services/T0/B0/{SECRET}",
        f"using basic {SECRET}",
    ],
)
def test_no_secret_survives_and_a_second_pass_changes_nothing(line: str) -> None:
    once = redact(line)
    assert SECRET not in once.text
    assert HEX not in once.text
    assert "[redacted:" in once.text
    assert sum(once.counts.values()) >= 1
    assert redact(once.text).text == once.text


@pytest.mark.parametrize("before", [r"said\n", r"said\t", "https://x/?next=%3D", r'{"log":"a\r\n'])
@pytest.mark.parametrize(
    "token",
    [
        "xox" + f"b-1-{SECRET}",
        "AK" + "IA" + "Q" * 16,
        "gh" + f"p_{SECRET}",
        "glp" + f"at-{SECRET}",
        "AI" + f"za{SECRET}",
        "ey" + f"J{SECRET}.{SECRET}.{SECRET}",
        f"Bearer {SECRET}",
    ],
)
def test_a_token_after_an_escaped_line_break_or_character_is_found_too(before: str, token: str) -> None:
    assert token.rsplit(maxsplit=1)[-1] not in redact(before + token).text


def test_every_kind_of_secret_passes_the_automaton_in_front() -> None:
    """One secret of each kind, alone in its text."""
    alone = {
        "aws_key": "AK" + "IA" + "Q" * 16,
        "gitlab_token": "glp" + f"at-{SECRET}",
        "google_key": "AI" + f"za{SECRET}",
        "jwt": "ey" + f"J{SECRET}.{SECRET}",
        "signature": f"?sig={SECRET}",
        "slack_webhook": f"hooks.slack.com/services/{SECRET}",
        "slack_token": "xa" + f"pp-{SECRET}",
        "github_token": "gh" + f"s_{SECRET}",
        "community": f"community: {SECRET}",
        "cookie": f"cookie: {SECRET}",
        "authorization": f"authorization: {SECRET}",
        "bearer": f"basic {SECRET}",
        "credentials": f"amqp://{SECRET}@host",
    }
    assert {kind: dict(redact(text).counts) for kind, text in alone.items()} == {kind: {kind: 1} for kind in alone}


@pytest.mark.parametrize("hidden", ["\u200b", "\x00", "\x1b[31m", "\u202e", "\ud800"])
def test_a_secret_broken_up_by_invisible_characters_is_found(hidden: str) -> None:
    text = clean(f"pass{hidden}word=Zq7hun{hidden}ter2")
    assert text == "password=[redacted:password]"


@pytest.mark.parametrize(
    "line",
    [
        "image: gcr.io/datadoghq/agent@sha256:" + HEX * 2,
        "commit " + HEX + "01234567",
        "the token was accepted",
        "2026-11-24T12:00:00Z rule_id: datadog_agent_cspm_blocker",
        "https://example.com/a/b?c=d",
        "passwords: 3 checked",
        "api key: valid",
        "rule_token_id: abc",
        "basic authentication_failed_here",
        "secret:\n  secretName: datadog-auth\n  optional: true",
    ],
)
def test_text_without_secrets_is_unchanged(line: str) -> None:
    assert redact(line).text == line


def test_a_secret_at_the_bound_does_not_leak_its_beginning() -> None:
    assert "Zq7" not in clean("x" * 20 + " password=" + SECRET, max_chars=35)


def test_lines_are_bounded_with_a_note() -> None:
    assert clean_lines(b"a\r\n\r\nb\nc\n", max_lines=2) == ("a", "b", "… 1 more lines")


@pytest.mark.parametrize(
    "unit",
    [
        "eyJaaaaaa-",
        "xoxb-aaaaaa-",
        "glpat-aaaaaaaaaa-",
        "key=",
        "password: ",
        "://a:",
        "-----BEGIN PRIVATE KEY-----",
        'token="',
        "\x1b[",
        "\x1b]",
        "a",
        "AIza",
        "secret\\",
        "password:\n",
        "  password: |\n",
    ],
)
def test_four_times_the_input_costs_no_more_than_linear(unit: str) -> None:
    """Whatever is repeated: a ratio of 16 would be quadratic."""

    def cost(length: int) -> float:
        text = unit * (length // len(unit))
        began = time.process_time()
        clean(text)
        return time.process_time() - began

    small = min(cost(40_000) for _ in range(3))
    large = min(cost(160_000) for _ in range(3))
    assert large < 9 * small + 0.05


def test_a_password_with_a_slash_in_an_address_is_taken_out() -> None:
    assert "p/w" not in clean("see https://ana:p/w@host.example/path")
