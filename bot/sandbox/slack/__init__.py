"""
A Slack workspace on this machine, so faithful that Slack's own SDKs cannot tell: the Web API (`web_api`), Socket
Mode (`socket_mode`) and signed requests (`request_url`), what people do (`people`) and what the app is told of it
(`payloads`, `events`), one judge of blocks behind every way in (`blocks`). A page and an HTTP API to use it as a
person (`control`).

What is not implemented is an error, as are blocks over Slack's limits and scopes that the manifest does
not declare; nothing is silently ok. It knows nothing of csm but `manifest.yml`.
"""
