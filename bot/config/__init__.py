"""
The configuration file: its schema (`settings`), where in the file a fault is (`yaml_lines`), and the executors of its
targets (`targets`).
"""
