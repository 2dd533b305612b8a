"""
Durable runs: the engine that accepts, starts, cancels and decides (`engine`), the workflows of a check and of a flare,
what is done in them (`check`, `flare_session`), and the tasks beside them (`failover`, `cancel_watch`, `pruning`).

A run knows neither listeners nor the command line. What a command does with an Agent is passed in.
"""
