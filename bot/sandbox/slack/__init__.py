"""
A Slack workspace on this machine: the Web API and Socket Mode as far as csm uses them, so faithful that
Slack's own SDKs cannot tell, and a page and an HTTP API to use it as a person.

What is not implemented is an error, as are blocks over Slack's limits and scopes that the manifest does
not declare; nothing is silently ok. It knows nothing of csm but `manifest.yml`.
"""
