"""Build and review the archive of a flare, up to the Agent's question whether to upload it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath

from handlers import version as versions
from handlers.agent.commands import AgentCommand, version_command
from handlers.agent.findings import CODES
from handlers.agent.flare_commands import flare_commands, locally
from handlers.agent.flare_output import QUESTION, Question, Trouble, read_early_end, read_question
from handlers.errors import DeadlineExceeded, ExecError
from handlers.executors.base import Executor, InteractiveExec, Limits, converse, run
from handlers.flare.archive import Archive, ArchiveTrouble
from handlers.flare.history import FlareHistory
from handlers.flare.request import FlareRequest, FlareSettings
from handlers.flare.waiting import Waiting, waiting
from handlers.model import Agent, Finding, FlareReview
from handlers.ports import Clock, TemporarySpace
from handlers.redaction import clean

_LOCAL = "flare.local"
_ANOTHER_COMMAND_MAY_DO = {
    "agent.binary_missing",
    "agent.container_not_ready",
    "flare.archive_missing",
    "flare.other_container",
    "flare.unknown_command",
    _LOCAL,
}
"""Findings after which certainly nothing was uploaded and the next command may succeed."""


class Building:
    """Builds and reviews one flare, until it can be decided on."""

    def __init__(
        self,
        agent: Agent,
        executor: Executor,
        clock: Clock,
        scratch: TemporarySpace,
        request: FlareRequest,
        *,
        settings: FlareSettings,
        on_step: Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._executor = executor
        self._clock = clock
        self._scratch = scratch
        self._request = request
        self._settings = settings
        self._on_step = on_step
        self._tried_in_full: set[AgentCommand] = set()
        self.account = FlareHistory(agent, clock, clock.monotonic(), versions.from_tag(agent.version or ""))

    async def begin(self, stack: contextlib.AsyncExitStack) -> tuple[Waiting, Archive, FlareReview]:
        """
        Build and review an archive; `stack` then holds the process that waits for the answer.

        Raises `FlareFailed`; then nothing was uploaded unless its `in_doubt` is true.
        """
        if self._agent.phase != "Running":
            raise self.account.failed(self.account.finding("agent.not_running", self._agent.phase))
        if self.account.version is None:
            await self._ask_version()
        choices = list(flare_commands(self._agent, self.account.version, self._request.case, self._request.email))
        if not choices:
            names = ", ".join(container.name for container in self._agent.containers)
            raise self.account.failed(self.account.finding("flare.no_command", evidence=[f"containers: {names}"]))
        while True:
            choice = choices.pop(0)
            try:
                return await stack.enter_async_context(self._attempt(choice))
            except _Stopped as stopped:
                code = stopped.finding.code
                if code == "flare.other_container" and (local := locally(choice)):
                    choices.insert(0, local)
                if code == _LOCAL:  # tried again last, should the other commands fail: better than no archive
                    choices.append(choice)
                    self._tried_in_full.add(choice)
                if not choices or code not in _ANOTHER_COMMAND_MAY_DO:
                    raise self.account.failed(stopped.finding) from stopped

    @contextlib.asynccontextmanager
    async def _attempt(self, choice: AgentCommand) -> AsyncIterator[tuple[Waiting, Archive, FlareReview]]:
        """
        Run one command and hold it with its reviewed archive; leaving the block ends it. Raises `_Stopped` when the
        command does not get that far.
        """
        self.account.choice = choice
        container = self._agent.container(choice.container) if choice.container else None
        if container is not None and not container.ready:
            raise _Stopped(self.account.finding("agent.container_not_ready", f"{container.name} is {container.state}"))
        settings, process = self._settings, None
        total = settings.build_deadline_s + settings.hold_s + settings.upload_deadline_s
        limits = Limits(deadline_s=total, max_bytes=settings.output_bytes)
        self._on_step(f"{PurePosixPath(choice.argv[0]).name} builds the archive")
        self.account.begun(choice)
        try:
            async with converse(
                self._executor, self._agent, choice.argv, container=choice.container, limits=limits
            ) as talk:
                question = await self._question(talk)
                if question.local and self._may_do_better(choice):
                    raise _Stopped(self._finding(_LOCAL, talk))
                async with waiting(talk) as asking:
                    reviewed = await self._reviewed(choice, question)
                    process = asking
                    yield process, *reviewed
        except ExecError as error:
            if process is None:
                raise _Stopped(self._cut_short(error)) from error
            if not isinstance(error, DeadlineExceeded):
                raise
            code = "flare.upload_timeout" if process.answer == b"y" else "flare.held_too_long"
            raise self.account.failed(self.account.finding(code, evidence=str(error))) from error

    def _may_do_better(self, choice: AgentCommand) -> bool:
        """
        Whether another command may build a full archive.

        Outside Kubernetes, only running the command shows whether a security-agent runs.
        """
        is_security_agent = choice.argv[0].endswith("security-agent")
        return is_security_agent and choice.container is None and choice not in self._tried_in_full

    async def _question(self, talk: InteractiveExec) -> Question:
        """Read until the known question. Raises `_Stopped` for anything else."""
        try:
            async with asyncio.timeout(self._settings.build_deadline_s):
                asked = await talk.expect(QUESTION)
                status = None if asked else await talk.finish()
        except TimeoutError:
            raise _Stopped(self._finding("flare.build_timeout", talk)) from None
        output = talk.output
        if status is not None:
            self.account.ended(status)
            found: Question | Trouble | None = read_early_end(output.stdout, output.stderr, status)
        else:
            found = read_question(output.stdout)
        if isinstance(found, Question):
            return found
        code = found.code if found else "flare.unexpected_prompt"
        raise _Stopped(self._finding(code, talk, found.words.splitlines()[-1] if found and found.words else ""))

    async def _reviewed(self, choice: AgentCommand, question: Question) -> tuple[Archive, FlareReview]:
        """Read the archive and build its review."""
        self._on_step("csm reads the archive")
        self.account.archive = question.path
        archive = Archive(self._executor, self._agent, choice.container, question.path, self._settings)
        try:
            look = await archive.look(self._scratch, self.account.version)
        except ArchiveTrouble as trouble:
            evidence = [f"archive: {clean(question.path, max_chars=300)}"]
            evidence += clean(trouble.evidence, max_chars=500).splitlines()
            raise _Stopped(self.account.finding(trouble.code, trouble.detail, evidence)) from trouble
        contents, destination = look.contents, look.contents.destination
        return archive, FlareReview(
            path=question.path,
            name=PurePosixPath(question.path).name,
            size=look.size,
            sha256=look.sha256,
            built_at=self._clock.now(),
            files=contents.files,
            file_count=contents.file_count,
            unpacked=contents.unpacked,
            unscanned=contents.unscanned,
            unscanned_count=contents.unscanned_count,
            site=destination.site,
            host=destination.host,
            destination_source=destination.source,
            case=self._request.case,
            email=self._request.email,
            local=question.local,
            warnings=(*destination.warnings, *_local_warning(question), *contents.warnings),
            argv=choice.argv,
            container=choice.container,
            why=choice.why,
        )

    async def _ask_version(self) -> None:
        """Read the Agent's version. If that fails, it stays unknown, and rules out no command."""
        choice = version_command(self._agent)
        if choice.container is not None and not self._agent.container(choice.container):
            return
        limits = Limits(deadline_s=30.0, max_bytes=64 * 1024)
        try:
            done = await run(self._executor, self._agent, choice.argv, container=choice.container, limits=limits)
        except ExecError:
            return
        self.account.version = versions.from_output(clean(done.output.stdout))

    def _finding(self, code: str, talk: InteractiveExec, detail: str = "") -> Finding:
        output = talk.output
        said = output.stdout[-4000:] + (b"\n" if output.stdout and output.stderr else b"") + output.stderr[-4000:]
        return self.account.finding(code, detail, said)

    def _cut_short(self, error: ExecError) -> Finding:
        code = "flare.build_timeout" if isinstance(error, DeadlineExceeded) else CODES[type(error)]
        said = [
            str(error),
            *clean(error.output.stdout[-2000:]).splitlines()[-5:],
            *clean(error.output.stderr[-2000:]).splitlines()[-5:],
        ]
        if not error.ended:
            said.append("The process may still be there. It was not answered, so it uploads nothing.")
        return self.account.finding(code, str(error), [line for line in map(clean, said) if line.strip()])


class _Stopped(Exception):
    """This command did not get to a question about a reviewed archive. `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


def _local_warning(question: Question) -> tuple[str, ...]:
    if not question.local:
        return ()
    reason = clean(question.local_reason, max_chars=300)
    return (f"The command built the archive itself, so some logs are missing. {reason}".strip(),)
