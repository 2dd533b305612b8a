"""
A local Slack workspace that Slack's own SDKs accept as Slack.

It implements the Web API (`web_api`), Socket Mode (`socket_mode`) and signed requests (`request_url`), the actions of
people (`people`) and the payloads and events that the app gets for them (`payloads`, `events`). One validation of
blocks serves all of these (`blocks`). A page and an HTTP API let people and programs use it (`control`).

What is not implemented returns an error. So do blocks over Slack's limits, and scopes that the manifest does not
declare. No request is silently accepted. The workspace knows nothing of csm except `manifest.yml`.
"""
