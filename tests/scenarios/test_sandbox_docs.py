"""What docs/sandbox.md shows works as it is written there."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.world import World

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.needs("curl")
async def test_the_examples_with_curl_run(sandbox: World, tmp_path: Path) -> None:
    script = "set -eu\n" + "\n".join(SHELL)
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=tmp_path, env={**os.environ, "SANDBOX": sandbox.slack.url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()

    assert process.returncode == 0, err.decode()
    decoder, text, answers = json.JSONDecoder(), out.decode(), list[dict[str, Any]]()
    while text.strip():
        answer, end = decoder.raw_decode(text.lstrip())
        answers.append(answer)
        text = text.lstrip()[end:]
    assert all(answer["ok"] for answer in answers)
    assert json.loads((tmp_path / "messages.json").read_text())["messages"][-1]["text"].startswith("❌ fail")
    said = [broken["says"] for broken in answers[-2]["broken"]]
    assert "The bot is not running" in said
    assert "node-3: the module never answers" in said
    assert answers[-1]["broken"] == []
    # The share is a second message of the bot in the channel.
    assert "Shared by" in str(sandbox.slack.workspace.visible(sandbox.slack.people.where("#incident-42"), "U0SANDANA"))


async def test_the_example_in_python_runs() -> None:
    (code,) = PYTHON
    place: dict[str, Any] = {}
    exec(compile(code, "docs/sandbox.md", "exec"), place)

    assert "pass: Self-test of cluster-a" in await place["selftest"]()
