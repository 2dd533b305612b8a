"""The commands for operators of the bot: `csm doctor`, `csm prune`, `csm audit`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bot.exit_status import STATUS
from handlers.errors import ConfigurationError, UsageError
from handlers.model import Verdict

if TYPE_CHECKING:
    from bot.config.settings import Settings
    from bot.storage.audit import Chain
    from bot.storage.store import Store

Parsers = argparse._SubParsersAction  # noqa: SLF001 - argparse gives it no other name
Operation = Callable[[argparse.Namespace], Awaitable[int]]


USAGE = (
    "doctor [--json]",
    "prune [--dry-run]",
    "audit verify [--head NUMBER:HASH] [--file FILE]",
    "audit export [--after NUMBER]",
)


def add_parsers(commands: Parsers[argparse.ArgumentParser]) -> None:
    """Add the operators' commands to the program's subparsers."""
    doctor = _command(
        commands, "doctor", "check everything that must be right, and say how to mend what is not", _doctor
    )
    doctor.add_argument("--json", action="store_true")
    prune = _command(commands, "prune", "forget what is older than `retention` says", _prune)
    prune.add_argument("--dry-run", action="store_true", help="only say how much that would be")
    audit = commands.add_parser("audit", help="who did what: check it, or take it elsewhere")
    ways = audit.add_subparsers(dest="way", required=True)
    verify = _command(ways, "verify", "check that nothing was changed, removed or slipped in", _audit_verify)
    verify.add_argument("--head", metavar="NUMBER:HASH", help="an entry that must be there, as the bot's log tells it")
    verify.add_argument("--file", type=Path, help="check an export instead of the database")
    export = _command(ways, "export", "print it as JSON lines", _audit_export)
    export.add_argument("--after", metavar="NUMBER", type=int, default=0, help="only the entries after this one")


def operate(options: argparse.Namespace) -> int:
    """Run the operators' command in `options`; returns the exit status."""
    from bot.runtime.logs import configure

    configure(level="ERROR")
    operation: Operation = options.operation
    return asyncio.run(_awaited(operation(options)))


async def _awaited(operation: Awaitable[int]) -> int:
    return await operation


def _command(
    commands: Parsers[argparse.ArgumentParser], name: str, words: str, operation: Operation
) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=words, description=words)
    made.add_argument("--config", type=Path, default=argparse.SUPPRESS)
    made.set_defaults(operation=operation)
    return made


@contextlib.asynccontextmanager
async def _opened(options: argparse.Namespace) -> AsyncIterator[tuple[Settings, Store]]:
    from bot.config.settings import load
    from bot.storage.store import Store, exists

    settings = load(options.config)
    if not exists(settings.database_url):
        raise ConfigurationError(["there is no such file, so there is nothing in it."], source=settings.database_url)
    store = await Store.open(settings.database_url)
    try:
        yield settings, store
    finally:
        await store.aclose()


async def _doctor(options: argparse.Namespace) -> int:
    from bot.doctor.run_all import examine
    from bot.render.formatting import GLYPHS

    findings = await examine(options.config)
    if options.json:
        print(findings.to_json())
        return findings.status
    for check in findings.checks:
        print(f"{GLYPHS[check.verdict]} {check.name}: {check.said}")
        if check.mend:
            print(f"   → {check.mend}")
    print(f"{GLYPHS[findings.verdict]} {findings.verdict}")
    return findings.status


async def _prune(options: argparse.Namespace) -> int:
    from bot.runs.pruning import kept, tidy
    from bot.storage.retention import prunable

    async with _opened(options) as (settings, store):
        keep = kept(settings.retention)
        pruned = await (prunable(store, keep, time.time()) if options.dry_run else tidy(store, keep))
    verb = "Would forget" if options.dry_run else "Forgot"
    print(
        f"{verb} {_many(pruned.runs, 'run')}, and the evidence of {_many(pruned.evidence, 'result')}, reports included."
    )
    return 0


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


async def _audit_verify(options: argparse.Namespace) -> int:
    from bot.storage.audit import BrokenChain, Chain

    chain = Chain(_head(options.head) if options.head else None)
    try:
        await (asyncio.to_thread(_check_file, chain, options.file) if options.file else _check_database(chain, options))
        chain.finish()
    except BrokenChain as error:
        print(f"The audit does not hold. {error}")
        return 1
    if not chain.seq:
        print("There is no entry, so there is nothing that could hold.")
        return STATUS[Verdict.UNKNOWN]
    print(f"The audit holds: {chain.seq} entries, the newest is {chain.seq}:{chain.hash}")
    return 0


def _check_file(chain: Chain, file: Path) -> None:
    from bot.storage.audit import imported

    try:
        with file.open(encoding="utf-8") as lines:
            chain.check(imported(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"it cannot be read: {error}"], source=str(file)) from error


async def _check_database(chain: Chain, options: argparse.Namespace) -> None:
    from bot.storage.audit import pages

    async with _opened(options) as (_settings, store):
        async for links in pages(store.read):
            chain.check(links)


async def _audit_export(options: argparse.Namespace) -> int:
    from bot.storage.audit import exported, pages

    async with _opened(options) as (_settings, store):
        async for links in pages(store.read, after=options.after):
            for line in exported(links):
                print(line)
    return 0


def _head(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+):([0-9a-f]{64})", text)
    if not match:
        raise UsageError(
            "--head is a number, a colon and a hash, as `csm audit verify` prints it.",
            example="audit verify --head 12:9f86…",
        )
    return int(match[1]), match[2]
