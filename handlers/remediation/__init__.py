"""
What to do about a finding: `remediate(code, agent, version)` in `catalogue`, its snippets in `snippets`.

Advice is data, chosen by the finding's code, by who set the Agent up, and by the Agent's version.
"""

from handlers.remediation.catalogue import remediate

__all__ = ["remediate"]
