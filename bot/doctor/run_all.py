"""Runs all checks of `csm doctor` at once, and returns the results in the order in which people fix the faults."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

from bot.access.policy import Policy
from bot.config.settings import Secrets, Settings, TargetSettings, load
from bot.config.targets import executor
from bot.doctor import database, slack, targets
from bot.doctor.check_result import Check, Findings, failed, passed, skipped, unknown, warned
from bot.storage.audit import Entry
from bot.storage.store import Store
from handlers.errors import ConfigurationError
from handlers.model import Verdict
from handlers.redaction import clean

PATIENCE_S = 60.0
"""Time limit in seconds for Slack, the database, and each target. What has not answered by then is `unknown`."""
CLOSING_S = 5.0


async def examine(config: Path, *, patience_s: float = PATIENCE_S) -> Findings:
    """Run all checks. Nothing is changed; the version command is run on one Agent of each target."""
    try:
        settings = load(config)
    except ConfigurationError as error:
        return Findings(
            [failed("configuration", f"{config}: {fault}", "Correct the file.") for fault in error.faults],
            configuration=False,
        )
    checks = [passed("configuration", f"{config} is valid."), *_policy(settings)]
    told: list[Entry] = []
    looks = [_patiently(database.NAME, _blocking(lambda: database.look(settings.database_url)), patience_s)]
    try:
        secrets = Secrets.load(settings.slack.transport)
    except ConfigurationError as error:
        mend = "Set it in the environment of `csm serve` and of `csm doctor`."
        checks += [failed("environment", fault, mend) for fault in error.faults]
        checks.append(skipped("slack", "Not looked at, since the environment is at fault."))
    else:
        checks.append(passed("environment", "The tokens are set, and of the right kind."))
        looks.append(_patiently("slack", slack.look(settings, secrets), patience_s))
    Secrets.take()
    looks += [_target(name, target, told.append, patience_s) for name, target in settings.targets.items()]
    of_database, *others = await asyncio.gather(*looks)
    if told and all(check.verdict is Verdict.PASS for check in of_database):
        of_database = [*of_database, *await _patiently("audit", _audit(settings, told), patience_s)]
    found = [*checks, *of_database, *(check for each in others for check in each)]
    return Findings(found, configuration=all(check.verdict is not Verdict.FAIL for check in checks))


async def _audit(settings: Settings, told: Sequence[Entry]) -> AsyncGenerator[Check]:
    """Record the commands that were run in the audit, if the database exists. It is not created for that."""
    if await asyncio.to_thread(database.exists, settings.database_url):
        store = await Store.open(settings.database_url)
        try:
            await asyncio.gather(*(store.note(entry) for entry in told))
        finally:
            await store.aclose()
        yield passed("audit", "What was run for this is in the audit.")


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


async def _target(
    name: str, target: TargetSettings, tell: Callable[[Entry], None], patience_s: float
) -> Sequence[Check]:
    async def look() -> AsyncGenerator[Check]:
        made = executor(name, target)
        try:
            async for check in targets.look(name, made, tell):
                yield check
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(made.aclose(), CLOSING_S)

    return await _patiently(f"target.{name}", look(), patience_s)


async def _patiently(name: str, look: AsyncGenerator[Check], patience_s: float) -> Sequence[Check]:
    """Return what a check found within its time limit; adds an `unknown` when the time is up or the check raises."""
    found: list[Check] = []
    try:
        async with asyncio.timeout(patience_s), contextlib.aclosing(look):
            async for check in look:
                found.append(check)  # noqa: PERF401 - what was found so far is kept when the time is up
    except TimeoutError:
        found.append(unknown(name, f"No answer within {patience_s:g} s.", "Check the network between csm and it."))
    except Exception as error:  # noqa: BLE001 - one check that raises must not hide what the others found
        said = f"It could not be looked at: {type(error).__name__}: {clean(str(error), max_chars=300)}"
        found.append(unknown(name, said, "Check its entry in the configuration."))
    return found


async def _blocking(look: Callable[[], Iterator[Check]]) -> AsyncGenerator[Check]:
    """Run a blocking check in a daemon thread: a check that hangs must not keep the program from exiting."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Sequence[Check]] = loop.create_future()

    def work() -> None:
        try:
            outcome, found = done.set_result, list(look())
        except Exception as error:  # noqa: BLE001 - raised again in the coroutine that waits
            outcome, found = done.set_exception, error  # type: ignore[assignment]
        with contextlib.suppress(RuntimeError, asyncio.InvalidStateError):  # nothing waits for it any more
            loop.call_soon_threadsafe(lambda: done.done() or outcome(found))

    threading.Thread(target=work, name="look", daemon=True).start()
    for check in await done:
        yield check
