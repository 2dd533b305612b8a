"""
Remediations: what to do about a finding. `remediate(code, agent, version)` is in `catalogue`, its snippets in
`snippets`. Remediations of the tc check are computed, in `tc`.

A remediation is data, chosen by the finding's code, by how the Agent was installed, and by the Agent's version.
"""

from handlers.remediation.catalogue import remediate
from handlers.remediation.tc import TcFacts, VendorAdvice, remediate_tc

__all__ = ["TcFacts", "VendorAdvice", "remediate", "remediate_tc"]
