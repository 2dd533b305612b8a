"""The progress of a run, as the Slack message and the terminal show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from handlers.model import Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a check run at one moment."""

    run: str
    command: str
    target: str
    """As it was typed: `cluster-a`, or `cluster-a/node-7`."""
    requested_by: str
    """A Slack user id, or a name in the terminal."""
    started: datetime
    elapsed_s: float = 0.0
    total: int | None = None
    """How many Agents are checked; `None` while csm finds them."""
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    running: tuple[str, ...] = ()
    """Agents without a result yet, the longest-running first."""
    cancelling: bool = False
    notes: tuple[str, ...] = ()
    """Other facts for the people who wait: `resumed after a restart`."""

    @property
    def done(self) -> int:
        """How many Agents have a result."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class FlareProgress:
    """The progress of a flare at one moment."""

    run: str
    target: str
    """As it was typed, with the Agent once it is known."""
    requested_by: str
    case: str
    """Digits; empty for a new case."""
    elapsed_s: float
    expires_at: float
    """When the approval expires, in seconds since the epoch."""
    state: str
    """`building`, `waiting` or `uploading`."""
    step: str
    """The current step, in words."""
    ending: bool = False
    """Whether the flare is being ended without an upload."""
