"""
Infrastructure of every process: clock, logs, metrics, traces, health, background tasks, ack gate, temporary files.

Nothing here depends on what csm does.
"""
