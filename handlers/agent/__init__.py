"""
What is known of the Agent's command line: versions, which command to choose, what its output means.

Pure: text in, facts out. Facts are tri-state (`None` is "not seen"); judging them is the command's business.
"""
