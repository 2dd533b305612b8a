"""
A workspace and a fleet to practise on, on this machine alone: a local Slack, stand-in Agents behind a
stand-in Kubernetes API, and the real bot connected to both.

It ships with the program. The stand-ins speak the real protocols; nothing in the bot knows of them.
"""
