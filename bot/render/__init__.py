"""
A run's progress and report as people and programs read them: Slack blocks, terminal, text, JUnit.

Everything here is pure: no input or output but the console that it is given, and no clock.
"""
