"""
`selftest`: does Workload Protection on this Agent really see what it should?

`Runtime self test: OK` does not mean that the tests passed, and a failed self-test exits 0. The verdict rests on the
*Self Tests* block of the status. What is asked, and how old the block may be, follows from the version (`eras`).

Up to 7.64 a check triggers a self-test and reads its results. From 7.65 the Agent tests itself; there a check triggers
nothing and reads the Agent's own results, since a run by hand shows nothing and about the tenth blocks the module.

    check        what is asked of one Agent, in which order, and the result
    trigger      triggers a self-test, up to 7.64
    results      reads the results from the Agent's statuses
    judge        what a Self Tests block is worth
    eras         what each version does, and how old its results may be
    diagnosis    why no status tells results: the module is off, down, starting, or its socket is elsewhere
    runner       runs the commands of one check within their limits
"""

from handlers.selftest.check import check_agent, has_triggered, may_trigger
from handlers.selftest.runner import SelftestSettings

__all__ = ["SelftestSettings", "check_agent", "has_triggered", "may_trigger"]
