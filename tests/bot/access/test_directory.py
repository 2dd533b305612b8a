"""Who a person is, as Slack says; nobody is let in whom Slack does not vouch for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from bot.access.directory import SlackDirectory, Unknown
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.workspace import TEAM
from bot.slack import client as connection
from bot.slack.client import MANIFEST


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(MANIFEST) as made:
        yield made


@pytest.fixture
async def directory(slack: LocalSlack) -> AsyncIterator[SlackDirectory]:
    async with aiohttp.ClientSession() as session:
        client = connection.create_client(slack.bot_token, slack.api_url, session)
        yield SlackDirectory(client, team_id=TEAM, groups={"@sre", "@nobody"})


@pytest.mark.parametrize("method", ["users.info", "usergroups.list"])
async def test_nobody_is_let_in_whom_slack_does_not_vouch_for(
    slack: LocalSlack, directory: SlackDirectory, method: str
) -> None:
    slack.api.faults[method] = [500]
    with pytest.raises(Unknown, match="Nothing was started"):
        await directory.person("U0SANDANA")
    assert (await directory.person("U0SANDANA")).groups == {"@sre"}


async def test_somebody_whom_slack_does_not_know_is_nobody(directory: SlackDirectory) -> None:
    with pytest.raises(Unknown):
        await directory.person("U0NOBODY")


async def test_many_questions_at_once_are_one_call_each(slack: LocalSlack, directory: SlackDirectory) -> None:
    for _ in range(5):
        await directory.person("U0SANDSAM")
    assert [method for method, _ in slack.api.calls] == ["users.info", "usergroups.list"]
