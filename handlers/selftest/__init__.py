"""
`selftest`: checks whether Workload Protection on an Agent sees the events that it should see.

`Runtime self test: OK` does not mean that the tests passed, and a failed self-test exits 0. The verdict is based on the
*Self Tests* block of the status. The version decides which commands run, and how old the block may be (`eras`).

Up to 7.64 a check triggers a self-test and reads its results. From 7.65 the Agent tests itself; there a check triggers
nothing and reads the Agent's own results, because a triggered run shows nothing and about the tenth one blocks the
module.

    check        the check of one Agent: which commands run, in which order, and the result
    trigger      triggers a self-test, up to 7.64
    results      reads the results from the Agent's statuses
    judge        judges a Self Tests block
    eras         the behaviour of each version, and how old its results may be
    diagnosis    why no status has results: the module is off, down, starting, or its socket is elsewhere
    runner       runs the commands of one check within their limits
"""

from handlers.selftest.check import check_agent, has_triggered, may_trigger
from handlers.selftest.runner import SelftestSettings

__all__ = ["SelftestSettings", "check_agent", "has_triggered", "may_trigger"]
