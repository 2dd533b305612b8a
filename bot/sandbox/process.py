"""The bot's process, as people start it: `csm serve` with a configuration file and tokens in the environment; it ends with its parent."""

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
    """It may be killed, and started again."""

    def __init__(self, config: Path, environment: Mapping[str, str], slack: LocalSlack, log: Path) -> None:
        self._config = config
        self.environment = environment
        self._slack = slack
        self.log = log
        self.program: Sequence[str] = (sys.executable, "-m", "bot.sandbox.parent_watchdog")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it is connected to Slack. Raises `CsmError` with its log when it ends instead."""
        # A connection of the process before may not have been noticed to be dead yet; only a new one counts.
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
        """Another replica of it, not started yet."""
        return Bot(self._config, dict(self.environment), self._slack, log)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and SIGKILL when it takes too long. Returns its exit status."""
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
