"""What one look found, and what all of them come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bot.exit_status import STATUS
from handlers.model import Verdict, worst


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    """`slack.bot_token`, `target.cluster-a.rights`: stable, for machines."""
    verdict: Verdict
    said: str
    """What was found, in a sentence."""
    mend: str = ""
    """What to do, when something is to be done."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All of them."""

    checks: Sequence[Check]
    configuration: bool = True
    """False when the configuration could not be read, and nothing else was looked at."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all; what was skipped does not count."""
        return worst(check.verdict for check in self.checks)

    @property
    def status(self) -> int:
        """The exit status: 0 all well (warnings included), 1 a fault, 2 the configuration, 3 something is not known."""
        return STATUS[self.verdict] if self.configuration else 2

    def to_json(self) -> str:
        """`csm.doctor/1`."""
        checks = [{key: str(value) for key, value in asdict(check).items()} for check in self.checks]
        return json.dumps({"schema": "csm.doctor/1", "verdict": str(self.verdict), "checks": checks}, indent=2)


def passed(name: str, said: str) -> Check:
    """All well."""
    return Check(name, Verdict.PASS, said)


def warned(name: str, said: str, mend: str) -> Check:
    """It works, and could be better."""
    return Check(name, Verdict.WARN, said, mend)


def failed(name: str, said: str, mend: str) -> Check:
    """It does not work."""
    return Check(name, Verdict.FAIL, said, mend)


def unknown(name: str, said: str, mend: str) -> Check:
    """It could not be found out."""
    return Check(name, Verdict.UNKNOWN, said, mend)


def skipped(name: str, said: str) -> Check:
    """Not looked at, since something before it is wrong, or it is not used."""
    return Check(name, Verdict.SKIPPED, said)
