"""
What Slack sends: a module per feature, each with `register(app, desk)`.

A listener parses, authorises, makes the run durable, acks, and does nothing after that: Bolt holds a
listener that goes on working only by a local variable, and an exception right after `ack()` undoes the
ack (slackapi/bolt-python:slack_bolt/listener/asyncio_runner.py). What may happen later is an errand.
"""
