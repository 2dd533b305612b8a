"""
Knowledge of the Agent's command line: which command to run for which version, and how to parse its output.

Pure: text in, facts out. Facts are tri-state (`None` is "not seen"); the checks and the flare judge them.
"""
