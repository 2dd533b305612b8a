"""
csm's database: runs, the result of each Agent, posts in Slack, flare approvals, heartbeats of replicas, the audit.

`schema` defines the tables, `migrate` creates and upgrades them, `store` reads and writes them. The durable engine
keeps its own tables in the same database. Everything is redacted and bounded in size before it is stored.
"""
