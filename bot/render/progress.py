"""How far a run has come, as both the Slack message and the terminal show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from handlers.model import Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run."""

    run: str
    command: str
    target: str
    """As it was typed: `cluster-a`, or `cluster-a/node-7`."""
    requested_by: str
    """A Slack user id, or a name in the terminal."""
    started: datetime
    elapsed_s: float = 0.0
    total: int | None = None
    """How many Agents are asked; `None` while they are being found."""
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    running: tuple[str, ...] = ()
    """Agents that have not answered yet, the longest-running first."""
    cancelling: bool = False
    notes: tuple[str, ...] = ()
    """What else people should know meanwhile: `resumed after a restart`."""

    @property
    def done(self) -> int:
        """How many Agents have a result."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class FlareProgress:
    """A moment of a flare."""

    run: str
    target: str
    """As it was typed, with the Agent once it is known."""
    requested_by: str
    case: str
    """Digits; empty for a new case."""
    elapsed_s: float
    expires_at: float
    """Seconds since the epoch: until when it may be approved."""
    state: str
    """`building`, `waiting` or `uploading`."""
    step: str
    """What is being done, in words."""
    ending: bool = False
    """Whether it is being ended without an upload."""
