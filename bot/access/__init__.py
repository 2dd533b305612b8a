"""
Who may do what: the policy's rules (`policy`, pure) and who Slack says that somebody is (`directory`).

Denied unless a rule allows it, and every refusal says why and who could.
"""
