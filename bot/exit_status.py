"""What the program's commands have in common: the exit status of a verdict, and who types."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from handlers.model import Verdict

STATUS: Mapping[Verdict, int] = {
    Verdict.PASS: 0,
    Verdict.WARN: 0,
    Verdict.FAIL: 1,
    Verdict.UNKNOWN: 3,
    Verdict.SKIPPED: 3,
}


def login() -> str:
    """Who types: the login name, or the number of an account that has none, as containers may have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
