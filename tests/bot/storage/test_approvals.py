"""The row of an approval, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.approvals import Approvals
from bot.storage.store import RunRequest, Store

REQUEST = RunRequest(
    id="r-1", command="flare", target="cluster-a", agent="node-1", requested_by="U0ANA", source="slack", accepted_at=1.0
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
async def approvals(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Approvals]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'csm.db'}" if on_sqlite else request.getfixturevalue("postgres").database()
    store = await Store.open(url)
    await store.accept(REQUEST)
    yield Approvals(store)
    await store.aclose()


async def test_a_run_s_archive_is_claimed_once_whoever_comes_later(approvals: Approvals) -> None:
    assert await approvals.claim(REQUEST, "one", 2.0)
    assert not await approvals.claim(REQUEST, "another", 2.0)
    assert not await approvals.claim(REQUEST, "one", 2.0)
    row = await approvals.get("r-1")

    assert row is not None
    assert row.holder == "one"
