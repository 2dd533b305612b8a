"""A running sandbox for each test: the local Slack, a stand-in cluster, and the real bot as a process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.sandbox.driver import Driver
from bot.sandbox.world import World, world


@pytest.fixture
async def sandbox() -> AsyncIterator[World]:
    async with world(
        settings={"limits": {"min_interval": "2s", "selftest_deadline": "3s", "status_deadline": "3s"}}
    ) as made:
        yield made


@pytest.fixture
def ana(sandbox: World) -> Driver:
    return Driver(sandbox.slack)


@pytest.fixture
def eve(sandbox: World) -> Driver:
    return Driver(sandbox.slack, user="eve")
