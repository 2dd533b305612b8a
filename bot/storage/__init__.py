"""
What csm remembers of its own: runs, their results, what was posted where.

`schema` says what the tables are, `store` is the only module that speaks SQL. The durable engine keeps
its own tables beside these. Everything in here was redacted and bounded before it came.
"""
