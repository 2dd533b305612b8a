"""
Durable runs: the engine that accepts, starts and cancels them and records approvals (`engine`), the workflows of
checks and flares (`workflow`, `check_workflow`, `flare_workflow`), what those execute (`check`, `flare_session`), and
the tasks beside them (`failover`, `cancel_watch`, `pruning`).

Nothing here imports the listeners or the command line. What a command does with an Agent is passed in.
"""
