"""
Knowledge of the Agent's command line: which command to run for which version, and how to parse its output.

Pure: text in, facts out. A fact is tri-state where `None` means that it was not seen. The checks and the flare judge
the facts.
"""
