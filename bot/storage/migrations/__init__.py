"""
How the tables came to be what `bot.storage.schema` says: numbered steps in SQL, in the order of `migrate.STEPS`.

A step that has been released is never changed; what it got wrong, a later step mends. After a step the csm before it
can still read and write what it knew: replicas of both are at work while an upgrade rolls.
"""
