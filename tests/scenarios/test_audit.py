"""What people do in Slack is in the audit: commands, refusals, faulty lines, cancellations; and the program can check it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from bot.sandbox.driver import Driver
from bot.sandbox.world import World


async def csm(sandbox: World, *arguments: str) -> tuple[int, str]:
    config = str(sandbox.folder / "csm.yaml")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, "--config", config, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_what_people_do_is_in_the_audit(sandbox: World, ana: Driver, eve: Driver) -> None:
    await eve.type("/csm selftest cluster-a")
    await ana.type("/csm selfteste cluster-a")
    await ana.type("/csm targets")
    await ana.type("/csm selftest cluster-a/node-1")
    await ana.finished()
    await sandbox.bot.stop()
    status, out = await csm(sandbox, "audit", "export")
    told: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]

    assert status == 0
    by_event = {entry["event"]: entry for entry in told}
    assert by_event["command.refused"]["who"] == "U0SANDEVE"
    assert by_event["command.refused"]["where"] == "C0INCIDENT"
    assert "Those who may" in by_event["command.refused"]["detail"]
    assert by_event["command.faulty"]["command"] == "selfteste cluster-a"
    assert by_event["command.answered"]["command"] == "targets"
    accepted, answered = by_event["command.accepted"], by_event["agent.answered"]
    assert (accepted["who"], accepted["agent"]) == ("U0SANDANA", "node-1")
    assert answered["run"] == accepted["run"]
    assert sandbox.cluster.commands
    # The stand-in cluster notes what `env` was told to run.
    for told_argv, (_, argv) in zip(answered["argv"], sandbox.cluster.commands, strict=True):
        assert tuple(told_argv[-len(argv) :]) == argv
    assert by_event["run.ended"]["outcome"] == "pass"
    status, out = await csm(sandbox, "audit", "verify")
    assert (status, out.split(":")[0]) == (0, "The audit holds")


async def test_an_audit_that_was_tampered_with_makes_the_status_1(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm targets")
    await sandbox.bot.stop()
    _, out = await csm(sandbox, "audit", "export")
    forged = sandbox.folder / "audit.jsonl"
    forged.write_text(out.replace("targets", "help"))

    status, out = await csm(sandbox, "audit", "verify", "--file", str(forged))
    assert status == 1
    assert "Entry 1 is not what was written" in out
