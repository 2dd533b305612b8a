"""
The checks (self-test, tc) and the flare, and all knowledge of the Datadog Agent.

Nothing in here knows Slack, and no check touches the environment, the disk or the clock directly: clock and temporary
files come in through `handlers.ports`, and access to Agents through an executor.

Imports go one way: checks and flare -> remediation -> knowledge of the Agent -> executors -> model.
"""
