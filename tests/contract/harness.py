"""
What the contract suite needs of a platform: an Agent to run commands on, through an executor that is under test.

A harness owns real parts (an engine, an sshd, processes) or the stand-in API server.
"""

from __future__ import annotations

from dataclasses import dataclass

from handlers.executors.base import Executor
from handlers.model import Agent


@dataclass(frozen=True)
class Harness:
    """One platform under the suite."""

    executor: Executor
    agent: Agent
    python: str
    """A Python 3.8+ there: `(python, "-c", code)` is what the suite runs."""
    container: str | None = None
