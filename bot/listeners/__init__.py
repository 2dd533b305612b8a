"""
Slack listeners: a module per feature, each with `register(app, context)`.

A listener parses, authorises, accepts the run durably, acks, and does nothing after that: Bolt holds a listener that
continues after `ack()` only by a local variable, and an exception right after `ack()` undoes the ack
(slackapi/bolt-python:slack_bolt/listener/asyncio_runner.py). Work that may happen later is a background task
(`bot.runtime.background_tasks`).
"""
