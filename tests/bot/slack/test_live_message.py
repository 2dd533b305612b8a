"""The live message: coalesced, never too often, always the latest, and out of the way at the end."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from bot.render.post import Post
from bot.slack.live_message import FIRST_PAUSE_S, LAST_PAUSE_S, LiveMessage, Turns
from bot.slack.messenger import Undeliverable
from bot.storage.store import Sent
from tests.virtual_time import run

SENT = Sent("C1", "1.0", 0.0)


class Slack:
    """Takes updates, and keeps when each came and what it said."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.updates: list[tuple[float, str]] = []
        self.takes_s = takes_s
        self.refusal = ""

    async def update(self, _sent: Sent, post: Post, **_options: Any) -> None:
        at = asyncio.get_running_loop().time()
        await asyncio.sleep(self.takes_s)
        if self.refusal:
            raise Undeliverable(self.refusal)
        self.updates.append((at, post.text))

    @property
    def gaps(self) -> list[float]:
        times = [at for at, _ in self.updates]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


class State:
    """What a message shows."""

    def __init__(self) -> None:
        self.value = 0

    def render(self) -> Post:
        return Post("opening", str(self.value), ())


async def busy(live: LiveMessage, state: State, *, seconds: float, every: float = 0.01) -> None:
    """Change something all the time."""
    for _ in range(round(seconds / every)):
        state.value += 1
        live.changed()
        await asyncio.sleep(every)


def live(slack: Slack, state: State, turns: Turns | None = None) -> LiveMessage:
    return LiveMessage(slack, SENT, state.render, turns or Turns(0.0))


def test_a_change_is_shown_at_once_and_a_thousand_more_are_coalesced() -> None:
    slack, state = Slack(), State()

    async def main() -> None:
        async with live(slack, state) as message:
            await busy(message, state, seconds=10)

    run(main())
    assert slack.updates[0] == (0.0, "1")
    assert all(gap >= FIRST_PAUSE_S - 1e-6 for gap in slack.gaps)
    assert 4 <= len(slack.updates) <= 9
    assert [int(text) for _, text in slack.updates] == sorted(int(text) for _, text in slack.updates)


def test_a_change_during_a_pause_is_shown_after_it_in_its_latest_state() -> None:
    slack, state = Slack(), State()

    async def main() -> None:
        async with live(slack, state) as message:
            await busy(message, state, seconds=1)  # a hundred changes, then nothing more
            await asyncio.sleep(60)

    run(main())
    assert [text for _, text in slack.updates] == ["1", "100"]


def test_a_long_run_is_shown_less_and_less_often() -> None:
    slack, state = Slack(), State()

    async def main() -> None:
        async with live(slack, state) as message:
            await busy(message, state, seconds=600, every=0.1)

    run(main())
    assert len([at for at, _ in slack.updates if at <= 60]) <= 20
    assert len(slack.updates) <= 80
    assert slack.gaps[-1] == pytest.approx(LAST_PAUSE_S, abs=0.2)
    assert max(slack.gaps) <= LAST_PAUSE_S + 0.2


def test_what_shows_nothing_new_is_not_sent() -> None:
    slack, state = Slack(), State()

    async def main() -> None:
        async with live(slack, state) as message:
            for _ in range(10):
                message.changed()
                await asyncio.sleep(5)

    run(main())
    assert len(slack.updates) == 1


def test_many_messages_together_stay_below_slacks_fifty_a_minute() -> None:
    slack, turns = Slack(), Turns()

    async def one() -> None:
        state = State()
        async with live(slack, state, turns) as message:
            await busy(message, state, seconds=60, every=0.5)

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    run(main())
    assert 40 <= len(slack.updates) <= 46
    assert min(slack.gaps) >= 60 / 45 - 1e-6


def test_a_refused_update_is_not_repeated_and_the_next_change_is_tried() -> None:
    slack, state = Slack(), State()
    slack.refusal = "channel_not_found"

    async def main() -> None:
        async with live(slack, state) as message:
            await busy(message, state, seconds=1)
            slack.refusal = ""
            await busy(message, state, seconds=2)

    run(main())
    assert slack.updates


def test_the_end_does_not_wait_for_a_pause() -> None:
    slack, state = Slack(), State()

    async def main() -> float:
        async with live(slack, state) as message:
            await busy(message, state, seconds=0.5)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(0.5)


def test_an_update_on_its_way_has_arrived_before_the_end_so_that_it_cannot_overtake_the_verdict() -> None:
    slack, state = Slack(takes_s=1.0), State()

    async def main() -> None:
        async with live(slack, state) as message:
            message.changed()
            await asyncio.sleep(0.1)
        slack.updates.append((asyncio.get_running_loop().time(), "verdict"))

    run(main())
    assert [text for _, text in slack.updates] == ["0", "verdict"]


def test_an_update_that_does_not_arrive_is_given_up_at_the_end() -> None:
    slack, state = Slack(takes_s=1000.0), State()

    async def main() -> float:
        async with live(slack, state) as message:
            message.changed()
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time()

    assert run(main()) < 5
    assert not slack.updates
