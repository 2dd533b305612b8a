"""
`csm doctor`: everything that must be right before the first command, each fault with its mend.

`examination` puts the parts together: `environment` (database), `slack`, `targets`. Each asks the real thing, changes
nothing, and takes no longer than its time limit; what could not be found out is `unknown`, never `pass`.
"""
