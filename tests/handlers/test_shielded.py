"""Work that is carried to its end although whoever waits for it gives up."""

from __future__ import annotations

import asyncio

import pytest

from handlers.shielded import run_shielded


async def test_what_it_returns_and_raises_is_handed_on() -> None:
    async def fails() -> None:
        raise ValueError("x")

    assert await run_shielded(asyncio.sleep(0, 7)) == 7
    with pytest.raises(ValueError, match="x"):
        await run_shielded(fails())


@pytest.mark.parametrize("fails", [False, True])
async def test_it_goes_on_to_its_end_however_often_its_waiter_is_cancelled(fails: bool) -> None:
    may_end, ended = asyncio.Event(), []

    async def work() -> None:
        await may_end.wait()
        ended.append(True)
        if fails:
            raise ValueError("nobody is told")

    waiting = asyncio.create_task(run_shielded(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended
