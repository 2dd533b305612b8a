"""Acknowledgements go before runs: what was accepted is started when nobody waits any more."""

from __future__ import annotations

import asyncio

from bot.runtime.ack_gate import PATIENCE_S, AckGate
from tests.virtual_time import run


def test_it_is_over_at_once_when_nobody_waits() -> None:
    async def main() -> float:
        ack_gate = AckGate()
        with ack_gate.waiting():
            pass
        await ack_gate.over()
        return asyncio.get_running_loop().time()

    assert run(main()) == 0


def test_it_is_over_when_the_last_one_has_been_answered() -> None:
    ack_gate = AckGate()

    async def request(seconds: float) -> None:
        with ack_gate.waiting():
            await asyncio.sleep(seconds)

    async def main() -> float:
        requests = asyncio.gather(*(request(n / 1000) for n in range(1, 101)))
        await asyncio.sleep(0)
        await ack_gate.over()
        at = asyncio.get_running_loop().time()
        await requests
        return at

    assert round(run(main()), 3) == 0.1


def test_when_it_never_ends_patience_does() -> None:
    async def main() -> float:
        ack_gate = AckGate()
        with ack_gate.waiting():
            await ack_gate.over()
        return asyncio.get_running_loop().time()

    assert run(main()) == PATIENCE_S
