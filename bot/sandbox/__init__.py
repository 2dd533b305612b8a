"""
A local Slack workspace and a fleet of stand-in Agents, to try csm on one machine without Slack or Datadog.

It consists of the local Slack, the stand-in Agents behind a stand-in Kubernetes API, and the real bot, connected to
both. It ships with the program. The stand-ins speak the real protocols; no code of the bot refers to them.
"""
