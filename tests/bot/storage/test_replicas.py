"""Which processes are alive: nobody who left or fell silent is forgotten before somebody has taken over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.replicas import Replicas
from bot.storage.store import Store


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    store = await Store.open(f"sqlite:///{tmp_path / 'csm.db'}")
    yield Replicas(store, dead_after_s=10)
    await store.aclose()


async def test_who_leaves_is_up_for_the_others_at_once(replicas: Replicas) -> None:
    await replicas.alive("1-a")
    assert await replicas.is_alive("1-a")
    await replicas.left("1-a")

    assert await replicas.dead() == ["1-a"]
    assert not await replicas.is_alive("1-a")


async def test_who_was_taken_for_dead_and_forgotten_is_found_when_it_leaves(replicas: Replicas) -> None:
    await replicas.alive("1-a")
    await replicas.forget("1-a")
    await replicas.left("1-a")

    assert await replicas.dead() == ["1-a"]
