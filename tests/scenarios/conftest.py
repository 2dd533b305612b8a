"""A running sandbox for each test: the local Slack, a stand-in cluster, and the real bot as a process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.sandbox.driver import Driver
from bot.sandbox.world import World, world
from tests import judge


def disliked(made: World) -> list[str]:
    """What slackblocks refuses of all that the bot has shown; the sandbox's own judge took it when it came."""
    calls = [arguments for _, arguments in made.slack.api.calls]
    messages = [arguments["blocks"] for arguments in calls if arguments.get("blocks")]
    messages += [
        m["blocks"] for c in made.slack.workspace.channels.values() for m in c.messages.values() if "blocks" in m
    ]
    views = [arguments["view"] for arguments in calls if "view" in arguments]
    found = [judge.complaints(blocks) for blocks in messages]
    found += [judge.complaints(view["blocks"], surface=view["type"]) for view in views]
    return [each for each in found if each]


@pytest.fixture
async def sandbox() -> AsyncIterator[World]:
    async with world(
        settings={"limits": {"min_interval": "2s", "selftest_deadline": "3s", "status_deadline": "3s"}}
    ) as made:
        yield made
        assert not disliked(made)


@pytest.fixture
async def unhurried() -> AsyncIterator[World]:
    """One in which an Agent that hangs does so for as long as somebody takes to cancel."""
    async with world(settings={"limits": {"selftest_deadline": "60s"}}) as made:
        yield made
        assert not disliked(made)


@pytest.fixture
def ana(sandbox: World) -> Driver:
    return Driver(sandbox.slack)


@pytest.fixture
def eve(sandbox: World) -> Driver:
    return Driver(sandbox.slack, user="eve")
