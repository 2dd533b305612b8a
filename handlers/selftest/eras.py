"""
What an Agent's version means for its self-test: whether csm triggers one, and how old a result may be.

DataDog/datadog-agent:pkg/security/module/cws.go and pkg/security/probe/selftests/tester.go. The release of a change is
inferred from its pull request:

    before 7.36     no results in the status; the command reports an error when a test failed (self_tester.go@5fead32b)
    7.36 to 7.52    the command waits for the tests (cws.go@e40d66e6)
    7.53 to 7.64    the command returns at once; results within the Agent's 30 s (#23321)
    7.65, 7.66      the Agent tests itself every 5 min (#33855)
    7.67 to 7.72    every hour (#37331); a result is collected and stamped an hour after its test (cws.go@0227eb6e)
    from 7.73       every hour, stamped when it was tested (#41988)

From 7.65 a triggered run waits in a queue of ten until the sleep between two tests is over. The queue never gets
shorter, since each iteration takes one run and adds one. A run that finds the queue full blocks the tester, which then
holds its lock; this also blocks the status and the loading of policies, until system-probe is restarted (tester.go,
`RunSelfTest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from handlers.agent.commands import AGENT_TESTS_ITSELF
from handlers.version import AgentVersion

_MINUTE = timedelta(minutes=1)
MARGIN = 5 * _MINUTE
"""Time that a test, its collection and a time stamp without seconds may add to an interval."""


@dataclass(frozen=True, slots=True)
class Era:
    """The behaviour that a range of versions has in common."""

    triggers: bool
    """Whether csm triggers a self-test."""
    has_results: bool = True
    """Whether the status shows which tests succeeded."""
    results_within: timedelta = timedelta()
    """How long after a trigger its results may take to appear."""
    interval: timedelta = timedelta()
    """Time between two of the Agent's own tests; zero when it makes none."""
    stamped_late: bool = False
    """Whether a result is collected, and stamped, one interval after its test."""
    drops_late_events: bool = False
    """Whether events that arrive after the test's time-out count as a failure."""

    @property
    def fresh_for(self) -> timedelta:
        """The largest age at which the Agent's own result counts."""
        return self.interval + MARGIN

    @property
    def hidden_for(self) -> timedelta:
        """For how long a failure may not show in the Agent's own result."""
        return 2 * self.interval if self.stamped_late else self.interval


_BY_VERSION = (
    ((36, 0), Era(triggers=True, has_results=False)),
    ((53, 0), Era(triggers=True)),
    (AGENT_TESTS_ITSELF, Era(triggers=True, results_within=timedelta(seconds=35))),
    ((67, 0), Era(triggers=False, interval=5 * _MINUTE, stamped_late=True)),
    ((73, 0), Era(triggers=False, interval=60 * _MINUTE, stamped_late=True)),
)
"""Eras in order, each with the version before which it applies."""
_NEWEST = Era(triggers=False, interval=60 * _MINUTE, drops_late_events=True)
_UNKNOWN = Era(triggers=False, interval=60 * _MINUTE, stamped_late=True, drops_late_events=True)
"""
For an unknown version: triggers nothing that might do harm, and claims nothing that some newer version could not show.
"""


def era_of(version: AgentVersion | None) -> Era:
    """The era of a version; an unknown version counts as new."""
    if version is None:
        return _UNKNOWN
    return next((era for until, era in _BY_VERSION if version.era < until), _NEWEST)
