"""`csm sandbox --once LINE`: a line as ana would type it, the thread that comes of it, and the verdict's status."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest

SANDBOX = ("-m", "bot", "sandbox", "--agents", "6")


async def once(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SANDBOX, *arguments, env={**os.environ, "DOCKER_HOST": "unix:///nowhere.sock"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def offered(messages: list[dict[str, Any]]) -> set[str]:
    return {
        e["action_id"] for m in messages for b in m.get("blocks", []) for e in b.get("elements", []) if "action_id" in e
    }


async def test_a_verdict_as_json() -> None:
    status, out, err = await once(
        "--once", "/csm selftest cluster-a", "--json", "--fault", "agent agent=node-2 is=all_failed"
    )

    said = json.loads(out)
    assert (status, err) == (1, "")
    assert said["schema"] == "csm.thread/1"
    assert said["report"]["counts"] == {"pass": 4, "fail": 2}
    assert {file["name"].rpartition(".")[2] for file in said["files"]} == {"json", "txt"}
    assert json.loads(next(file["text"] for file in said["files"] if file["name"].endswith(".json"))) == said["report"]
    assert said["messages"][0]["text"].startswith("❌ fail")
    assert all(message["thread_ts"] == said["messages"][0]["ts"] for message in said["messages"][1:])


async def test_a_flare_ends_where_it_waits_for_a_person() -> None:
    status, out, _ = await once("--once", "/csm flare cluster-a/node-1 --email ana@example.com", "--json")

    said = json.loads(out)
    assert status == 3
    assert said["report"] is None
    assert "flare.approve" in offered(said["messages"])
    assert "Waiting for approval" in said["messages"][0]["text"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/csm flare cluster-a", "A form is open: Flare of cluster-a. It is filled in on the page."),
        ("/csm selftset cluster-a", "Did you mean 'selftest'?"),
        ("/csm selftset cluster-a", "For example: `/csm selftest cluster-a`"),
    ],
)
async def test_what_is_no_run_is_shown_too(line: str, shown: str) -> None:
    status, out, _ = await once("--once", line)

    assert status == 3
    assert shown in out


async def test_a_fault_that_there_is_not_is_said_in_words() -> None:
    status, out, err = await once("--once", "/csm help", "--fault", "agent agent=node-77 is=hang")

    assert (status, out) == (2, "")
    assert "there is no Agent 'node-77'; there are node-1, node-2" in err
