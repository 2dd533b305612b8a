"""
Executors, which run commands on Agents: one protocol (`base`), and a module per platform.

An executor moves bytes. It does not know what a command means, keeps no state between commands but its connections, and
reports every failure as one of `handlers.errors`. All of them, and the sandbox's fake executor, pass the one suite in
`tests/contract`.
"""
