"""
How the tables came to be what `bot.storage.schema` says: numbered steps in SQL, in the order of `migrate.STEPS`.

A step that has been released is never changed; what it got wrong, a later step mends.
"""
