"""Judges saved evidence files without any target: `csm tc --evidence FILE`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from handlers.errors import UsageError
from handlers.model import Agent, AgentResult, Installation, Platform, Report, count, worst, worst_first
from handlers.tc.document import MOST_BYTES, UnreadableDocument, read_document
from handlers.tc.result import result_of, unjudged

_PLATFORMS = {Installation.DOCKER: Platform.DOCKER, Installation.HOST: Platform.HOST}


def judge_files(files: Sequence[Path], installation: str) -> Report:
    """Judge evidence files and return the report. Raises `UsageError` for a file that cannot be read."""
    began = time.monotonic()
    results = worst_first(_judged(file, Installation(installation)) for file in files)
    return Report(
        run="r-saved",
        command="tc",
        target=", ".join(file.name for file in files[:3]),
        verdict=worst(result.verdict for result in results),
        started=datetime.now(UTC),
        duration_s=round(time.monotonic() - began, 3),
        counts=count(results),
        agents=tuple(results),
    )


def _judged(file: Path, installation: Installation) -> AgentResult:
    agent = Agent(
        target="saved",
        name=file.name.removesuffix(".json").removesuffix(".evidence"),
        platform=_PLATFORMS.get(installation, Platform.KUBERNETES),
        installation=installation,
    )
    began = time.monotonic()
    try:
        with file.open("rb") as document:
            evidence = read_document(document.read(MOST_BYTES + 1))
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}.", example="tc --evidence node-1.evidence.json"
        ) from None
    except UnreadableDocument as fault:
        return unjudged(agent, "tc.unreadable", str(fault), ())
    return result_of(agent, evidence, took=time.monotonic() - began)
