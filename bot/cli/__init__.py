"""
The program in a terminal: arguments, output, exit status (`main`), flares (`flare_command`), evidence that was saved
(`offline`), and what operators need (`admin`).
"""
