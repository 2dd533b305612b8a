"""All looks at once, and what they found in the order in which people mend it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

from bot.doctor import database, slack, targets
from bot.doctor.check import Check, Findings, failed, passed, unknown, warned
from bot.policy import Policy
from bot.settings import Secrets, Settings, load
from bot.storage.audit import Entry
from bot.storage.store import Store
from bot.targets import executors
from handlers.errors import ConfigurationError
from handlers.executors.base import Executor
from handlers.model import Verdict

PATIENCE_S = 60.0
"""For Slack, and for each target: whatever has not answered by then is `unknown`."""


async def examine(config: Path, *, patience_s: float = PATIENCE_S) -> Findings:
    """Look at everything. Nothing is changed; one Agent of each target is asked for its version."""
    try:
        settings = load(config)
    except ConfigurationError as error:
        return Findings(
            [failed("configuration", f"{config}: {fault}", "Correct the file.") for fault in error.faults],
            configuration=False,
        )
    checks = [passed("configuration", f"{config} is valid."), *_policy(settings)]
    try:
        secrets = Secrets.load(settings.slack.transport)
    except ConfigurationError as error:
        faults = [
            failed("environment", fault, "Set it in the environment of `csm serve` and of `csm doctor`.")
            for fault in error.faults
        ]
        return Findings([*checks, *faults], configuration=False)
    checks.append(passed("environment", "The tokens are set, and of the right kind."))
    told: list[Entry] = []
    looks = [
        _patiently("slack", slack.look(settings, secrets), patience_s),
        *(_target(name, executor, told.append, patience_s) for name, executor in executors(settings).items()),
    ]
    of_database, *others = await asyncio.gather(
        asyncio.to_thread(lambda: list(database.look(settings.database_url))), *looks
    )
    if all(check.verdict is Verdict.PASS for check in of_database):
        await _audit(settings, told)
    return Findings([*checks, *of_database, *(check for found in others for check in found)])


async def _audit(settings: Settings, told: Sequence[Entry]) -> None:
    """Keep what was run, where there is a database to keep it in; one is not made for that."""
    if await asyncio.to_thread(database.exists, settings.database_url):
        store = await Store.open(settings.database_url)
        await asyncio.gather(*(store.note(entry) for entry in told))
        await store.aclose()


def _policy(settings: Settings) -> Iterator[Check]:
    if not settings.policy:
        yield warned("policy", "The policy has no rule, so nobody may do anything.", "Add rules under `policy:`.")
    for glob in Policy(settings.rules).pointless(settings.targets):
        yield warned(
            "policy.on", f"{glob} matches no target.", f"The targets are {', '.join(sorted(settings.targets))}."
        )
    if not settings.approvals.flare.by and any({"flare", "*"} & set(rule.may) for rule in settings.policy):
        yield warned(
            "policy.approvals",
            "Nobody is named to approve flares, so none is ever uploaded.",
            "Name people or groups under `approvals: {flare: {by: …}}`.",
        )


async def _target(name: str, executor: Executor, tell: Callable[[Entry], None], patience_s: float) -> Sequence[Check]:
    try:
        return await _patiently(f"target.{name}", targets.look(name, executor, tell), patience_s)
    finally:
        await executor.aclose()


async def _patiently(name: str, look: AsyncGenerator[Check], patience_s: float) -> Sequence[Check]:
    """What a look found in its time; an unknown for the rest."""
    found: list[Check] = []
    try:
        async with asyncio.timeout(patience_s), contextlib.aclosing(look):
            async for check in look:
                found.append(check)  # noqa: PERF401 - what was found so far is kept when the time is up
    except TimeoutError:
        found.append(unknown(name, f"No answer within {patience_s:g} s.", "Check the network between csm and it."))
    return found
