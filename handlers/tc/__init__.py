"""
`tc`: checks whether Workload Protection sees packets, or another classifier ends the chain before it.

    examine                        the check of one Agent: collect its evidence, then judge it
    collector                      the program that runs on the Agent's node and prints the kernel's state as JSON
    collect, tools                 send the collector through the executor; without Python, use `tc` and `bpftool`
    evidence, document             the JSON document as data; read, clean and save it
    agent_settings, agent_filters  the Agent's effective settings, and which entries are the Agent's
    returns                        computes what a program can return, from its instructions
    walk                           analyses the instructions of one program, for `returns`
    frames, values                 the state that `walk` tracks: stack and registers, and what they may hold
    instructions, helpers          decode instructions; what the kernel's helpers return
    effects                        the table of what a return code does to the chain
    vendors                        other vendors' classifiers, with a source for every row
    hooks, devices, judge          the verdict, for each hook, each device and the Agent
    checklist                      the answers to the documentation's checklist
    result                         findings with remediations, tables, and the saved document

Collecting and judging are separate. The judging modules read evidence only and contact no target, so a saved document
can be judged later.
"""
