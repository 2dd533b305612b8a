"""An Agent whose commands answer from a script, on a clock that is set: no platform, no processes, no waiting."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from handlers.errors import BinaryMissing, ExecError
from handlers.executors.base import Session, Stream
from handlers.model import Agent, Platform


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int = 0


ChecklistAnswer = Said | ExecError | Callable[[Sequence[str]], Said]
"""An answer, an error of the platform, or what makes an answer when it is asked for."""


class SetClock:
    """Stands still but for sleeping."""

    def __init__(self, now: datetime) -> None:
        self._began = now
        self.slept = 0.0

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


class ScriptedAgent:
    """
    An executor. The last answer of each command stays; a command without one is a program that is not there.

    A script's keys are command lines with the program's bare name, `security-agent status --json`. One that was given a
    socket is looked for as `@/its.sock system-probe runtime self-test` first, and `ls …` stands for every listing.
    """

    def __init__(
        self,
        script: Mapping[str, Sequence[ChecklistAnswer]],
        platform: Platform = Platform.DOCKER,
        *,
        damage: Callable[[str, int, Said], Said] = lambda _command, _number, said: said,
    ) -> None:
        self.platform = platform
        self._damage = damage
        self._given: Counter[str] = Counter()
        self._script = {command: list(answers) for command, answers in script.items()}
        self.asked: list[tuple[str, ...]] = []
        """Argument vectors, in order."""

    async def agents(self) -> Sequence[Agent]:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        self.asked.append(tuple(argv))
        command = next((line for line in _lines(argv) if line in self._script), None)
        if command is None:
            raise BinaryMissing(f"{argv[0]} does not exist on {agent}.")
        answers = self._script[command]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(argv)
        if isinstance(answer, ExecError):
            raise answer
        self._given[command] += 1
        yield _Ended(self._damage(command, self._given[command] - 1, answer))


def _lines(argv: Sequence[str]) -> Sequence[str]:
    """What a command is looked for as."""
    words, socket = list(argv), ""
    if words[0] == "env":
        socket, words = words[1].partition("=")[2], words[2:]
    line = " ".join((words[0].rpartition("/")[2], *words[1:]))
    return [f"@{socket} {line}", line, *(["ls …"] if words[0] == "ls" else [])]


class _Ended:
    """A command that has printed and ended."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._chunks = [(Stream.STDOUT, said.stdout), (Stream.STDERR, said.stderr)]

    async def read(self) -> tuple[Stream, bytes] | None:
        while self._chunks:
            chunk = self._chunks.pop(0)
            if chunk[1]:
                return chunk
        return None

    async def exit_status(self) -> int:
        return self._said.exit_status

    async def write(self, data: bytes) -> None:
        raise NotImplementedError

    async def close_stdin(self) -> None:
        raise NotImplementedError

    async def end(self, grace_s: float) -> bool:
        return True
