"""
`tc`: does Workload Protection see the packets, or does another classifier end the chain before it?

    collector       the program that runs on the Agent's node and prints what the kernel knows, as JSON
    evidence        that document, as data
    walk, returns   what a program can return, from its instructions
    vendors         who attaches what, with a source for every row
    hooks, judge    the decision, for each device and direction and for the Agent
    result          findings with what to do, tables, and the document to keep

What judges reads evidence only, so a saved document can be judged without any target.
Gather first, decide afterwards: nothing that decides reaches out to anything.
"""
