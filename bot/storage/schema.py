"""The current tables. `bot.storage.migrate` creates and upgrades them in a database; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

schema_version = sa.Table(
    "csm_schema", metadata, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)

runs = sa.Table(
    "csm_runs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("command", sa.String(32), nullable=False),
    sa.Column("target", sa.String(256), nullable=False),
    sa.Column("agent", sa.String(256), nullable=False, default=""),
    sa.Column("requested_by", sa.String(128), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),  # slack | terminal
    sa.Column("channel", sa.String(32), nullable=False, default=""),
    sa.Column("response_url", sa.Text, nullable=False, default=""),
    sa.Column("state", sa.String(16), nullable=False),  # accepted | running | done
    sa.Column("accepted_at", sa.Float, nullable=False),  # seconds since the epoch, UTC
    sa.Column("finished_at", sa.Float),
    sa.Column("cancelled_by", sa.String(128), nullable=False, default=""),
    sa.Column("inventory", sa.Text),  # JSON list of model.Agent, once the Agents were found
    sa.Column("verdict", sa.String(16)),
    sa.Column("report", sa.Text),  # JSON model.Report
    sa.Column("permalink", sa.Text, nullable=False, default=""),
    sa.Column("case_id", sa.String(16), nullable=False, default=""),  # flares only: digits, empty for a new case
    sa.Column("email", sa.String(320), nullable=False, default=""),  # flares only: email address of the case's owner
    sa.Index("csm_runs_by_target", "target", "accepted_at"),
)

results = sa.Table(
    "csm_results",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("agent", sa.String(256), primary_key=True),
    sa.Column("target", sa.String(256), nullable=False),
    sa.Column("command", sa.String(32), nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("result", sa.Text),  # JSON model.AgentResult; NULL until the Agent has a result
    sa.Index("csm_results_by_agent", "target", "agent", "command", "asked_at"),
)

posts = sa.Table(
    "csm_posts",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("channel", sa.String(32), nullable=False),
    sa.Column("intended_at", sa.Float, nullable=False),
    sa.Column("ts", sa.String(32), nullable=False, default=""),  # empty: it is not known whether it was sent
    sa.Column("extra", sa.Text, nullable=False, default=""),
)

audit = sa.Table(
    "csm_audit",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.Text, nullable=False),  # canonical JSON of audit.Entry, with `seq` and `at`
    sa.Column("hash", sa.String(64), nullable=False),
)
"""Append-only: triggers refuse to change or remove a row."""

approvals = sa.Table(
    "csm_approvals",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),  # bot.storage.approvals.State
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("requested_by", sa.String(128), nullable=False),
    sa.Column("requested_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, default=""),
    sa.Column("review", sa.Text),  # JSON model.FlareReview, once there is an archive
    sa.Column("decision", sa.String(16), nullable=False, default=""),  # approve | decline
    sa.Column("decided_by", sa.String(128), nullable=False, default=""),
    sa.Column("decided_at", sa.Float),
    sa.Column("ending", sa.String(32), nullable=False, default=""),  # bot.runs.flare_outcome.Ending
    sa.Column("ended_at", sa.Float),
    sa.Column("again", sa.String(32), nullable=False, default=""),  # the run that prepares the flare again
    sa.Index("csm_approvals_by_holder", "holder", "state"),
)

replicas = sa.Table(
    "csm_replicas",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("seen_at", sa.Float, nullable=False),  # by the database's clock
)
