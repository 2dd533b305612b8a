"""
What csm remembers of its own: runs, their results, what was posted where.

`schema` says what the tables are, `migrate` brings a database there, `store` reads and writes them. The
durable engine keeps its own tables beside these. Everything in here was redacted and bounded before it came.
"""
