"""
The configuration file: its schema (`settings`), YAML with line numbers for faults (`yaml_lines`), and the executors of
its targets (`targets`).
"""
