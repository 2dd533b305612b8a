"""What a flare is asked for, and what it may cost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from handlers.agent.flare_archive import Bounds
from handlers.errors import UsageError

_CASE = re.compile(r"[0-9]{1,12}")
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")


@dataclass(frozen=True, slots=True)
class FlareRequest:
    """Whose flare it is. Raises `UsageError` unless both are what they must be."""

    case: str = ""
    """Digits; empty for a new case. The Agent puts it into an address as it is."""
    email: str = ""
    """Of whom the case is; the Agent asks for it when it is not given, so it must be."""

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
    """What one flare may cost. Seconds and bytes."""

    build_deadline_s: float = 900.0
    """To the question; the Agent's providers may take minutes."""
    hold_s: float = 2 * 3600.0
    """The longest that a process is held, whatever whoever holds it does."""
    upload_deadline_s: float = 300.0
    """From `y` to the end: the Agent tries three times, for up to 60 s each."""
    read_deadline_s: float = 300.0
    hash_deadline_s: float = 60.0
    decline_deadline_s: float = 10.0
    output_bytes: int = 256 * 1024
    """Of what the command prints."""
    archive_max_bytes: int = 256 * 1024 * 1024
    bounds: Bounds = field(default_factory=Bounds)


DEFAULTS = FlareSettings()
