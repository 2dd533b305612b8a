"""Exit status of each verdict, and the login name: shared by the program's commands."""

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
    """Return the login name, or `uid N` for an account without a name, as containers may have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
