"""
The program in a terminal: arguments, output, exit status (`main`), flares (`flare_command`), saved evidence
(`offline`), and operators' commands (`admin`).
"""
