"""Which processes are alive: nobody who left or fell silent is forgotten before somebody has taken over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.replicas import Replicas
from bot.storage.store import Store
from tests.postgres import Postgres


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


@pytest.mark.needs("postgres")
@pytest.mark.timeout(60)
async def test_whoever_is_cancelled_at_any_moment_leaves_nothing_locked(postgres: Postgres) -> None:
    url = postgres.database()
    stores = [await Store.open(url) for _ in range(2)]
    here, there = (Replicas(store, dead_after_s=10) for store in stores)

    async def stay() -> None:
        async with here.alone():
            await asyncio.sleep(0.001)

    # While it connects, takes the lock, has it, and gives it back.
    for moment in range(100):
        staying = asyncio.create_task(stay())
        await asyncio.sleep(moment * 4e-5)
        staying.cancel()
        await asyncio.wait({staying})
        async with there.alone():
            pass
    for store in stores:
        await store.aclose()


@pytest.mark.needs("postgres")
async def test_nobody_is_alone_while_somebody_else_is(postgres: Postgres) -> None:
    url = postgres.database()
    stores = [await Store.open(url) for _ in range(4)]
    inside: list[int] = []

    async def enter(number: int) -> None:
        async with Replicas(stores[number], dead_after_s=10).alone():
            inside.append(number)
            assert inside == [number]
            await asyncio.sleep(0.01)
            inside.remove(number)

    await asyncio.gather(*(enter(number) for number in range(4)))
    for store in stores:
        await store.aclose()
