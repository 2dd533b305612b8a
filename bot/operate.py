"""The commands of those who operate the bot: `csm prune`."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.storage.store import Store

    Operation = Callable[[argparse.Namespace, Settings, Store], Awaitable[int]]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these commands to the program's."""
    prune = commands.add_parser("prune", help="forget what is older than `retention` says")
    prune.add_argument("--config", type=Path, default=argparse.SUPPRESS)
    prune.add_argument("--dry-run", action="store_true", help="only say how much that would be")
    prune.set_defaults(operation=_prune)


def operate(options: argparse.Namespace) -> int:
    """Carry out one of them; returns the exit status."""
    return asyncio.run(_with_store(options, options.operation))


async def _with_store(options: argparse.Namespace, operation: Operation) -> int:
    from bot.logs import configure
    from bot.settings import load
    from bot.storage.store import Store

    configure(level="ERROR")
    settings = load(options.config)
    store = await Store.open(settings.database_url)
    try:
        return await operation(options, settings, store)
    finally:
        await store.aclose()


async def _prune(options: argparse.Namespace, settings: Settings, store: Store) -> int:
    from bot.housekeeping import kept, tidy
    from bot.storage.retention import prunable

    keep = kept(settings.retention)
    pruned = await (prunable(store, keep, time.time()) if options.dry_run else tidy(store, keep))
    verb = "Would forget" if options.dry_run else "Forgot"
    print(f"{verb} {pruned.runs} runs, and the evidence of {pruned.evidence} results and reports.")
    return 0
