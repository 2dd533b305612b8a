"""
`csm flare` in a terminal: the same review, the same question, the same record.

Who sits at a terminal cannot be known as Slack knows who clicks; so where the policy wants four eyes, `--yes` is
refused, and whoever answers names the second person, which is what the record then holds. Without a terminal to
ask at, and without `--yes` or `--no`, the answer is no. Ctrl-C never uploads. An archive that goes to a host that is
none of Datadog's is approved only by naming that host: it is typed, or `--confirm-host` names it beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator

from bot.commands import parser
from bot.commands.registry import flaring
from bot.config.settings import Settings
from bot.config.targets import executors
from bot.exit_status import login
from bot.listeners.context import run_id
from bot.render.flare_text import review_text
from bot.runs.cancel_watch import cancellable
from bot.runs.flare_outcome import Ending
from bot.runs.flare_session import FlareRun, FlareServices
from bot.runtime.clock import SystemClock
from bot.storage.approvals import Approvals
from bot.storage.store import RunRequest, Store
from handlers.errors import UsageError
from handlers.flare import FlareRequest
from handlers.model import FlareReview, Report


async def flare(options: argparse.Namespace, settings: Settings, store: Store, line: parser.FlareCommand) -> Report:
    """Carry the line out, to the report. Raises `UsageError` before anything is run."""
    four_eyes = settings.approvals.flare.four_eyes
    if options.yes and four_eyes:
        raise UsageError(
            "The configuration wants four eyes (approvals.flare.four_eyes), so --yes is refused: somebody else must look.",
            example=str(line),
        )
    asked = FlareRequest(case=line.case or "", email=line.email or "")
    request = RunRequest(
        id=run_id(f"{os.getpid()} {time.time_ns()}"),
        command="flare",
        target=line.target,
        agent=line.agent or "",
        requested_by=login(),
        source="terminal",
        accepted_at=time.time(),
        case_id=asked.case,
        email=asked.email,
    )
    await store.accept(request)
    report = await _carried_out(options, settings, store, request)
    await store.finish(request.id, report, time.time())
    await store.update_run(request.id, state="done")
    return report


async def _carried_out(options: argparse.Namespace, settings: Settings, store: Store, request: RunRequest) -> Report:
    how = flaring(settings)
    approvals = Approvals(store)
    holder = f"terminal-{secrets.token_hex(8)}"
    parts = FlareServices(how.hold, store, approvals, SystemClock(), holder, how.expires_s)
    executor = executors(settings)[request.target]
    held = FlareRun(request, executor, parts)
    question = _Question(options, held, approvals, settings.approvals.flare.four_eyes)
    held.on_change, held.on_review = question.progress, question.ask
    cancel = functools.partial(held.end, Ending.CANCELLED)
    try:
        with _interruptible(cancel):
            async with cancellable(store, SystemClock(), request.id, cancel):
                return await held.carry_out()
    finally:
        await executor.aclose()


class _Question:
    """The review and its question, on this terminal. What people read goes to stderr; stdout is the report's."""

    def __init__(self, options: argparse.Namespace, held: FlareRun, approvals: Approvals, four_eyes: bool) -> None:
        self._options = options
        self._held = held
        self._approvals = approvals
        self._four_eyes = four_eyes
        self._said = ""
        self._host = (options.confirm_host or "").strip().lower()
        """The host that was named, where the archive goes to one that is none of Datadog's."""

    def progress(self) -> None:
        """Say what is being done, once each."""
        step = self._held.progress.step
        if step != self._said:
            self._said = step
            _say(f"{step} …")

    async def ask(self, review: FlareReview) -> None:
        """Show the review, get an answer, and put it on the record."""
        request = self._held.request
        _say(review_text(review, self._held.progress.target, self._held.expires_at))
        by = await self._approver(review)
        await self._approvals.decide(
            request.id,
            "approve" if by else "decline",
            sha256=review.sha256,
            by=by or request.requested_by,
            at=time.time(),
            where="terminal",
            confirmed_host=self._host,
        )
        self._held.decided()

    async def _approver(self, review: FlareReview) -> str:
        """Who approves; nobody when it is declined."""
        asked_by = self._held.request.requested_by
        if self._options.yes or self._options.no:
            return asked_by if self._options.yes and self._named(review) else ""
        if not sys.stdin.isatty():
            _say("There is no terminal to ask at, so it is declined; --yes and --no answer beforehand.")
            return ""
        who = asked_by
        if self._four_eyes:
            who = await _line(f"Who else has looked at it? A name other than {asked_by}, or nothing to decline: ")
            if not who or who.casefold() == asked_by.casefold():
                return ""
        return who[:100] if await self._wants(who, review) else ""

    def _named(self, review: FlareReview) -> bool:
        """Whether `--yes` may count; says what is missing where it may not."""
        host = review.foreign_host
        if self._host == host or not host:
            return True
        _say(f"{host} is none of Datadog's hosts, so --yes alone is refused and it is declined.")
        _say(f"Once you know that host: --yes --confirm-host {host}")
        return False

    async def _wants(self, who: str, review: FlareReview) -> bool:
        """Whether they say yes; where it does not go to Datadog, by typing the host."""
        if not review.foreign_host:
            return await _line(f"{who}, upload this archive to {review.destination}? [y/N] ") in {"y", "Y"}
        self._host = (await _line(f"{who}, to upload it, type the host where it goes, or nothing to decline: ")).lower()
        return self._host == review.foreign_host


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def _line(prompt: str) -> str:
    """A line that is typed. May be cancelled: nothing then waits for the keyboard any more."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline().strip()


@contextlib.contextmanager
def _interruptible(cancel: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, or being told to stop, ends it without an upload."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
