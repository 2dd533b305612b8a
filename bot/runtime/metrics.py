"""
The bot's Prometheus metrics. Every module of `bot` may import this one; this one imports none of them.

Names follow Prometheus' conventions: the unit at the end, `_total` for counters, few and bounded label values.
"""

from __future__ import annotations

from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
"""Slack allows three seconds for an acknowledgement."""
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)

BUILD = Gauge("csm_build_info", "1; the version is in the label.", ["version"], registry=REGISTRY)
BUILD.labels(version("csm")).set(1)

COMMANDS = Counter(
    "csm_commands_total", "Lines and clicks, by what became of them.", ["command", "outcome"], registry=REGISTRY
)
ACKS = Histogram(
    "csm_ack_seconds",
    "From a request of Slack's to its acknowledgement.",
    ["kind"],
    buckets=_FAST,
    registry=REGISTRY,
)
UNACKNOWLEDGED = Counter(
    "csm_unacknowledged_total", "Requests of Slack's that were not acknowledged.", ["kind"], registry=REGISTRY
)

RUNS_OPEN = Gauge("csm_runs_open", "Runs that this process is carrying out.", registry=REGISTRY)
RUNS = Counter("csm_runs_total", "Runs that ended, by verdict.", ["command", "verdict"], registry=REGISTRY)
RUN_SECONDS = Histogram(
    "csm_run_seconds", "From the accepted command to the report.", ["command"], buckets=_SLOW, registry=REGISTRY
)
QUEUE_WAIT = Histogram(
    "csm_queue_wait_seconds",
    "How long an Agent waited for its place under the limits.",
    buckets=_SLOW,
    registry=REGISTRY,
)
AGENT_SECONDS = Histogram(
    "csm_agent_seconds",
    "From asking an Agent to its answer.",
    ["command", "platform"],
    buckets=_SLOW,
    registry=REGISTRY,
)
VERDICTS = Counter("csm_verdicts_total", "Verdicts on Agents.", ["command", "platform", "verdict"], registry=REGISTRY)
APPROVALS_OPEN = Gauge("csm_approvals_open", "Archives that wait for somebody's decision.", registry=REGISTRY)

SLACK_CALLS = Counter(
    "csm_slack_calls_total", "Calls of Slack's Web API, by Slack's answer.", ["method", "answer"], registry=REGISTRY
)
SLACK_SECONDS = Histogram(
    "csm_slack_call_seconds", "How long Slack took to answer.", ["method"], buckets=_SLOW, registry=REGISTRY
)
SLACK_WAITED = Counter(
    "csm_slack_waited_seconds_total", "How long calls waited before they were repeated.", ["method"], registry=REGISTRY
)
PROGRESS_CHANGES = Counter(
    "csm_progress_changes_total", "Changes that a run's message could have shown.", registry=REGISTRY
)
PROGRESS_UPDATES = Counter(
    "csm_progress_updates_total",
    "Updates of a run's message that were sent; the other changes were coalesced.",
    registry=REGISTRY,
)

SOCKET_AGE = Gauge("csm_socket_age_seconds", "Since Socket Mode's connection was opened.", registry=REGISTRY)
SOCKET_QUIET = Gauge("csm_socket_quiet_seconds", "Since Slack was last heard of on it.", registry=REGISTRY)
SOCKET_REOPENED = Counter("csm_socket_reopened_total", "How often it was thrown away as deaf.", registry=REGISTRY)
LOOP_LAG = Gauge("csm_loop_lag_seconds", "How late the event loop was when it last turned.", registry=REGISTRY)
