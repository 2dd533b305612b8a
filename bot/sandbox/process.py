"""
The bot's process, started as in production: `csm serve` with a configuration file and tokens in the environment.

It ends with its parent (`bot.sandbox.parent_watchdog`).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.sandbox.slack.server import LocalSlack
from handlers.errors import CsmError

READY_S = 60.0


class Bot:
    """The bot's process, which can be killed and started again."""

    def __init__(self, config: Path, environment: Mapping[str, str], slack: LocalSlack, log: Path) -> None:
        self._config = config
        self.environment = environment
        self._slack = slack
        self.log = log
        self.program: Sequence[str] = (sys.executable, "-m", "bot.sandbox.parent_watchdog")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """
        Start the process, and wait until it is connected to Slack.

        Raises `CsmError` with the end of its log when it ends before that, or takes more than `READY_S` seconds.
        """
        # The server may not have noticed yet that the previous process's connection is dead; wait for a new one.
        connected = asyncio.create_task(self._slack.socket_mode.hello.wait())
        await asyncio.sleep(0)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program,
                "serve",
                "--config",
                str(self._config),
                env=dict(self.environment),
                stdin=asyncio.subprocess.PIPE,
                stderr=log,
                stdout=log,
            )
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({connected, ended}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if not connected.done():
                raise CsmError(f"The bot did not come up:\n{self.log.read_text('utf-8', 'replace')[-4000:]}")
        finally:
            connected.cancel()
            ended.cancel()

    def another(self, log: Path) -> Bot:
        """Another replica with the same configuration, not started yet."""
        return Bot(self._config, dict(self.environment), self._slack, log)

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """Send SIGKILL: the process cannot clean up."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Send SIGTERM, and SIGKILL after ten seconds. Returns the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is not None:
            return process.returncode
        process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        return await process.wait()
