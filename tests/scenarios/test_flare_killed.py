"""
The bot killed (SIGKILL) at every step of a flare, while somebody approves as soon as there is something to approve.

Whatever the moment: no archive leaves without its approval in the store, every thread ends once and says what became
of it, and no card is left that looks alive.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver, Message, actions, is_final, is_run
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.world import World, world
from tests.scenarios.test_killed import Killer, _struck

POD = "datadog-0"
CALLS = {
    "chat.postMessage": 2,  # the run's message, the card
    "chat.getPermalink": 1,
    "chat.update": 3,  # the card's buttons, the record, the run's message
    "files.getUploadURLExternal": 1,
    "files.completeUploadExternal": 2,  # the list of files, the report
}
"""How many calls of each method are walked."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("half", [0, 1], ids=["odd steps", "even steps"])
async def test_a_bot_killed_at_any_step_of_a_flare_uploads_nothing_that_was_not_approved(half: int) -> None:
    async with world([Pod(POD, "node-0", Behaviour())], rate_limits=False) as made:
        ana, sam = Driver(made.slack), Driver(made.slack, user="sam")
        approving = asyncio.create_task(approve_whatever_comes(sam, ana))
        try:
            await ana.type("/csm flare cluster-a/node-0 123")
            await ana.finished()
            assert len(left(made)) == 1
            killer = Killer(made)
            steps = [(m, n + 1, when) for m, most in CALLS.items() for n in range(most) for when in ("before", "after")]
            steps += [("exec", n + 1, "before") for n in range(made.cluster.execs)]
            assert len(steps) > 20

            for number, step in enumerate(steps[half::2], 1):
                killer.aim(*step)
                await ana.type("/csm flare cluster-a/node-0 123")
                await _struck(killer, made)
                await made.bot.start()
                root = await ana.finished(number=number)
                check(made, ana, root, number, f"killed at {step}")
        finally:
            approving.cancel()
            await asyncio.gather(approving, return_exceptions=True)


def check(made: World, ana: Driver, root: Message, number: int, where: str) -> None:
    rows = approvals(made)
    for upload in left(made):
        row = rows[upload["sha256"]]
        assert (row["decision"], row["decided_by"]) == ("approve", "U0SANDSAM"), where
        assert row["ending"] in {"uploaded", "in_doubt"}, f"{where}: it left, and the record says {row['ending']}"
    assert set(Counter(upload["sha256"] for upload in left(made)).values()) == {1}, where
    assert [is_final(m) for m in ana.messages() if is_run(m)] == [True] * (number + 1), where
    for message in ana.thread(root):
        assert not {"flare.approve", "flare.decline", "run.cancel"} & set(actions(message)), where
    cards = [m for m in ana.thread(root) if "flare.again" in actions(m)]
    assert len(cards) <= 2, f"{where}: the run's message, and one card at the most"


async def approve_whatever_comes(sam: Driver, ana: Driver) -> None:
    """Click Approve on every card as soon as it can be clicked; more than once where the app did not answer."""
    while True:
        cards = await sam.until(lambda: open_cards(ana) or None, within_s=600)
        for card in cards:
            await sam.click(card, "flare.approve")
        await asyncio.sleep(0.1)


def open_cards(person: Driver) -> list[Message]:
    replies = [reply for message in person.messages() if is_run(message) for reply in person.thread(message)]
    return [reply for reply in replies if "flare.approve" in actions(reply)]


def left(made: World) -> list[Mapping[str, Any]]:
    """What left the Agent."""
    return [event for event in made.cluster.ledger(POD) if event["event"] == "uploaded"]


def approvals(made: World) -> Mapping[str, Mapping[str, Any]]:
    """The store's rows, by hash."""
    with sqlite3.connect(made.folder / "csm.db") as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM csm_approvals WHERE sha256 <> ''").fetchall()
    connection.close()
    return {row["sha256"]: dict(row) for row in rows}


@pytest.mark.timeout(120)
async def test_without_the_history_scopes_a_card_that_cannot_be_found_again_has_no_buttons() -> None:
    async with world([Pod(POD, "node-0", Behaviour())], optional_scopes=False) as made:
        ana = Driver(made.slack)
        killer = Killer(made)
        killer.aim("chat.postMessage", 2, "after")  # the card is there, and the bot does not know where
        await ana.type("/csm flare cluster-a/node-0 123")
        await _struck(killer, made)
        await made.bot.start()
        root = await ana.finished()

        clickable = [action for message in ana.thread(root) for action in actions(message)]
        assert not {"flare.approve", "flare.decline"} & set(clickable)
        assert not left(made)
