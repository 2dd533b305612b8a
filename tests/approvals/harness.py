"""
csm's own parts around an Agent and a Slack in memory: the real engine, store, policy and listeners, in this process.

A process is a `Replica`. It can be killed: from that moment on nothing that it still tries to do happens, neither in
the store, nor in Slack, nor on the Agent. Then another one is started on the same database.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from dbos._dbos import _get_or_create_dbos_registry

from bot.access.policy import Approvers, Person, Policy, Rule
from bot.listeners import flare_review as listeners
from bot.listeners.context import ListenerContext, tell
from bot.render.ephemeral import Payload
from bot.runs.check import CheckLimits
from bot.runs.engine import FlareHandling, RunEngine, end_engine
from bot.runtime.background_tasks import BackgroundTasks
from bot.slack.messenger import Messenger
from bot.storage.store import RunRequest, Store
from handlers.model import Platform
from tests.approvals.clock import ForwardClock
from tests.approvals.memory_agent import Life, MemoryAgent, MemoryExecutor
from tests.approvals.memory_slack import MemoryClient, MemorySlack, actions, value

ANA, SAM, KIM, EVE = "U0ANA00001", "U0SAM00001", "U0KIM00001", "U0EVE00001"
GROUPS = {ANA: {"@sre", "@security"}, SAM: {"@security"}, KIM: {"@security"}, EVE: set()}
"""Ana asks, and is of those who approve, so that four eyes are what refuses her."""
APPROVERS = (SAM, KIM)
EXPIRES_S = 600.0
POLICY = Policy(
    [Rule(who=("@sre",), may=("flare",), on=("*",), in_=("*",))], Approvers(by=("@security",), four_eyes=True)
)


class Directory:
    """Everybody is known."""

    async def person(self, user: str) -> Person:
        return Person(user, frozenset(GROUPS[user]))

    async def email(self, user: str) -> str:
        return f"{user.lower()}@example.com"


class MortalStore(Store):
    """A store that a dead process does not reach."""

    life = Life()

    async def read(self, query: Callable[[Any], Any]) -> Any:
        await self.life.check()
        found = await super().read(query)
        await self.life.check()
        return found

    async def gather(self, work: Callable[[Any], Any]) -> Any:
        await self.life.check()
        done = await super().gather(work)
        await self.life.check()
        return done


class Replica:
    """One process of csm."""

    def __init__(self, world: World, store: MortalStore, life: Life) -> None:
        self.life = life
        self.stopped = False
        self.store = store
        store.life = life
        self.messenger = Messenger(MemoryClient(world.slack, life), store, patience_s=5)  # type: ignore[arg-type]
        self.background_tasks = BackgroundTasks()
        targets = {"this-host": MemoryExecutor()}
        self.runs = RunEngine(
            store=store,
            messenger=self.messenger,
            targets=targets,  # type: ignore[arg-type]
            commands={},
            clock=world.clock,
            check_limits=CheckLimits(),
            flaring=FlareHandling(world.agent.for_life(life), EXPIRES_S, keep_copy=True),
            poll_s=0.01,
            dead_after_s=0.5,
        )
        self.context = ListenerContext(
            runs=self.runs,
            store=store,
            policy=POLICY,
            directory=Directory(),  # type: ignore[arg-type]
            messenger=self.messenger,
            background_tasks=self.background_tasks,
            targets={"this-host": "this host"},
            slash="/csm",
            platforms={"this-host": Platform.HOST},
            agent_choices=None,  # type: ignore[arg-type] - a host has one Agent
        )

    async def click(self, user: str, decision: str, button: str) -> Payload | None:
        """A click on a card, as Bolt would hand it over. Returns what the person is told."""
        answer = await listeners.decide(self.context, _body(user), decision, button)
        tell(self.context, _body(user), answer)
        return answer

    async def confirm(self, user: str, view: Mapping[str, Any], host: str) -> Mapping[str, str]:
        """Submit the modal that asks for the host. Returns what is wrong with what was typed."""
        state = {"values": {"host": {"flare.host": {"type": "plain_text_input", "value": host}}}}
        return await listeners.confirmed(self.context, {"user": {"id": user}}, {**view, "state": state})

    async def again(self, user: str, run: str) -> Payload | None:
        """A click on `Prepare again`."""
        return await listeners.prepare_again(self.context, _body(user), run)


class World:
    """A Slack, an Agent, a clock and a database; and the processes that come and go."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self.slack = MemorySlack()
        self.agent = MemoryAgent()
        self.clock = ForwardClock()
        self.holder: Replica | None = None
        """The process with the engine."""
        self.other: Replica | None = None
        """Another one, which only takes clicks: the engine is one to a process, and this is one process."""
        self._numbers = 0

    async def start(self) -> Replica:
        """Start the process that holds what is to be held."""
        self.holder = await self._replica()
        # The engine's own queue hands over what is to go on; its second of waiting is no part of what is tested.
        _get_or_create_dbos_registry().get_internal_queue()._polling_interval_sec = 0.02
        await self.holder.runs.launch(self.database_url)
        return self.holder

    async def start_other(self) -> Replica:
        """Start the process that only takes clicks."""
        self.other = await self._replica()
        if self.database_url.startswith("sqlite"):
            # There a process takes whatever it does not hold for lost, since it is the only one. Here there are two.
            self.other.runs.holds = self._holds  # type: ignore[method-assign]
        return self.other

    async def _holds(self, holder: str) -> bool:
        return self.holder is not None and self.holder.runs.instance_id == holder

    async def kill(self) -> None:
        """SIGKILL for the process with the engine."""
        assert self.holder is not None
        replica, self.holder = self.holder, None
        replica.life.dead = True
        for question in self.agent.questions:
            question.end()
        tasks = {*replica.runs.carrying, *replica.runs.tasks}
        await end_engine()
        replica.life.gone = True
        # Those that the engine was only just beginning.
        tasks |= {task for task in asyncio.all_tasks() if "_execute_workflow_async" in repr(task.get_coro())}
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        await replica.background_tasks.aclose(0)
        await replica.store.aclose()

    async def stop(self) -> None:
        """SIGTERM for the process with the engine."""
        assert self.holder is not None
        replica, self.holder = self.holder, None
        replica.stopped = True
        await replica.background_tasks.aclose()
        await replica.runs.aclose()
        await replica.store.aclose()

    async def aclose(self) -> None:
        if self.holder is not None:
            await self.stop()
        if self.other is not None:
            await self.other.background_tasks.aclose()
            await self.other.store.aclose()

    async def ask(self, user: str = ANA) -> str:
        """`/csm flare this-host 123`. Returns the run."""
        assert self.holder is not None
        self._numbers += 1
        request = RunRequest(
            id=f"r-{self._numbers}",
            command="flare",
            target="this-host",
            agent="",
            requested_by=user,
            source="slack",
            accepted_at=self.clock.now().timestamp(),
            channel="C1",
            case_id="123",
            email="ana@example.com",
        )
        await self.holder.runs.accept(request)
        return request.id

    async def card(self, run: str, *, within_s: float = 10.0) -> Mapping[str, Any]:
        """Wait for a run's card with its buttons."""

        def found() -> Mapping[str, Any] | None:
            cards = [c for c in self.slack.cards() if c["metadata"]["event_payload"]["run"] == run]
            return next((card for card in cards if "flare.approve" in actions(card)), None)

        return await until(found, within_s=within_s)

    async def ended(self, run: str, *, within_s: float = 20.0) -> Any:
        """Wait for a run's end. Returns its record."""
        give_up = time.monotonic() + within_s
        while time.monotonic() < give_up:
            assert self.holder is not None
            record = await self.holder.store.run(run)
            if record is not None and record.state == "done":
                return record
            await asyncio.sleep(0.005)
        raise TimeoutError(f"{run} has not ended: {await self.holder.runs.approvals.get(run)}")

    async def _replica(self) -> Replica:
        store = await MortalStore.open(self.database_url)
        assert isinstance(store, MortalStore)
        return Replica(self, store, Life())


def button(card: Mapping[str, Any], action_id: str = "flare.approve") -> str:
    """The value of a card's button."""
    return value(card, action_id)


@contextlib.asynccontextmanager
async def world(database_url: str) -> AsyncIterator[World]:
    """A world with one process in it."""
    made = World(database_url)
    await made.start()
    try:
        yield made
    finally:
        await made.aclose()


async def until(found: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Wait until something is there."""
    give_up = time.monotonic() + within_s
    while True:
        if (result := found()) is not None:
            return result
        if time.monotonic() > give_up:
            raise TimeoutError
        await asyncio.sleep(0.002)


def _body(user: str) -> Mapping[str, Any]:
    return {"user": {"id": user}, "channel": {"id": "C1"}, "trigger_id": f"t{time.time_ns()}"}
