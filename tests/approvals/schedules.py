"""
Schedules: what people, Agents and machines do to some flares, in an order that nobody would think of.

`play` plays one and then checks that no archive left an Agent without exactly one recorded approval, by an allowed
person, for its hash; that every thread ended once; and that no card looks alive that is not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st

from bot.storage.approvals import Approval, State
from bot.storage.schema import audit
from tests.approvals.harness import ANA, APPROVERS, EVE, EXPIRES_S, KIM, SAM, Replica, World, actions

MAY_HAVE_LEFT = {"uploaded", "failed", "in_doubt"}
"""Endings that do not say that nothing was uploaded."""


@dataclass(frozen=True)
class Do:
    """One thing that happens; `pause` is for how many milliseconds the world then goes on by itself."""

    what: str
    who: str = SAM
    which: int = 0
    """Which flare or card, counted round."""
    there: bool = False
    """Whether the click reaches the other process."""
    pause: int = 0
    at_once: bool = False
    """Whether the next thing happens while a click is still on its way."""


WHATS = (
    *("approve",) * 8, *("decline", "both", "twice") * 2,
    "ask", "stale", "again", "cancel", "expire", "edit", "cut", "kill", "kill", "stop",
    "slow_build", "slow_copy", "slow_hash", "slow_upload", "quick", "fails", "wait", "shown",
    "abroad", *("confirm",) * 4, "mistype",
)  # fmt: skip
"""Some of everything, more of what leads to an upload."""

steps = st.lists(
    st.builds(
        Do,
        what=st.sampled_from(WHATS),
        who=st.sampled_from((SAM, EVE, ANA, KIM)),
        which=st.integers(0, 3),
        there=st.booleans(),
        pause=st.sampled_from((0, 0, 1, 5, 20)),
        at_once=st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


async def play(world: World, schedule: Sequence[Do]) -> None:
    """Play a schedule on a world with nothing in it, and check what is left."""
    player = _Player(world)
    await player.do(Do("ask"))
    for step in schedule:
        await player.do(step)
        # Even without a pause others get their turn, as they do while a click is on its way.
        await asyncio.sleep(step.pause / 1000)
    await player.settle()
    await check(world, player.runs)


class _Player:
    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: list[str] = []
        self.rushing: list[tuple[Replica, asyncio.Task[Any]]] = []

    async def do(self, step: Do) -> None:
        await getattr(self, f"_{step.what}", self._click)(step)

    async def settle(self) -> None:
        """Let everything come to its end: people lose their patience, and machines are there again."""
        agent = self.world.agent
        agent.build_s = agent.copy_s = agent.hash_s = agent.upload_s = 0.0
        if self.world.holder is None:
            await self.world.start()
        await self._clicked()
        self.world.clock.forward(EXPIRES_S + 1)
        records = await self.world.holder.store.recent_runs(limit=100)
        self.runs = [record.request.id for record in records]
        for run in self.runs:
            await self.world.ended(run)
        # A tell to somebody, a card that is shown again.
        await self.world.holder.background_tasks.aclose(5)

    async def _clicked(self) -> None:
        """Until every click has arrived, but for those that died with their process."""
        for replica, clicking in self.rushing:
            if replica.life.dead:
                clicking.cancel()
        outcomes = await asyncio.gather(*(clicking for _, clicking in self.rushing), return_exceptions=True)
        for (replica, _), outcome in zip(self.rushing, outcomes, strict=True):
            if isinstance(outcome, Exception) and not replica.life.dead and not replica.stopped:
                raise outcome

    async def _ask(self, _step: Do) -> None:
        if self.world.holder is not None and len(self.runs) < 4:
            self.runs.append(await self.world.ask())

    async def _click(self, step: Do) -> None:
        """`approve` or `decline`, on a card as it is on the screen."""
        await self._shown(step)
        card = self._card(step)
        replica = self._replica(step)
        if card is None or replica is None:
            return
        clicking = asyncio.create_task(replica.click(step.who, step.what, card))
        self.rushing.append((replica, clicking))
        if not step.at_once:
            await clicking

    async def _both(self, step: Do) -> None:
        """Two people at once, one for and one against."""
        await self._shown(step)
        card, replica = self._card(step), self._replica(step)
        if card is not None and replica is not None:
            await asyncio.gather(replica.click(SAM, "approve", card), replica.click(step.who, "decline", card))

    async def _twice(self, step: Do) -> None:
        """One person, the same click delivered twice, perhaps through two processes."""
        card = self._card(step)
        replicas = [each for each in (self.world.holder, self.world.other) if each is not None]
        if card is not None:
            await asyncio.gather(*(each.click(step.who, "approve", card) for each in (replicas * 2)[:2]))

    async def _stale(self, step: Do) -> None:
        """A button that carries another archive's hash."""
        card, replica = self._card(step), self._replica(step)
        if card is not None and replica is not None:
            await replica.click(step.who, "approve", f"{card.split(' ')[0]} {'0' * 64}")

    async def _again(self, step: Do) -> None:
        if self.world.holder is not None and self.runs:
            await self.world.holder.again(step.who, self.runs[step.which % len(self.runs)])

    async def _cancel(self, step: Do) -> None:
        replica = self._replica(step)
        if replica is not None and self.runs:
            await replica.runs.cancel(self.runs[step.which % len(self.runs)], ANA, "C1")

    async def _expire(self, _step: Do) -> None:
        self.world.clock.forward(EXPIRES_S + 1)

    async def _edit(self, step: Do) -> None:
        if question := self._question(step):
            question.archive += b", and something else"

    async def _cut(self, step: Do) -> None:
        if question := self._question(step):
            question.end()

    async def _kill(self, _step: Do) -> None:
        if self.world.holder is not None:
            await self.world.kill()
        else:
            await self.world.start()

    async def _stop(self, _step: Do) -> None:
        if self.world.holder is not None:
            await self.world.stop()
        else:
            await self.world.start()

    async def _slow_build(self, _step: Do) -> None:
        self.world.agent.build_s = 0.05

    async def _abroad(self, _step: Do) -> None:
        """What is built from now on goes to another host than Datadog's, or to Datadog again."""
        self.world.agent.host = "" if self.world.agent.host else "flares.example.net"

    async def _confirm(self, step: Do) -> None:
        """The host, typed into the modal that an approval opened; perhaps by somebody else, or long after."""
        await self._typed(step, "flares.example.net")

    async def _mistype(self, step: Do) -> None:
        await self._typed(step, "flares.example.org")

    async def _typed(self, step: Do, host: str) -> None:
        views, replica = self.world.slack.views, self._replica(step)
        if views and replica is not None:
            typing = asyncio.create_task(replica.confirm(step.who, views[-1 - step.which % len(views)], host))
            self.rushing.append((replica, typing))
            if not step.at_once:
                await typing

    async def _slow_copy(self, _step: Do) -> None:
        self.world.agent.copy_s = 0.05

    async def _slow_hash(self, _step: Do) -> None:
        self.world.agent.hash_s = 0.05

    async def _slow_upload(self, _step: Do) -> None:
        self.world.agent.upload_s = 0.05

    async def _quick(self, _step: Do) -> None:
        agent = self.world.agent
        agent.build_s = agent.copy_s = agent.hash_s = agent.upload_s = 0.0

    async def _fails(self, _step: Do) -> None:
        self.world.agent.upload_fails = not self.world.agent.upload_fails

    async def _wait(self, _step: Do) -> None:
        await asyncio.sleep(0.05)

    async def _shown(self, _step: Do) -> None:
        """Until there is something to click, if it comes: nobody clicks on what is not there."""
        for _ in range(100):
            if self.world.holder is None or self._cards():
                return
            await asyncio.sleep(0.002)

    def _card(self, step: Do) -> str | None:
        """A card's button as somebody's screen has it, which may be from a while ago."""
        cards = self._cards()
        return cards[step.which % len(cards)] if cards else None

    def _cards(self) -> list[str]:
        return [c["approve"] for c in self.world.slack.messages.values() if "approve" in c]

    def _replica(self, step: Do) -> Replica | None:
        return self.world.other if step.there else self.world.holder

    def _question(self, step: Do) -> Any:
        questions = self.world.agent.questions
        return questions[-1 - step.which % len(questions)] if questions else None


async def check(world: World, runs: Sequence[str]) -> None:
    """The invariant, and what goes with it."""
    assert world.holder is not None
    rows = [row for run in runs if (row := await world.holder.runs.approvals.get(run)) is not None]
    _uploads_were_approved(world, rows)
    await _audit_agrees(world, rows)
    for row in rows:
        assert row.state is State.ENDED, row
    for message in world.slack.messages.values():
        assert not {"flare.approve", "flare.decline", "run.cancel"} & set(actions(message)), message
    openings = Counter(m["metadata"]["event_payload"]["run"] for m in world.slack.openings())
    assert openings.keys() == set(runs), "every thread begins"
    if world.slack.history:
        cards = Counter(m["metadata"]["event_payload"]["run"] for m in world.slack.cards())
        assert set(openings.values()) == {1}, "once"
        assert set(cards.values()) <= {1}, "and has one card at the most"
    assert len(world.agent.questions) <= len(runs), "no archive is built again for the same run"
    for question in world.agent.questions:
        assert not question.open, "no command is left waiting"


def _uploads_were_approved(world: World, rows: Sequence[Approval]) -> None:
    approved = {row.review.sha256: row for row in rows if row.review is not None and row.decision == "approve"}
    assert len(set(world.agent.uploads)) == len(world.agent.uploads), "no archive is uploaded twice"
    for sha256 in world.agent.uploads:
        row = approved.get(sha256)
        assert row is not None, f"{sha256} left without an approval for it"
        assert row.decided_by in APPROVERS, row
        assert row.decided_by != row.requested_by, row
        assert row.decided_at is not None
        assert row.decided_at < row.expires_at, row
        assert row.ending in MAY_HAVE_LEFT, f"it left, and the card says that it did not: {row}"
    for row in rows:
        if row.ending in {"uploaded", "failed"}:
            assert row.review is not None
            assert row.review.sha256 in world.agent.uploads, f"the card says that it left, and it did not: {row}"
    uploaded = {row.review.sha256 for row in rows if row.review is not None and row.ending == "uploaded"}
    assert set(world.slack.copies) <= uploaded, "a copy is kept of nothing that was not uploaded"
    answered = Counter(sha256 for sha256, _ in world.agent.answers)
    assert set(answered.values()) <= {1}, "a question is answered once"


async def _audit_agrees(world: World, rows: Sequence[Approval]) -> None:
    """The audit holds one grant for each approval that counts, and no other."""
    assert world.holder is not None
    entries = await world.holder.store.read(lambda connection: list(connection.scalars(sa.select(audit.c.entry))))
    granted = Counter()  # type: Counter[str]
    for row in rows:
        own = f"sha256 {row.review.sha256}" if row.review else "nothing"
        grants = [entry for entry in entries if '"approval.granted"' in entry and f'"{row.run}"' in entry]
        granted[row.run] = len(grants)
        assert all(own in grant for grant in grants), "a grant is for the archive that was looked at"
        foreign = row.review.foreign_host if row.review else ""
        assert all(foreign in grant for grant in grants), (
            "and for the host that it goes to, where that is not Datadog's"
        )
    assert granted == Counter({row.run: int(row.decision == "approve") for row in rows})
