"""
The process around the handlers: Slack, settings, policy, storage, durable runs, the command line
and the sandbox.

`bot` imports `handlers`, never the other way round. `bot.app` and `bot.cli.main` are the composition
roots. The packages form layers: each imports only packages of lower layers (`[tool.importlinter]` in pyproject.toml).
"""
