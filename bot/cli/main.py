"""
The program: `csm serve`, `csm sandbox`, and the command language without Slack.

Exit status: 0 pass (warn included), 1 fail, 2 usage or configuration, 3 unknown. Errors go to stderr; with
`--format json` stdout holds the report and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bot.cli import admin
from bot.exit_status import STATUS, login
from handlers.errors import ConfigurationError, CsmError, UsageError
from handlers.model import Report, Verdict

if TYPE_CHECKING:
    from bot.commands import parser
    from bot.config.settings import Settings
    from bot.storage.store import RunRecord, RunRequest, Store

USAGE_STATUS = 2
LINES = ("selftest", "flare", "tc", "targets", "runs", "show", "cancel", "help")
"""The first words of the lines of the command language."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point; exits with the status."""
    try:
        status = _main(list(sys.argv[1:] if arguments is None else arguments))
    except ConfigurationError as error:
        status = _complain(str(error), USAGE_STATUS)
    except UsageError as error:
        hint = f"\nFor example: csm {error.example}" if error.example else ""
        status = _complain(f"{error}{hint}", USAGE_STATUS)
    except CsmError as error:
        status = _complain(str(error), STATUS[Verdict.UNKNOWN])
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of stdout closed the pipe. Without this, Python prints another error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    sys.exit(status)


def _main(arguments: list[str]) -> int:
    options, line = _parser().parse_known_args(arguments)
    if line and options.command is not None and options.command not in LINES:
        raise UsageError(f"`{options.command}` does not know {' '.join(line)!r}.", example=f"{options.command} --help")
    if options.command == "serve":
        return _serve(options)
    if options.command == "sandbox":
        from bot.sandbox.main import run_sandbox

        return run_sandbox(options)
    if hasattr(options, "operation"):
        return admin.operate(options)
    if options.command == "help" or options.command is None:
        return _help(line)
    if options.command == "tc" and options.evidence:
        return _saved_evidence(options, line)
    return asyncio.run(_line(options, " ".join([options.command, *line])))


class _Parser(argparse.ArgumentParser):
    """Argument parser that reports errors as the command language does: on one line, with the nearest valid word."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`, as the program's other usage errors."""
        unknown = re.search(r"invalid choice: '(?P<word>.*)' \(choose from (?P<known>.*)\)", message)
        if unknown is None:
            raise UsageError(
                f"{message[:1].upper()}{message[1:]}.", example=f"{self.prog.removeprefix('csm').strip()} --help"
            )
        known = re.findall(r"'([^']+)'", unknown["known"])
        near = difflib.get_close_matches(unknown["word"], known, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"There are {', '.join(known)}."
        raise UsageError(f"There is no `{unknown['word'][:60]}` here. {hint}", example="help")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="csm", description=__doc__.splitlines()[1] if __doc__ else None, add_help=False
    )
    parser.add_argument("--version", action="version", version=f"csm {metadata.version('csm')}")
    parser.add_argument("--config", type=Path, default=Path(os.environ.get("CSM_CONFIG", "csm.yaml")))
    commands = parser.add_subparsers(dest="command")
    serve = commands.add_parser("serve", help="the bot")
    serve.add_argument("--config", type=Path, default=argparse.SUPPRESS)
    sandbox = commands.add_parser("sandbox", help="a local Slack workspace to try it in")
    sandbox.add_argument("--port", type=int, default=0)
    sandbox.add_argument("--agents", type=int, default=12)
    sandbox.add_argument("--once", metavar="LINE")
    sandbox.add_argument("--stay", action="store_true", help="after --once, stay up as long as there is a terminal")
    sandbox.add_argument("--json", action="store_true")
    sandbox.add_argument(
        "--fault", action="append", default=[], metavar="'NAME KEY=VALUE…'", help="break something from the start"
    )
    admin.add_parsers(commands)
    for word in LINES:
        each = commands.add_parser(word, add_help=False)
        each.add_argument("--config", type=Path, default=argparse.SUPPRESS)
        each.add_argument("--format", choices=("table", "json", "junit"), default="table")
        if word == "tc":
            _add_tc_options(each)
        if word == "flare":
            answer = each.add_mutually_exclusive_group()
            answer.add_argument("--yes", action="store_true", help="approve without being asked")
            answer.add_argument("--no", action="store_true", help="build and review it, and decline")
            each.add_argument(
                "--confirm-host",
                metavar="HOST",
                help="with --yes: the host where it goes, if that is none of Datadog's",
            )
    return parser


def _add_tc_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tc` that only the terminal has: evidence as files."""
    installations = ("helm", "operator", "kubernetes", "docker", "host")
    parser.add_argument("--evidence", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--installation", choices=installations, default="host")
    parser.add_argument("--save", type=Path, metavar="FOLDER")


def _serve(options: argparse.Namespace) -> int:
    import structlog

    from bot import app
    from bot.config import settings
    from bot.runtime.logs import configure

    configure()
    loaded = settings.load(options.config)
    secrets = settings.Secrets.load(loaded.slack.transport)
    secrets.take()
    try:
        asyncio.run(app.serve(loaded, secrets))
    except CsmError:
        raise
    except Exception:  # noqa: BLE001 - logged in full, then the program ends
        # The log is structured and redacted; a traceback that Python prints by itself is neither.
        structlog.get_logger(__name__).exception("bot.crashed")
        return STATUS[Verdict.UNKNOWN]
    return 0


def _help(line: Sequence[str]) -> int:
    from bot.commands import parser

    command = parser.parse(" ".join(["help", *line]))
    topic = command.topic if isinstance(command, parser.HelpCommand) else None
    from bot.listeners.slash_command import AVAILABLE

    ours = (
        "serve",
        "sandbox [--port N] [--agents N] [--once LINE] [--json] [--fault 'NAME KEY=VALUE…']",
        *admin.USAGE,
    )
    for usage in ours if topic is None else ():
        print(f"csm {usage}")
    for usage in parser.usage(topic, available=AVAILABLE):
        print(f"csm {usage}")
        if usage.startswith("tc "):
            print(f"csm {usage} --save FOLDER")
            print("csm tc --evidence FILE… [--installation helm|operator|kubernetes|docker|host]")
    return 0


async def _line(options: argparse.Namespace, line: str) -> int:
    from bot.commands import parser
    from bot.config.settings import Secrets, load
    from bot.runtime.logs import configure
    from bot.storage.store import Store

    configure(level="ERROR")
    settings = load(options.config)
    Secrets.take()
    command = parser.parse(line, known_targets=list(settings.targets))
    if isinstance(command, parser.TargetsCommand):
        return _targets(settings)
    store = await Store.open(settings.database_url)
    try:
        match command:
            case parser.CheckCommand(target=target, agent=agent):
                return await _check(options, settings, store, target, agent or "")
            case parser.FlareCommand():
                return await _flare(options, settings, store, command)
            case parser.RunsCommand(target=target):
                return _runs(await store.recent_runs(target=target))
            case parser.ShowCommand(run=run):
                return await _show(options, store, run)
            case parser.CancelCommand(run=run):
                return await _cancel(store, run)
            case _:
                word = line.split(maxsplit=1)[0]
                raise UsageError(f"`{word}` is not part of this version of csm.", example="selftest cluster-a")
    finally:
        await store.aclose()


async def _check(options: argparse.Namespace, settings: Settings, store: Store, target: str, agent: str) -> int:
    from bot.commands.registry import commands
    from bot.config.targets import executors
    from bot.listeners.context import run_id
    from bot.runs.cancel_watch import cancellable
    from bot.runs.check import CheckLimits, ConcurrencySlots, TargetCheck
    from bot.runtime.clock import SystemClock
    from bot.storage.store import RunRequest
    from handlers.errors import TargetError

    request = RunRequest(
        id=run_id(f"{os.getpid()} {time.time_ns()}"),
        command=options.command,
        target=target,
        agent=agent,
        requested_by=login(),
        source="terminal",
        accepted_at=time.time(),
    )
    clock, command = SystemClock(), commands(settings)[options.command]
    limits = settings.limits
    check_limits = CheckLimits(limits.per_target, limits.overall, limits.min_interval.total_seconds())
    await store.accept(request)
    executor = executors(settings)[target]
    check = TargetCheck(
        request,
        ask=command.ask,
        executor=executor,
        store=store,
        clock=clock,
        check_limits=check_limits,
        slots=ConcurrencySlots(check_limits),
        reuse=command.reuse,
    )
    try:
        with _live(check, quiet=options.format != "table"), _interruptible(check, store, request):
            try:
                async with cancellable(store, clock, request.id, check.cancel):
                    await check.check_agents()
                report = await check.report()
            except TargetError as error:
                report = check.failed(error)
    finally:
        await executor.aclose()
    await store.finish(request.id, report, time.time())
    await store.update_run(request.id, state="done")
    if saving := getattr(options, "save", None):
        _save(report, saving)
    _print(report, options.format)
    return STATUS[report.verdict]


def _saved_evidence(options: argparse.Namespace, line: Sequence[str]) -> int:
    """Judge evidence files that were saved; no target is contacted."""
    from bot.cli.offline import judge_files

    if line:
        raise UsageError("With --evidence, no target is asked.", example="tc --evidence node-1.evidence.json")
    report = judge_files(options.evidence, options.installation)
    _print(report, options.format)
    return STATUS[report.verdict]


def _save(report: Report, folder: Path) -> None:
    from bot.render.thread import evidence_files

    folder.mkdir(parents=True, exist_ok=True)
    for file in evidence_files(report):
        (folder / file.name).write_text(file.content, "utf-8")
        print(f"{file.title}: {folder / file.name}", file=sys.stderr)


async def _flare(options: argparse.Namespace, settings: Settings, store: Store, line: parser.FlareCommand) -> int:
    from bot.cli.flare_command import flare

    report = await flare(options, settings, store, line)
    _print(report, options.format)
    return STATUS[report.verdict]


@contextlib.contextmanager
def _live(check: object, *, quiet: bool) -> Iterator[None]:
    from rich.console import Console

    from bot.render.terminal import LiveProgress
    from bot.runs.check import TargetCheck

    assert isinstance(check, TargetCheck)
    if quiet:
        yield
        return
    with LiveProgress(Console(stderr=True)) as live:
        check.on_change = lambda: live.update(check.progress)
        yield


@contextlib.contextmanager
def _interruptible(check: object, store: Store, request: RunRequest) -> Iterator[None]:
    """The first Ctrl-C cancels the run and keeps what was found; the second one ends the program."""
    from bot.runs.check import TargetCheck

    assert isinstance(check, TargetCheck)
    loop = asyncio.get_running_loop()
    cancelling: list[asyncio.Task[None]] = []

    async def cancel() -> None:
        # In this order: the report reads from the store who cancelled.
        await store.cancel(request.id, request.requested_by)
        check.cancel()

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        cancelling.append(loop.create_task(cancel()))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _print(report: Report, form: str) -> None:
    if form == "json":
        print(report.to_json())
    elif form == "junit":
        from bot.render.junit import to_junit

        print(to_junit(report))
    else:
        from rich.console import Console

        from bot.render import terminal

        terminal.report(Console(), report)


def _targets(settings: Settings) -> int:
    from bot.config.targets import described

    for name, words in described(settings).items():
        print(f"{name}: {words}")
    return 0


def _runs(records: Sequence[RunRecord]) -> int:
    for record in records:
        request = record.request
        print(
            f"{request.id}  {request.command} {request.where}  {record.verdict or record.state}  {request.requested_by}"
        )
    return 0


async def _show(options: argparse.Namespace, store: Store, run: str) -> int:
    record = await store.run(run)
    if record is None:
        raise UsageError(f"There is no run {run}.", example="runs")
    if record.report is None:
        raise UsageError(f"{run} has no report yet; it is {record.state}.", example="runs")
    _print(record.report, options.format)
    return STATUS[record.report.verdict]


async def _cancel(store: Store, run: str) -> int:
    if not await store.cancel(run, login()):
        raise UsageError(f"There is nothing to cancel: {run} is not known, or has ended.", example="runs")
    print(f"{run} is being cancelled; what was found so far is kept.")
    return 0


def _complain(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status
