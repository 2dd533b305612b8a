"""What the audit adds to the store's writes: the same commands and answers, with its entries and without."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from bot.storage import audit
from bot.storage.store import RunRequest, Store
from handlers.model import AgentResult, Installation, Platform, Verdict

RUNS = 7
AT_ONCE = 100


async def auditing() -> tuple[float, float]:
    """Seconds for a hundred commands that arrive at once and an answer to each: with the audit, and without."""
    with_, without = [], []
    for turn in range(RUNS):
        with_.append(await _writes(f"w{turn}"))
        with _no_audit():
            without.append(await _writes(f"n{turn}"))
    return statistics.median(with_), statistics.median(without)


@contextlib.contextmanager
def _no_audit() -> Iterator[None]:
    with mock.patch.object(audit, "flush"):
        yield


async def _writes(mark: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(f"sqlite:///{Path(folder) / 'csm.db'}")
        requests = [
            RunRequest(f"r-{mark}-{number}", "selftest", f"t{number}", "", "U1", "slack", 1.0, "C1")
            for number in range(AT_ONCE)
        ]
        result = AgentResult(
            agent="node-1",
            platform=Platform.KUBERNETES,
            installation=Installation.HELM,
            verdict=Verdict.PASS,
            reason="",
            argv=("agent", "status"),
        )
        began = time.perf_counter()
        await asyncio.gather(*(store.accept(request) for request in requests))
        await asyncio.gather(*(store.keep_result(request, result, 1.0) for request in requests))
        took = time.perf_counter() - began
        await store.aclose()
    return took
