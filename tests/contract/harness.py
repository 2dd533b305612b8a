"""
What the contract suite needs of a platform: Agents to run commands on, and ways to break things.

A harness owns real parts (an engine, an sshd, processes) or the stand-in API server, and gives the
suite an `Executor` on top of them. A fault that a platform cannot have (a host has no API that
answers 429) is left out of `faults`, so that the suite's list of cases says what each one covers.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from handlers.executors.base import Executor
from handlers.model import Agent


class Fault(StrEnum):
    """Ways in which a platform breaks, and what the suite expects of each."""

    CUT = "the connection is cut in the middle of a command"
    VANISH = "the container vanishes in the middle of a command"
    GONE = "the Agent is gone before the command"
    NOT_READY = "the container cannot run commands"
    NO_STATUS = "the streams end and no exit status ever comes"
    UNREACHABLE = "nothing answers at the target's address"
    HTTP_401 = "the API answers 401"
    HTTP_403 = "the API answers 403"
    HTTP_404 = "the API answers 404"
    HTTP_410 = "the API answers 410"
    HTTP_429 = "the API answers 429, for ever"
    HTTP_500 = "the API answers 500"


class Harness(Protocol):
    """One platform under the suite."""

    python: tuple[str, ...]
    """An argument vector prefix that runs Python 3.8+ code there: `(*python, "-c", code)`."""
    faults: frozenset[Fault]

    @property
    def executor(self) -> Executor: ...

    @property
    def agent(self) -> Agent:
        """The Agent under test."""
        ...

    @property
    def neighbour(self) -> Agent:
        """Another Agent of the same target, which no fault may touch."""
        ...

    @property
    def container(self) -> str | None: ...

    def inflict(self, fault: Fault) -> AbstractAsyncContextManager[None]:
        """Break `agent` (never `neighbour`) for the length of the block; CUT and VANISH strike at once."""
        ...

    async def running(self, marker: str) -> bool:
        """Whether a process whose command line holds `marker` is alive on `agent`, seen from outside csm."""
        ...
