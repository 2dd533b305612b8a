"""
What every process needs whatever it does: clock, logs, metrics, traces, health, tasks of its own, temporary files.

Nothing here knows what csm is for.
"""
