"""Many flares at once in one process, large archives, and Agents that print whatever they like."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import time
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.runtime.clock import SystemClock
from bot.runtime.temp_files import TemporaryFiles
from bot.sandbox.agent import Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.agent.flare_output import CONFIRMATION, Question, read_question
from handlers.errors import BinaryMissing
from handlers.executors.base import Session, Stream
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.flare import FlareFailed, FlareSettings, hold
from handlers.model import Agent, AgentResult, Installation, Platform, Verdict
from tests.handlers.flare.flares import POD, QUICK, REQUEST, one_agent

MIB = 1024 * 1024


async def test_a_hundred_flares_wait_at_once_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    patient = dataclasses.replace(QUICK, build_deadline_s=90, read_deadline_s=60, hash_deadline_s=60)
    pods = [Pod(f"datadog-{number:03}", f"node-{number:03}", Behaviour("7.78.0")) for number in range(100)]
    everybody, places = asyncio.Barrier(len(pods)), TemporaryFiles()
    async with KubernetesApi(pods) as api:
        executor = KubernetesExecutor("c", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "k")))

        async def flare(number: int, agent: Agent) -> AgentResult:
            async with hold(agent, executor, SystemClock(), places, REQUEST, settings=patient) as held:
                await everybody.wait()
                return await (held.approve() if number % 2 else held.decline("Declined."))

        agents = await executor.agents()
        results = await asyncio.gather(*(flare(number, agent) for number, agent in enumerate(agents)))
        await executor.aclose()
        uploads = [[entry["sha256"] for entry in api.ledger(pod.name) if entry["event"] == "uploaded"] for pod in pods]

    for number, (result, uploaded) in enumerate(zip(results, uploads, strict=True)):
        assert result.flare is not None
        assert result.verdict is (Verdict.PASS if number % 2 else Verdict.SKIPPED)
        assert uploaded == ([result.flare.review.sha256] if number % 2 else [])


async def test_a_large_archive_is_reviewed_without_its_bytes_in_memory(tmp_path: Path) -> None:
    """The stand-in's own archive is replaced by one of 60 MiB of noise before it is read."""
    async with one_agent(tmp_path) as agent:
        noise = io.BytesIO()
        with zipfile.ZipFile(noise, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("node-1/core", bytes(64) + b"\xff" * (60 * MIB))
        agent.settings = FlareSettings()
        found = await agent.become(Behaviour())
        executor = _Replacing(agent.executor, agent.api.tmp(POD), noise.getvalue())
        tracemalloc.start()
        try:
            async with hold(found, executor, SystemClock(), TemporaryFiles(), REQUEST) as held:
                _, peak = tracemalloc.get_traced_memory()
                assert held.review.size > 60 * MIB
                assert held.review.unscanned == ("node-1/core: binary",)
                assert (await held.approve()).verdict is Verdict.PASS
        finally:
            tracemalloc.stop()

    assert peak < 40 * MIB
    assert agent.settings.archive_max_bytes >= 200 * MIB


@dataclasses.dataclass
class _Replacing:
    """An executor that replaces the archive as soon as it is asked for."""

    executor: KubernetesExecutor
    folder: Path
    data: bytes
    platform: Platform = Platform.KUBERNETES

    async def agents(self) -> Sequence[Agent]:
        return await self.executor.agents()

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        if argv[0] == "cat":
            await asyncio.to_thread(Path(argv[1]).write_bytes, self.data)
        async with self.executor.open(agent, argv, container=container, stdin=stdin) as session:
            yield session

    async def aclose(self) -> None:
        await self.executor.aclose()


# -- Agents that print whatever they like -------------------------------------------------------------------------

PATH = "/tmp/datadog-agent-2024-05-02T10-11-12Z-info.zip"
PATH_LINE = f"{PATH} is going to be uploaded to Datadog"
ONE_AGENT = Agent(target="t", name="a", platform=Platform.HOST, installation=Installation.HOST, version="7.78.0")


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.log", "text\n")
    return buffer.getvalue()


class Talker:
    """An Agent whose flare prints given chunks, before and after its question, and notes what it is answered."""

    platform = Platform.HOST
    archive = _archive()

    def __init__(self, chunks: Sequence[bytes], *, ends: bool) -> None:
        self._chunks = chunks
        self._ends = ends
        self.afterwards = b""
        """What its flare prints once it was answered."""
        self.answers: list[bytes] = []

    async def agents(self) -> Sequence[Agent]:
        return [ONE_AGENT]

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        del agent, container, stdin
        if argv[0] == "cat":
            yield _Said([self.archive], self)
        elif argv[0] == "sha256sum":
            yield _Said([f"{hashlib.sha256(self.archive).hexdigest()}  {argv[1]}\n".encode()], self)
        else:
            yield _Said(self._chunks, self, waits=not self._ends)

    async def aclose(self) -> None:
        pass


class _Said:
    def __init__(
        self, chunks: Sequence[bytes], talker: Talker, *, waits: bool = False, stderr: bytes = b"", status: int = 0
    ) -> None:
        self._stderr = stderr
        self._status = status
        self._chunks = [chunk for chunk in chunks if chunk]
        self._talker = talker
        self._over = asyncio.Event()
        if not waits:
            self._over.set()

    async def read(self) -> tuple[Stream, bytes] | None:
        if self._chunks:
            await asyncio.sleep(0)
            return Stream.STDOUT, self._chunks.pop(0)
        if self._stderr:
            said, self._stderr = self._stderr, b""
            return Stream.STDERR, said
        await self._over.wait()
        return (Stream.STDOUT, self._chunks.pop(0)) if self._chunks else None

    async def write(self, data: bytes) -> None:
        self._talker.answers.append(data)
        self._chunks += [self._talker.afterwards] if self._talker.afterwards else []
        self._over.set()

    async def close_stdin(self) -> None:
        self._over.set()

    async def exit_status(self) -> int:
        return self._status

    async def end(self, grace_s: float) -> bool:
        del grace_s
        self._over.set()
        return True


class Handless(Talker):
    """An Agent whose image can neither hash with a program nor with a Python."""

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        if argv[0] != "cat" and not stdin:
            raise BinaryMissing(f"{argv[0]} does not exist")
        async with super().open(agent, argv, container=container, stdin=stdin) as session:
            yield session


async def test_an_archive_that_nothing_can_hash_there_is_not_offered() -> None:
    talker = Handless([f"{PATH_LINE}\n{CONFIRMATION}\n".encode()], ends=False)
    with pytest.raises(FlareFailed) as caught:
        async with hold(ONE_AGENT, talker, SystemClock(), TemporaryFiles(), REQUEST, settings=QUICK):
            pass

    assert caught.value.result.findings[0].code == "flare.no_hash"
    assert talker.answers == [b"n\n"]


class Awkward(Talker):
    """An Agent whose archive cannot be had: what `cat` says, or how the hashes that are asked for come out."""

    def __init__(self, *, cat: bytes = b"", hashes: Sequence[str] = ()) -> None:
        said = f"{PATH_LINE}\n{CONFIRMATION}\n".encode()
        super().__init__([said], ends=False)
        self._cat = cat
        self._hashes = list(hashes)

    @contextlib.asynccontextmanager
    async def open(
        self, agent: Agent, argv: Sequence[str], *, container: str | None = None, stdin: bool = False
    ) -> AsyncIterator[Session]:
        if argv[0] == "cat" and self._cat:
            yield _Said([], self, stderr=self._cat, status=1)
        elif argv[0] == "sha256sum" and self._hashes and (found := self._hashes.pop(0)) != "right":
            yield _Said(
                [found.encode()], self, stderr=b"sha256sum: Permission denied", status=0 if len(found) == 64 else 1
            )
        else:
            async with super().open(agent, argv, container=container, stdin=stdin) as session:
                yield session


@pytest.mark.parametrize(
    ("agent", "code"),
    [
        (Awkward(cat=b"cat: /tmp/x.zip: Permission denied"), "flare.archive_denied"),
        (Awkward(cat=b"cat: /tmp/x.zip: No such file or directory"), "flare.archive_missing"),
        (Awkward(cat=b"cat: read error: Input/output error"), "flare.archive_lost"),
        (Awkward(hashes=["0" * 64]), "flare.archive_unsteady"),
        (Awkward(hashes=["no hash"]), "flare.archive_denied"),
    ],
)
async def test_an_archive_that_cannot_be_had_is_not_offered(agent: Awkward, code: str) -> None:
    with pytest.raises(FlareFailed) as caught:
        async with hold(ONE_AGENT, agent, SystemClock(), TemporaryFiles(), REQUEST, settings=QUICK):
            pass

    assert caught.value.result.findings[0].code == code
    assert agent.answers == [b"n\n"]


async def test_an_archive_that_cannot_be_hashed_after_its_upload_is_remarked() -> None:
    agent = Awkward(hashes=["right", "right", "no hash"])
    agent.afterwards = b"Your logs were successfully uploaded. For future reference, your internal case id is 7\n"
    async with hold(ONE_AGENT, agent, SystemClock(), TemporaryFiles(), REQUEST, settings=QUICK) as held:
        result = await held.approve()

    assert [finding.code for finding in result.findings] == ["flare.not_rechecked_after"]
    assert (result.verdict, result.reason) == (Verdict.WARN, "The archive was uploaded, as case 7.")
    assert agent.answers == [b"y\n"]


async def test_an_agent_without_a_container_for_it_is_not_asked() -> None:
    bare = ONE_AGENT.model_copy(update={"platform": Platform.KUBERNETES})
    with pytest.raises(FlareFailed) as caught:
        async with hold(bare, Talker([], ends=True), SystemClock(), TemporaryFiles(), REQUEST, settings=QUICK):
            pass

    assert caught.value.result.findings[0].code == "flare.no_command"


LINES = st.sampled_from([
    f"{PATH_LINE}\n", f"{CONFIRMATION}\n", CONFIRMATION, PATH_LINE, "\n", "Asking the agent to build the flare archive.\n", "Really? [y/N]\n",
    "Please enter your email: \n", "\x1b[33m", "\r\n", "y\n",
])  # fmt: skip
CHUNKS = st.lists(st.one_of(LINES.map(str.encode), st.binary(max_size=20)), max_size=8)


@settings(deadline=None, max_examples=200)
@given(chunks=CHUNKS, ends=st.booleans())
@example(chunks=[f"{PATH_LINE}\n{CONFIRMATION}\n".encode()], ends=False)
@example(chunks=[f"{PATH_LINE}\n{CONFIRMATION}\n".encode(), b"Really? [y/N]\n"], ends=False)
def test_whatever_an_agent_prints_y_follows_only_the_known_question(chunks: list[bytes], *, ends: bool) -> None:
    asyncio.run(_approved(chunks, ends=ends))


async def _approved(chunks: list[bytes], *, ends: bool) -> None:
    talker, quick = (
        Talker(chunks, ends=ends),
        dataclasses.replace(QUICK, build_deadline_s=0.05, decline_deadline_s=0.05),
    )
    try:
        async with hold(ONE_AGENT, talker, SystemClock(), TemporaryFiles(), REQUEST, settings=quick) as held:
            await asyncio.sleep(0.01)
            result = await held.approve()
    except FlareFailed:
        assert b"y\n" not in talker.answers
        return
    assert result.flare is not None
    if chunks == [f"{PATH_LINE}\n{CONFIRMATION}\n".encode()] and not ends:
        assert talker.answers == [b"y\n"]
    if b"y\n" in talker.answers:
        assert talker.answers == [b"y\n"]
        assert isinstance(read_question(b"".join(chunks).rstrip() + b"\n"), Question)
        assert not ends
    else:
        assert result.flare.outcome.kind == "not_uploaded"


async def test_from_approval_to_y_takes_less_than_a_moment(tmp_path: Path) -> None:
    """The time that csm itself takes, over the stand-in cluster; `make bench` measures the whole way."""
    async with one_agent(tmp_path) as agent, agent.held(Behaviour()) as held:
        began = time.time()
        await held.approve()
        (answered,) = [entry for entry in agent.api.ledger(POD) if entry["event"] == "answered"]

    assert answered["at"] - began < 1.0, "150 ms on a machine that is idle"
