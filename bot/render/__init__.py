"""
Views of a run's progress and report: Slack blocks, terminal, text, JUnit.

Everything here is pure: no input or output except to the console that is passed in, and no clock.
"""
