"""
`flare`: an archive is built, reviewed and then uploaded by one and the same process.

The Agent builds an archive, asks `Are you sure you want to upload a flare? [y/N]`, and waits for the answer on stdin
without a time limit. `hold` keeps that process running and provides the review of the archive; `HeldFlare` writes the
answer. Running the command again to upload would build another archive than the one that was reviewed.

    async with hold(agent, executor, clock, scratch, request) as held:
        ...                        # show held.review; wait for a decision, or for held.ended()
        result = await held.approve()   # or held.decline("…")

`y` is written in one place only (`HeldFlare.approve`), after the known question and with no output after it, and only
when the archive's hash is that of the review. In every other case, csm writes `n` or ends the process.

**What a hash before the upload can and cannot do.** The Agent opens the archive after it has read `y` and Datadog
answered a HEAD request, which may take 60 s, and opens it again for each of up to three attempts. A process that may
write in the Agent's temporary directory could exchange the archive between csm's last hash and those moments; neither
the Agent nor a platform offers a way to hand it an open file. Where the archive is still there after the upload, it is
hashed again, and a difference is a critical finding; from about 7.78 the Agent has removed it by then.
"""

from handlers.flare.history import FlareFailed, whom_to_ask
from handlers.flare.holding import HeldFlare, NoCopy, hold
from handlers.flare.request import FlareRequest, FlareSettings

__all__ = ["FlareFailed", "FlareRequest", "FlareSettings", "HeldFlare", "NoCopy", "hold", "whom_to_ask"]
