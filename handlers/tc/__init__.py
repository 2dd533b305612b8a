"""
`tc`: does Workload Protection see the packets, or does another classifier end the chain before it?

    collector   the program that runs on the Agent's node and prints what the kernel knows, as JSON
    evidence    that document, as data
    judge and the rest read evidence only, so a saved document can be judged without any target

Gather first, decide afterwards: nothing that decides reaches out to anything.
"""
