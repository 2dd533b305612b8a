"""The configuration: every fault at once, each with its line; secrets from the environment only."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from bot.config.settings import Secrets, load
from handlers.errors import ConfigurationError

GOOD = "targets:\n  cluster-a: {kubernetes: {context: prod-a}}\n"
BOT, APP = f"xoxb-{1}", f"xapp-{1}"


def faults(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "csm.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "csm.yaml")
    return list(caught.value.faults)


def test_the_example_is_valid() -> None:
    settings = load(Path("csm.example.yaml"))

    assert sorted(settings.targets) == ["cluster-a", "db-1", "edge", "this-host"]
    assert settings.approvals.flare.expires == timedelta(minutes=30)


def test_a_minimal_file_has_defaults_and_allows_nobody_anything(tmp_path: Path) -> None:
    (tmp_path / "csm.yaml").write_text(GOOD)
    settings = load(tmp_path / "csm.yaml")

    assert settings.limits.min_interval == timedelta(seconds=60)
    assert settings.rules == []


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "targtes: {}\n"
        "targets:\n"
        "  a: {kubernetes: {contxt: x}}\n"
        "  b: {docker: {}, host: {}}\n"
        "policy:\n"
        "  - {who: [ana], may: [selftset], on: ['*'], in: ['#general']}\n"
        "limits: {min_interval: soon}\n",
    )

    assert len(found) == 7
    for line, words in (
        (1, "Did you mean `targets`?"),
        (3, "Did you mean `context`?"),
        (4, "docker and host"),
        (6, "names are no identity"),
        (6, "Did you mean `selftest`?"),
        (6, "no channel id"),
        (7, "must be a duration"),
    ):
        assert any(fault.startswith(f"line {line}:") and words in fault for fault in found), (line, words, found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("- a\n", "not a mapping"),
        ("targets: {}\n", "at least 1 item"),
        (GOOD + "site: datadoghq.eux\n", "Did you mean `datadoghq.eu`?"),
        (GOOD + "targets: {}\n", "given twice; it was given on line 1"),
        ("targets:\n\tx: {}\n", "line 2"),
        ("targets: {a: {host: {}}\n", "line"),
        (GOOD + f"slack: {{command: {BOT}}}\n", "looks like a Slack token"),
    ],
)
def test_a_faulty_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    found = faults(tmp_path, text)

    assert any(words in fault for fault in found), found
    assert not any(BOT in fault for fault in found if "looks like" in fault)


def test_a_file_that_is_not_there_says_where_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"csm\.example\.yaml"):
        load(tmp_path / "nothing.yaml")


def test_secrets_are_read_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", BOT)
    monkeypatch.setenv("SLACK_APP_TOKEN", APP)
    secrets = Secrets.load("socket")

    assert secrets.bot_token.get_secret_value() == BOT
    assert BOT not in repr(secrets)


def test_secrets_that_were_taken_are_not_passed_on_to_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", BOT)
    monkeypatch.setenv("SLACK_APP_TOKEN", APP)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "s")
    Secrets.load("socket").take()

    assert not {name for name in os.environ if name.startswith("SLACK_")}


def test_missing_and_mixed_up_tokens_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", APP)
    monkeypatch.setenv("SLACK_API_URL", "https://evil.example/api/")
    with pytest.raises(ConfigurationError) as caught:
        Secrets.load("socket")

    assert len(caught.value.faults) == 3
    assert APP not in str(caught.value)
    assert "address of this machine" in str(caught.value)


def test_the_http_way_in_needs_the_signing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", BOT)
    with pytest.raises(ConfigurationError, match="SLACK_SIGNING_SECRET"):
        Secrets.load("http")


def test_files_cannot_be_kept_for_longer_than_their_runs(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f"{GOOD}retention: {{runs: 30d, files: 31d}}\n")
    assert "csm would not know any more which they are" in found


@pytest.mark.parametrize(
    "text",
    [
        "retention: {runs: -5}",
        "retention: {runs: 99999999999999999999d}",
        "approvals: {flare: {expires: 0s}}",
        "limits: {selftest_deadline: 0}",
        "limits: {min_interval: .inf}",
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = faults(tmp_path, f"{GOOD}{text}\n")
    assert found.startswith("line 3: ")
    assert "must be a duration" in found or "must be a second or more" in found


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite+aiosqlite:///csm.db", "must begin with"),
        ("postgres://csm:hunter2@db/csm", "must begin with"),
        ("postgresql://csm:hunter2@db:54x2/csm", "no address of a database"),
        ("mysql://csm:hunter2@db/csm", "must begin with"),
    ],
)
def test_a_database_that_csm_cannot_use_is_refused_and_its_password_is_not_shown(
    tmp_path: Path, url: str, words: str
) -> None:
    (found,) = faults(tmp_path, f"{GOOD}database_url: '{url}'\n")
    assert found.startswith("line 3: database_url: ")
    assert words in found
    assert "hunter2" not in found
