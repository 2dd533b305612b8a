"""The archive on the Agent: read in one stream, and hashed in place. Nothing here keeps its bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import re
import threading
from dataclasses import dataclass
from typing import BinaryIO

from handlers.agent.findings import CODES
from handlers.agent.flare_archive import Contents, Stopped, UnreadableArchive, read_contents
from handlers.errors import BinaryMissing, ExecError, OutputLimitExceeded
from handlers.executors.base import Completed, Executor, Limits, converse, run
from handlers.executors.kill import PYTHONS
from handlers.flare.request import FlareSettings
from handlers.model import Agent
from handlers.ports import TemporarySpace
from handlers.shielded import run_shielded
from handlers.version import AgentVersion

_HASH = re.compile(rb"^\\?([0-9a-f]{64})\b")
_PROGRAM = """
import hashlib, sys
found = hashlib.sha256()
with open(sys.argv[1], "rb") as archive:
    for piece in iter(lambda: archive.read(1048576), b""):
        found.update(piece)
print(found.hexdigest())
"""


class ArchiveTrouble(Exception):
    """The archive cannot be read or hashed. Carries the code of a finding, its detail and its evidence."""

    def __init__(self, code: str, detail: str = "", evidence: bytes | str = b"") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class Look:
    """The result of reading an archive once."""

    size: int
    sha256: str
    contents: Contents


class Archive:
    """One archive in one container of an Agent."""

    def __init__(
        self, executor: Executor, agent: Agent, container: str | None, path: str, settings: FlareSettings
    ) -> None:
        self._executor = executor
        self._agent = agent
        self._container = container
        self.path = path
        self._settings = settings
        self._hashers = [("sha256sum", path), *((python, "-I", "-S", "-c", _PROGRAM, path) for python in PYTHONS)]

    async def look(self, scratch: TemporarySpace, version: AgentVersion | None) -> Look:
        """Read the archive to its end; hash, list and scan it. `version` is the Agent's. Raises `ArchiveTrouble`."""
        try:
            async with scratch.open() as file:
                size, sha256 = await self._fetch(file, self._settings.archive_max_bytes)
                if await self.sha256() != sha256:
                    raise ArchiveTrouble("flare.archive_unsteady")
                return Look(size, sha256, await _in_a_thread(file, self._settings, version))
        except UnreadableArchive as error:
            raise ArchiveTrouble("flare.archive_unreadable", str(error)) from error
        except OSError as error:  # executors raise no OSError, so it is from csm's own disk
            raise ArchiveTrouble("flare.no_room", error.strerror or str(error)) from error

    async def sha256(self) -> str:
        """
        Hash the archive on the Agent. Raises `ArchiveTrouble`. The program that worked is the first to be tried the
        next time.
        """
        limits = Limits(deadline_s=self._settings.hash_deadline_s, max_bytes=16 * 1024)
        while self._hashers:
            try:
                done = await run(
                    self._executor, self._agent, self._hashers[0], container=self._container, limits=limits
                )
            except BinaryMissing:
                del self._hashers[0]
                continue
            except ExecError as error:
                raise ArchiveTrouble(CODES[type(error)], str(error), str(error)) from error
            found = _HASH.match(done.output.stdout)
            if found and done.exit_status == 0:
                return found[1].decode()
            raise _unreadable(done)
        raise ArchiveTrouble("flare.no_hash")

    async def copy(self, most: int) -> tuple[bytes, str]:
        """The archive's bytes, at most `most`, and their hash. Raises `ArchiveTrouble`."""
        file = io.BytesIO()
        _, sha256 = await self._fetch(file, most)
        return file.getvalue(), sha256

    async def _fetch(self, file: BinaryIO, most: int) -> tuple[int, str]:
        """Stream the archive's bytes into `file`; return their number and their hash."""
        digest = hashlib.sha256()

        def take(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        limits = Limits(deadline_s=self._settings.read_deadline_s, max_bytes=most)
        try:
            async with converse(
                self._executor, self._agent, ("cat", self.path), container=self._container, limits=limits, stdin=False
            ) as reading:
                status = await reading.pour(take)
        except OutputLimitExceeded as error:
            raise ArchiveTrouble("flare.archive_too_large", f"more than {most // 1024**2} MiB") from error
        except ExecError as error:
            raise ArchiveTrouble("flare.archive_lost", str(error), str(error)) from error
        if status != 0:
            raise _unreadable(Completed(("cat",), status, reading.output, 0.0))
        return file.tell(), digest.hexdigest()


def _unreadable(done: Completed) -> ArchiveTrouble:
    said = done.output.stderr.decode("utf-8", "replace").lower()
    if "no such file" in said or "filenotfounderror" in said:
        return ArchiveTrouble("flare.archive_missing", evidence=done.output.stderr)
    if "permission denied" in said or "permissionerror" in said:
        return ArchiveTrouble("flare.archive_denied", evidence=done.output.stderr)
    detail = f"{done.argv[0]} exited {done.exit_status}"
    return ArchiveTrouble("flare.archive_lost", detail, done.output.stderr)


async def _in_a_thread(file: BinaryIO, settings: FlareSettings, version: AgentVersion | None) -> Contents:
    """
    Scan in a thread, since it uses the processor for seconds. On cancellation, the thread ends before `file` is
    released.
    """
    stop = threading.Event()
    scanning = asyncio.ensure_future(
        asyncio.to_thread(read_contents, file, settings.bounds, version=version, stop=stop.is_set)
    )
    try:
        return await asyncio.shield(scanning)
    except asyncio.CancelledError:
        stop.set()
        await run_shielded(_ended(scanning))
        raise


async def _ended(scanning: asyncio.Future[Contents]) -> None:
    with contextlib.suppress(Stopped, UnreadableArchive):
        await scanning
