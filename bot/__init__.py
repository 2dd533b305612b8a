"""
The process around the handlers: Slack, settings, policy, storage, durable runs, the command line
and the sandbox.

`bot` imports `handlers`, never the other way round. `bot.app` and `bot.cli.main` put the parts together;
the parts below `bot.runs.engine` do not know one another.
"""
