"""
SQL migrations that create the tables of `bot.storage.schema`: numbered steps, applied in the order of `migrate.STEPS`.

A released step is never changed; a later step fixes its mistakes. After a step, the previous version of csm can still
read and write the tables that it knows: during a rolling upgrade, replicas of both versions run at the same time.
"""
