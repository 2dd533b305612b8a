"""
Authorisation: the policy's rules (`policy`, pure), and Slack's users and user groups (`directory`).

Everything is denied unless a rule allows it. Every refusal says why, and who is allowed.
"""
