"""The result of one check of `csm doctor`, and the results of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bot.exit_status import STATUS
from handlers.model import Verdict, worst


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    """`slack.bot_token`, `target.cluster-a.rights`: stable, for programs."""
    verdict: Verdict
    said: str
    """What was found, as a sentence."""
    mend: str = ""
    """How to fix it; empty when there is nothing to fix."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The results of all checks."""

    checks: Sequence[Check]
    configuration: bool = True
    """False when the configuration file or the environment has a fault; the exit status is then 2."""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all checks; skipped ones do not count."""
        return worst(check.verdict for check in self.checks)

    @property
    def status(self) -> int:
        """The exit status: 0 all passed (warnings included), 1 a fault, 2 the configuration, 3 something is unknown."""
        return STATUS[self.verdict] if self.configuration else 2

    def to_json(self) -> str:
        """Return the results as JSON, in the schema `csm.doctor/1`."""
        checks = [{key: str(value) for key, value in asdict(check).items()} for check in self.checks]
        return json.dumps({"schema": "csm.doctor/1", "verdict": str(self.verdict), "checks": checks}, indent=2)


def passed(name: str, said: str) -> Check:
    """Create the result of a check that passed."""
    return Check(name, Verdict.PASS, said)


def warned(name: str, said: str, mend: str) -> Check:
    """Create a warning: it works, and could be better."""
    return Check(name, Verdict.WARN, said, mend)


def failed(name: str, said: str, mend: str) -> Check:
    """Create the result of a check that failed."""
    return Check(name, Verdict.FAIL, said, mend)


def unknown(name: str, said: str, mend: str) -> Check:
    """Create the result of a check that could not be determined."""
    return Check(name, Verdict.UNKNOWN, said, mend)


def skipped(name: str, said: str) -> Check:
    """Create the result of a check that did not run: an earlier one failed, or it is about something not in use."""
    return Check(name, Verdict.SKIPPED, said)
