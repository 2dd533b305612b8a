"""
What each command does, and everything that is known of the Datadog Agent.

Nothing in here knows Slack, reads an environment variable, touches the disk or has a clock of its
own: what the outside world must provide comes in through `handlers.ports` and through an executor.
Imports go one way: commands -> checks and remediation -> executors -> model.
"""
