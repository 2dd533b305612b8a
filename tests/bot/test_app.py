"""`csm serve` that cannot start says why, all at once, and how to mend it; its exit status is 2."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from bot.storage.instance_lock import hold_instance_lock
from bot.storage.schema import schema_version
from bot.storage.store import Store, make_engine

TOKENS = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN")


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(MANIFEST) as made:
        yield made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "csm.yaml"
    path.write_text(
        yaml.safe_dump({"database_url": f"sqlite:///{tmp_path / 'csm.db'}", "targets": {"this-host": {"host": {}}}})
    )
    return path


def environment(slack: LocalSlack, **changes: str) -> dict[str, str]:
    given = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    return given | changes


async def refused(config: Path, given: dict[str, str]) -> str:
    """Start it, and return what it says when it does not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", "--config", str(config), env={"PATH": os.environ["PATH"], **given},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    said = err.decode()
    assert process.returncode == 2, said
    assert not out
    assert "Traceback" not in said
    for name in TOKENS:
        assert given.get(name, "?") not in said
    return said


async def test_missing_tokens_are_told_together_with_where_they_are_found(config: Path) -> None:
    said = await refused(config, {})

    assert "SLACK_BOT_TOKEN is not set" in said
    assert "SLACK_APP_TOKEN is not set" in said
    assert "OAuth & Permissions" in said


async def test_a_bot_token_that_slack_refuses(config: Path, slack: LocalSlack) -> None:
    said = await refused(config, environment(slack, SLACK_BOT_TOKEN=f"{slack.bot_token}-of-yesterday"))

    assert "SLACK_BOT_TOKEN is refused by Slack: invalid_auth" in said


async def test_an_app_token_that_slack_refuses(config: Path, slack: LocalSlack) -> None:
    said = await refused(config, environment(slack, SLACK_APP_TOKEN=f"{slack.app_token}-of-yesterday"))

    assert "SLACK_APP_TOKEN is refused by Slack: invalid_auth" in said
    assert "connections:write" in said


async def test_tokens_that_were_mixed_up(config: Path, slack: LocalSlack) -> None:
    said = await refused(config, environment(slack, SLACK_BOT_TOKEN=slack.app_token, SLACK_APP_TOKEN=slack.bot_token))

    assert "SLACK_BOT_TOKEN does not begin with" in said
    assert "SLACK_APP_TOKEN does not begin with" in said


async def test_scopes_that_are_missing_are_named(config: Path, tmp_path: Path) -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["oauth_config"]["scopes"]["bot"].remove("files:write")
    manifest["oauth_config"]["scopes"]["bot"].remove("usergroups:read")
    (tmp_path / "manifest.yml").write_text(yaml.safe_dump(manifest))
    async with LocalSlack(tmp_path / "manifest.yml") as slack:
        said = await refused(config, environment(slack))

    assert "lacks the scopes files:write, usergroups:read" in said
    assert "install it again" in said


async def test_a_slack_that_cannot_be_reached(config: Path, slack: LocalSlack) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api/"
        said = await refused(config, environment(slack, SLACK_API_URL=url))

    assert f"Slack cannot be reached at {url}" in said


async def test_a_database_of_a_newer_schema(config: Path, slack: LocalSlack, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'csm.db'}"
    await (await Store.open(url)).aclose()
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.insert(schema_version).values(version=99))
    engine.dispose()

    assert "newer csm" in await refused(config, environment(slack))


async def test_a_database_that_another_process_has_locked(config: Path, slack: LocalSlack, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "csm.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "locked by another process" in await refused(config, environment(slack))
    other.close()


async def test_a_database_that_cannot_be_opened(config: Path, slack: LocalSlack, tmp_path: Path) -> None:
    (tmp_path / "csm.db").mkdir()

    assert "cannot be used: unable to open database file" in await refused(config, environment(slack))


async def test_a_configuration_with_several_faults_shows_each_with_its_line(tmp_path: Path, slack: LocalSlack) -> None:
    path = tmp_path / "csm.yaml"
    path.write_text("targets:\n  a: {kubernetes: {contxt: x}}\nlimits: {min_interval: soon}\nslack: {port: high}\n")
    said = await refused(path, environment(slack))

    assert [f"line {number}:" in said for number in (2, 3, 4)] == [True] * 3
    assert "Did you mean `context`?" in said


async def test_a_second_bot_on_one_file_is_refused_and_told_who_has_it(config: Path, slack: LocalSlack) -> None:
    with hold_instance_lock(f"sqlite:///{config.parent / 'csm.db'}"):
        said = await refused(config, environment(slack))

    assert f"belongs to a csm that is running as process {os.getpid()}" in said


async def test_a_defect_ends_as_a_line_of_the_log_without_what_is_secret(config: Path, slack: LocalSlack) -> None:
    crash = (
        "import sys; from bot import app\n"
        "async def serve(*_): raise RuntimeError('token xoxb-1-2-abcdefghijkl')\n"  # pragma: allowlist secret
        "app.serve = serve; from bot.cli.main import main; main(['serve', '--config', sys.argv[1]])"
    )
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", crash, str(config)], check=False, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], **environment(slack)},
    )  # fmt: skip

    assert ended.returncode == 3
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert json.loads(line)["event"] == "bot.crashed"
    assert "RuntimeError" in line
    assert "abcdefghijkl" not in line
