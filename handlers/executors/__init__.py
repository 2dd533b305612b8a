"""
How commands reach an Agent: one protocol (`base`), a module per platform, and a shipped fake.

An executor moves bytes. It knows nothing of what a command means, keeps no state between commands
but its connections, and reports every failure as one of `handlers.errors`. All of them, the fake
included, pass the one suite in `tests/contract`.
"""
