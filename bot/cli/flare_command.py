"""
`csm flare` in a terminal: the same review, the same question and the same record as in Slack.

A terminal does not identify the person, as Slack identifies the person who clicks. So where the policy requires four
eyes, `--yes` is refused, and the person at the terminal types the name of the second person; the record holds that
name. Without a terminal to ask at, and without `--yes` or `--no`, the answer is no. Ctrl-C never uploads. An archive
that goes to a host other than Datadog's is approved only by naming that host: it is typed at the prompt, or given
beforehand with `--confirm-host`.
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
    """Run a flare and return its report. Raises `UsageError` before anything is run."""
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
    """Shows the review in the terminal and asks for approval. It writes to stderr; stdout is for the report."""

    def __init__(self, options: argparse.Namespace, held: FlareRun, approvals: Approvals, four_eyes: bool) -> None:
        self._options = options
        self._held = held
        self._approvals = approvals
        self._four_eyes = four_eyes
        self._said = ""
        self._host = (options.confirm_host or "").strip().lower()
        """The host that the person named, for an archive that goes to a host other than Datadog's."""

    def progress(self) -> None:
        """Print the current step, once per step."""
        step = self._held.progress.step
        if step != self._said:
            self._said = step
            _say(f"{step} …")

    async def ask(self, review: FlareReview) -> None:
        """Show the review, get an answer, and record the decision."""
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
        """Return the name of the approver; empty when the upload is declined."""
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
        """Whether `--yes` is enough for this archive's host; prints what is missing when it is not."""
        host = review.foreign_host
        if self._host == host or not host:
            return True
        _say(f"{host} is none of Datadog's hosts, so --yes alone is refused and it is declined.")
        _say(f"Once you know that host: --yes --confirm-host {host}")
        return False

    async def _wants(self, who: str, review: FlareReview) -> bool:
        """Ask whether to upload. For a host other than Datadog's, the answer is to type the host."""
        if not review.foreign_host:
            return await _line(f"{who}, upload this archive to {review.destination}? [y/N] ") in {"y", "Y"}
        self._host = (await _line(f"{who}, to upload it, type the host where it goes, or nothing to decline: ")).lower()
        return self._host == review.foreign_host


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def _line(prompt: str) -> str:
    """Read a line from stdin. May be cancelled: then nothing is left that waits for the keyboard."""
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
    """Call `cancel` on SIGINT (Ctrl-C) or SIGTERM: it ends the flare without an upload."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
