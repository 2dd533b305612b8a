"""
`csm doctor`: checks everything that must be right before the first command, and says how to fix each fault.

`run_all` runs the checks of `database`, `slack` and `targets`. Each check uses the real system, changes nothing, and
takes no longer than its time limit. What could not be determined is `unknown`, never `pass`.
"""
