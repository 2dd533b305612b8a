"""`csm sandbox`: starts the sandbox, types a line if one is given, and keeps running."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from bot.exit_status import STATUS
from bot.sandbox.driver import Driver, Message, is_run
from bot.sandbox.slack.people import BadRequest
from bot.sandbox.world import World, world
from handlers.errors import CsmError, UsageError
from handlers.model import Verdict

EXAMPLE = "sandbox --fault 'agent agent=node-3 is=hang'"
ANSWER_S = 20.0
RUN_S = 900.0
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_sandbox(options: argparse.Namespace) -> int:
    """Run the sandbox. Returns the exit status. Raises `UsageError` for invalid options."""
    try:
        return asyncio.run(_until_told(_sandbox(options)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        words = f"Port {options.port} is taken. Choose another with --port, or leave it out."
        raise UsageError(words) from error


async def _until_told(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` to its end, or cancel it on SIGINT (Ctrl-C), SIGTERM or SIGHUP. It can clean up in both cases."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in ENDINGS:
            loop.add_signal_handler(number, lambda: None)  # further signals must not interrupt the cleanup
        task.cancel()

    for number in ENDINGS:
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return 128 + signal.SIGINT


async def _sandbox(options: argparse.Namespace) -> int:
    async with world(port=options.port, agents=options.agents, whole_fleet=True) as made:
        for fault in options.fault:
            await _break(made, fault)
        status = 0
        if options.once:
            status = await _once(made, options.once, as_json=options.json)
            if not (options.stay and sys.stdout.isatty()):
                return status
        _say_where(made, as_json=options.json)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return status


async def _break(made: World, words: str) -> None:
    """Set a fault given as text (`agent agent=node-3 is=hang`), with the request that the page would send."""
    name, *settings = words.split() or [""]
    body = {"fault": name, **dict(word.partition("=")[::2] for word in settings)}
    try:
        await made.slack.control.faults.do(body)
    except BadRequest as error:
        raise UsageError(f"--fault {words!r}: {error}", example=EXAMPLE) from error
    except KeyError as error:
        raise UsageError(f"--fault {words!r}: {error.args[0]} is missing", example=EXAMPLE) from error


def _say_where(made: World, *, as_json: bool) -> None:
    targets, absent = made.targets, made.absent
    if as_json:
        tokens = {"bot_token": made.slack.bot_token, "app_token": made.slack.app_token}
        addresses = {"url": made.slack.url, "api_url": made.slack.api_url}
        print(json.dumps({**addresses, **tokens, "targets": targets, "absent": absent}), flush=True)
        return
    print("\nTo practise on: " + "; ".join(f"{name} ({words})" for name, words in targets.items()))
    for name, reason in absent.items():
        print(f"There is no {name}: {reason}.")
    print(f"The sandbox is at {made.slack.url}  (Ctrl-C ends it)", flush=True)


async def _once(made: World, line: str, *, as_json: bool) -> int:
    """Type a line as `ana`, print the result, and return the exit status of its verdict."""
    driver = Driver(made.slack)
    if "edge" in line:
        await made.edge_is_up()
    await driver.type(line)
    try:
        await driver.until(lambda: driver.messages() or driver.notices() or driver.views() or None, within_s=ANSWER_S)
        is_one = any(is_run(message) for message in driver.messages())
        root = await driver.settled(within_s=RUN_S) if is_one else None
    except TimeoutError as error:
        raise CsmError(str(error)) from error
    _print(driver, root, as_json=as_json)
    report = driver.report(root) if root else None
    return STATUS[Verdict(report["verdict"])] if report else STATUS[Verdict.UNKNOWN]


def _print(driver: Driver, root: Message | None, *, as_json: bool) -> None:
    if not as_json:
        forms = [f"A form is open: {view['title']['text']}. It is filled in on the page." for view in driver.views()]
        print("\n".join([driver.read(root), *forms]).strip("\n"), flush=True)
        return
    files = driver.files(root) if root else {}
    document = {
        "schema": "csm.thread/1",
        "messages": driver.thread(root) if root else driver.messages(),
        "files": [{"name": name, "text": text} for name, text in files.items()],
        "report": driver.report(root) if root else None,
    }
    print(json.dumps(document, indent=2), flush=True)
