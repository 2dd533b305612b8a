"""`csm sandbox`: start it, type a line for people who want one, and stay up."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bot.cli_status import STATUS
from bot.render.terminal import thread_as_text
from bot.sandbox.driver import Driver, Message, is_run
from bot.sandbox.world import World, world
from handlers.model import Verdict


def run_sandbox(options: argparse.Namespace) -> int:
    """Run the sandbox as the options say; returns the exit status."""
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with world(port=options.port, agents=options.agents) as made:
        status = 0
        if options.once:
            status = await _once(made, options.once, as_json=options.json)
            if not (options.stay and sys.stdout.isatty()):
                return status
        _say_where(made, as_json=options.json)
        await stopping.wait()
        return status


def _say_where(made: World, *, as_json: bool) -> None:
    if as_json:
        tokens = {"bot_token": made.slack.bot_token, "app_token": made.slack.app_token}
        print(json.dumps({"url": made.slack.url, "api_url": made.slack.api_url, **tokens}), flush=True)
    else:
        print(f"\nThe sandbox is at {made.slack.url}  (Ctrl-C ends it)", flush=True)


async def _once(made: World, line: str, *, as_json: bool) -> int:
    """Type a line as `ana` would, print what comes of it, and return the verdict's status."""
    driver = Driver(made.slack)
    names = {user.id: user.name for user in made.slack.workspace.users.values()}
    await driver.type(line)
    answered = await driver.until(lambda: driver.messages() or driver.notices() or None, within_s=10)
    if not any(is_run(message) for message in driver.messages()):
        notices = driver.notices() if answered else []
        return _print(driver.messages(), [], None, as_json=as_json, names=names, notices=notices)
    root = await driver.finished(within_s=600)
    files = [
        {"name": f["name"], "text": driver.file(f["name"])} for m in driver.thread(root) for f in m.get("files", [])
    ]
    report = next((json.loads(file["text"]) for file in files if file["name"].endswith(".json")), None)
    return _print(driver.thread(root), files, report, as_json=as_json, names=names)


def _print(
    messages: Sequence[Message],
    files: Sequence[Any],
    report: Any,
    *,
    as_json: bool,
    names: Mapping[str, str],
    notices: Sequence[str] = (),
) -> int:
    if as_json:
        document = {"schema": "csm.thread/1", "messages": messages, "files": files, "report": report}
        print(json.dumps(document, indent=2), flush=True)
    else:
        print("\n".join([thread_as_text(messages, names), *notices]), flush=True)
    return STATUS[Verdict(report["verdict"])] if report else STATUS[Verdict.UNKNOWN]
