"""
`python -m bot.sandbox.parent_watchdog serve …`: runs csm, and ends it when the sandbox that started it has ended.

stdin is a pipe that the sandbox holds open. However the sandbox ends, by SIGKILL too, the pipe is closed. Then csm
gets SIGTERM, and SIGKILL after `GRACE_S` seconds.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

GRACE_S = 5.0


def _end_with_the_holder() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_holder, name="parent watchdog", daemon=True).start()
    runpy.run_module("bot", run_name="__main__")
