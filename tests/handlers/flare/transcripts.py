"""An Agent that prints a transcript of `transcripts/flare.yaml`, and what csm makes of it when somebody approves."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from bot.sandbox.flare_agent import members, pack
from handlers.errors import BinaryMissing, ConnectionLost
from handlers.executors.base import Session, Stream
from handlers.flare import FlareFailed, FlareRequest, FlareSettings, hold
from handlers.model import Agent, AgentResult, Container, Installation, Platform
from tests.handlers.flare.flares import REQUEST

CORPUS = Path(__file__).with_suffix(".yaml")
SETTINGS = FlareSettings(decline_deadline_s=1)
ARCHIVE = pack(members("agent"))


@dataclass(frozen=True)
class Transcript:
    """What one Agent prints, and what is expected of csm."""

    name: str
    follows: str
    version: str
    exit: int | None
    expect: Mapping[str, str]
    before: bytes = b""
    """Up to the question, the question included; empty where there is none."""
    stdout: bytes = b""
    """After the question, or all of it."""
    stderr: bytes = b""
    removes: bool = False
    """Whether the archive is gone when the command has ended."""


@dataclass(frozen=True)
class Outcome:
    """What csm made of it."""

    certainty: str
    result: AgentResult
    told: Sequence[bytes]
    """What was written to the Agent's stdin."""

    @property
    def code(self) -> str:
        return self.result.findings[0].code if self.result.findings else ""


@functools.cache
def corpus() -> Sequence[Transcript]:
    """All transcripts, as the file has them."""
    document = yaml.safe_load(CORPUS.read_text("utf-8"))
    return [_transcript(entry, document["before"]) for entry in document["transcripts"]]


def _transcript(entry: dict[str, Any], before: Mapping[str, str]) -> Transcript:
    texts = {"before": before[entry["before"]] if "before" in entry else ""}
    texts |= {stream: entry.get(stream, "") for stream in ("stdout", "stderr")}
    rest = {key: entry[key] for key in ("name", "follows", "version", "exit", "expect")}
    known = {"before", "stdout", "stderr", "archive", *rest}
    assert entry.keys() <= known, entry
    encoded = {key: text.encode() for key, text in texts.items()}
    return Transcript(**rest, **encoded, removes=entry.get("archive") == "removed")


async def outcome(transcript: Transcript, request: FlareRequest = REQUEST) -> Outcome:
    """Build the flare of such an Agent, approve it if there is something to approve, and see what csm says."""
    executor = _Executor(transcript)
    agent = Agent(
        target="t",
        name="node-1",
        platform=Platform.KUBERNETES,
        installation=Installation.HELM,
        version=transcript.version,
        containers=(Container(name="agent"), Container(name="security-agent")),
    )
    try:
        async with hold(agent, executor, SystemClock(), TemporaryFiles(), request, settings=SETTINGS) as held:
            result = await held.approve()
    except FlareFailed as error:
        return Outcome("ended", error.result, executor.told)
    assert result.flare is not None
    return Outcome(result.flare.outcome.kind, result, executor.told)


@dataclass
class _Executor:
    """One Agent: its flare prints the transcript, and its archive can be read and hashed until it is removed."""

    transcript: Transcript
    told: list[bytes] = field(default_factory=list)
    removed: bool = False
    platform = Platform.KUBERNETES

    async def agents(self) -> Sequence[Agent]:
        raise AssertionError("the Agent is known")

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        match argv[0]:
            case "cat" | "sha256sum" if self.removed:
                yield _Session(self, [(Stream.STDERR, b"No such file or directory\n")], 1)
            case "cat":
                yield _Session(self, [(Stream.STDOUT, ARCHIVE)], 0)
            case "sha256sum":
                yield _Session(self, [(Stream.STDOUT, hashlib.sha256(ARCHIVE).hexdigest().encode())], 0)
            case "agent" | "security-agent":
                yield _Flare(self)
            case _:
                raise BinaryMissing(argv[0])

    async def aclose(self) -> None:
        """Nothing is held."""


class _Session:
    """A command that prints something and ends; its end is not seen where `status` is `None`."""

    def __init__(self, executor: _Executor, prints: Sequence[tuple[Stream, bytes]], status: int | None) -> None:
        self._executor = executor
        self._prints = [(stream, data) for stream, data in prints if data]
        self._status = status

    async def read(self) -> tuple[Stream, bytes] | None:
        return self._prints.pop(0) if self._prints else self._end()

    def _end(self) -> None:
        if self._status is None:
            raise ConnectionLost("the connection was cut")

    async def write(self, data: bytes) -> None:
        self._executor.told.append(data)

    async def close_stdin(self) -> None:
        """Nothing waits for it."""

    async def exit_status(self) -> int:
        assert self._status is not None
        return self._status

    async def end(self, grace_s: float) -> bool:
        return True


class _Flare(_Session):
    """The flare's command: it prints up to its question, and the rest once it was answered."""

    def __init__(self, executor: _Executor) -> None:
        it = executor.transcript
        rest = [(Stream.STDOUT, it.stdout), (Stream.STDERR, it.stderr)]
        super().__init__(executor, [(Stream.STDOUT, it.before), *rest] if it.before else rest, it.exit)
        self._answered = asyncio.Event() if it.before else None
        self._asked = False

    async def read(self) -> tuple[Stream, bytes] | None:
        if self._answered and self._asked:
            await self._answered.wait()
            self._executor.removed = self._executor.transcript.removes
        self._asked = True
        return await super().read()

    async def write(self, data: bytes) -> None:
        await super().write(data)
        if self._answered:
            self._answered.set()
