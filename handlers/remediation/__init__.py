"""
What to do about a finding: `remediate(code, agent, version)` in `catalogue`, its snippets in `snippets`.

What to do about the tc check is computed, in `tc`.

Advice is data, chosen by the finding's code, by who set the Agent up, and by the Agent's version.
"""

from handlers.remediation.catalogue import remediate
from handlers.remediation.tc import TcFacts, VendorAdvice, remediate_tc

__all__ = ["TcFacts", "VendorAdvice", "remediate", "remediate_tc"]
