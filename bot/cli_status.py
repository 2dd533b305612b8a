"""The exit status of a verdict."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.model import Verdict

STATUS: Mapping[Verdict, int] = {
    Verdict.PASS: 0,
    Verdict.WARN: 0,
    Verdict.FAIL: 1,
    Verdict.UNKNOWN: 3,
    Verdict.SKIPPED: 3,
}
