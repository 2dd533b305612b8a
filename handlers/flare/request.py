"""The request for a flare, and the limits of one flare."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from handlers.agent.flare_archive import Bounds
from handlers.errors import UsageError

_CASE = re.compile(r"[0-9]{1,12}")
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")


@dataclass(frozen=True, slots=True)
class FlareRequest:
    """The case and the e-mail address of a flare. Raises `UsageError` unless both are valid."""

    case: str = ""
    """Digits; empty for a new case. The Agent puts it into a URL unchanged."""
    email: str = ""
    """The address that the case belongs to. Required, because the Agent prompts for it when it is not given."""

    def __post_init__(self) -> None:
        if self.case and not _CASE.fullmatch(self.case):
            raise UsageError("A case id has digits only, at most twelve.", example="flare cluster-a/node-7 1234567")
        if not _EMAIL.fullmatch(self.email):
            raise UsageError(
                "A flare needs the e-mail address that the case belongs to.",
                example="flare cluster-a/node-7 1234567 --email you@example.com",
            )


@dataclass(frozen=True, slots=True)
class FlareSettings:
    """Limits of one flare, in seconds and bytes."""

    build_deadline_s: float = 900.0
    """From the start of the command to its question; the Agent's providers may take minutes."""
    hold_s: float = 2 * 3600.0
    """The longest time that a process is held, also if the caller never decides."""
    upload_deadline_s: float = 300.0
    """From `y` to the end of the process: the Agent tries three times, for up to 60 s each."""
    read_deadline_s: float = 300.0
    hash_deadline_s: float = 60.0
    decline_deadline_s: float = 10.0
    output_bytes: int = 256 * 1024
    """Limit for the command's output."""
    archive_max_bytes: int = 256 * 1024 * 1024
    bounds: Bounds = field(default_factory=Bounds)


DEFAULTS = FlareSettings()
