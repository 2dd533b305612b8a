"""
Collects the evidence of one Agent's node: sends the collector through the executor, and reads what it prints.

The collector's source goes over stdin, not in the arguments. It has more than 50,000 bytes, and an exec on Kubernetes
carries its arguments in a URL, which cannot be that long. The remote Python reads exactly the source's length, because
version 4 of the exec protocol cannot close stdin.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from handlers.agent.findings import CODES
from handlers.errors import BinaryMissing, ConnectionLost, ExecError, NotReady, Output
from handlers.executors.base import Completed, Executor, Limits, converse
from handlers.executors.cluster import ClusterFacts, KnowsCluster
from handlers.executors.kill import PYTHONS
from handlers.model import Agent, Invocation
from handlers.ports import Clock
from handlers.redaction import clean, clean_lines
from handlers.tc import tools
from handlers.tc.document import UnreadableDocument, read_document
from handlers.tc.evidence import MOST_NAME, Cluster, ClusterDaemonSet, Evidence

CONTAINERS = ("system-probe", "security-agent", "agent", "unprivileged-single-agent")
"""Containers that can run the collector, most privileged first: system-probe may enter namespaces and read eBPF."""
CHUNK = 16 * 1024
LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """Limits of collecting. The collector itself stops after 20 s and prints what it has by then."""

    deadline_s: float = 30.0
    """Seconds, for all commands on one Agent together."""
    max_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Collected:
    """The evidence of one Agent, or the reason why there is none."""

    evidence: Evidence | None = None
    code: str = ""
    """The finding code when there is no evidence: `agent.…`, or `tc.unreadable`."""
    detail: str = ""
    """The detail for the finding's summary, cleaned."""
    said: tuple[str, ...] = ()
    """Evidence lines for the finding, cleaned."""
    invocations: tuple[Invocation, ...] = ()


async def collect(
    agent: Agent, executor: Executor, clock: Clock, *, settings: CollectSettings = CollectSettings()
) -> Collected:
    """Collect the evidence of one Agent's node. Failures are returned in the result; only cancellation is raised."""
    return await _Collecting(agent, executor, clock, settings).collected()


class _Collecting:
    def __init__(self, agent: Agent, executor: Executor, clock: Clock, settings: CollectSettings) -> None:
        self._agent = agent
        self._executor = executor
        self._clock = clock
        self._settings = settings
        self._invocations: list[Invocation] = []
        self._until = clock.monotonic() + settings.deadline_s

    async def collected(self) -> Collected:
        try:
            container = _container(self._agent)
            completed = await self._by_python(container)
            if completed is not None and completed.exit_status == 0:
                return await self._in_cluster(self._read(completed))
            evidence = await tools.collect(functools.partial(self._run, container=container, why=tools.WHY))
            if evidence is None:
                return self._without_tools(completed)
            return await self._in_cluster(self._with(evidence=evidence))
        except ExecError as error:
            return self._cut_short(error)

    async def _by_python(self, container: str | None) -> Completed | None:
        """Run the collector with the first Python that is found. Return `None` when there is no Python."""
        for python in PYTHONS:
            with contextlib.suppress(BinaryMissing):
                return await self._run(collector_argv(python), container=container, why=WHY, stdin=collector_program())
        return None

    async def _run(self, argv: Sequence[str], *, container: str | None, why: str, stdin: bytes = b"") -> Completed:
        """Run one command within the remaining time. Each is recorded as an `Invocation`, also when it fails."""
        left = max(LEAST_S, self._until - self._clock.monotonic())
        limits = Limits(deadline_s=left, max_bytes=self._settings.max_bytes)
        began, status = self._clock.monotonic(), None
        try:
            async with converse(
                self._executor, self._agent, argv, container=container, limits=limits, stdin=bool(stdin)
            ) as conversation:
                # A process that ended before it read all of stdin shows the reason in its output, which `finish` reads.
                with contextlib.suppress(ConnectionLost):
                    for start in range(0, len(stdin), CHUNK):
                        await conversation.write(stdin[start : start + CHUNK])
                status = await conversation.finish()
            return Completed(tuple(argv), status, conversation.output, self._clock.monotonic() - began)
        finally:
            took = round(self._clock.monotonic() - began, 3)
            self._invocations.append(
                Invocation(argv=tuple(argv), container=container, why=why, exit_status=status, duration_s=took)
            )

    async def _in_cluster(self, collected: Collected) -> Collected:
        """Add the cluster's facts, where the executor has a cluster."""
        if collected.evidence is None or not isinstance(self._executor, KnowsCluster):
            return collected
        cluster = seen_of_cluster(await self._executor.cluster_facts())
        return replace(collected, evidence=collected.evidence.model_copy(update={"cluster": cluster}))

    def _read(self, completed: Completed) -> Collected:
        try:
            return self._with(evidence=read_document(completed.output.stdout))
        except UnreadableDocument as fault:
            return self._with(code="tc.unreadable", detail=str(fault), said=_said(completed.output))

    def _without_tools(self, completed: Completed | None) -> Collected:
        if completed is None:
            missing = "neither a Python nor `tc` and `bpftool` are there"
            return self._with(code="agent.binary_missing", detail=missing, said=(f"{missing}.",))
        detail = f"the collector ended with {completed.exit_status}"
        return self._with(code="tc.unreadable", detail=detail, said=_said(completed.output))

    def _cut_short(self, error: ExecError) -> Collected:
        lines = [*clean_lines(str(error)), *_said(error.output)]
        if not error.ended:
            lines.append("The process may still be running there.")
        return self._with(code=CODES[type(error)], detail=clean(str(error), max_chars=200), said=tuple(lines))

    def _with(
        self, *, evidence: Evidence | None = None, code: str = "", detail: str = "", said: Sequence[str] = ()
    ) -> Collected:
        return Collected(evidence, code, detail, tuple(said), tuple(self._invocations))


WHY = "csm's collector comes over its input: it asks the kernel, only reads, and leaves no file behind"


@functools.cache
def collector_program() -> bytes:
    """The collector's source, as it is sent."""
    return files("handlers.tc").joinpath("collector.py").read_bytes()


def collector_argv(python: str) -> tuple[str, ...]:
    """The command that reads the collector from stdin, without waiting for stdin to close, and runs it."""
    program = (
        f"import sys; exec(compile(sys.stdin.buffer.read({len(collector_program())}), 'csm.tc-evidence/1', 'exec'))"
    )
    # -I: isolated from the environment; -S: no site packages; -B: no compiled files are written.
    return (python, "-ISB", "-c", program)


def seen_of_cluster(facts: ClusterFacts) -> Cluster:
    """Convert the cluster's facts to evidence: bounded, cleaned, and only those Cilium settings that `tc` uses."""
    sets = [
        ClusterDaemonSet(name=_short(each.name), images=tuple(map(_short, each.images[:MOST_IMAGES])))
        for each in (facts.daemon_sets or ())[:MOST_DAEMON_SETS]
    ]
    cilium = {key: _short(facts.cilium[key]) for key in CILIUM_KEYS if key in facts.cilium} if facts.cilium else {}
    return Cluster(
        namespace=_short(facts.namespace),
        daemon_sets=None if facts.daemon_sets is None else tuple(sets),
        cilium=None if facts.cilium is None else cilium,
        unseen=tuple(clean(each, max_chars=300) for each in facts.unseen),
    )


MOST_DAEMON_SETS, MOST_IMAGES = 200, 10
CILIUM_KEYS = (
    "enable-tcx",
    "bpf-filter-priority",
    "datapath-mode",
    "routing-mode",
    "enable-endpoint-routes",
    "enable-host-firewall",
    "kube-proxy-replacement",
    "devices",
)


def _short(words: str) -> str:
    return " ".join(clean(words[:MOST_NAME], max_chars=MOST_NAME - 40).split())


def _container(agent: Agent) -> str | None:
    """Return the most privileged running container of `CONTAINERS`. Raises `NotReady` when none of them runs."""
    if not any(agent.container(name) for name in CONTAINERS):
        return None  # a host, or a container that is the Agent
    there = [container for name in CONTAINERS if (container := agent.container(name))]
    for container in there:
        if container.ready or container.state.startswith("running"):
            return container.name
    raise NotReady(f"{there[0].name} is {there[0].state}")


def _said(output: Output) -> tuple[str, ...]:
    """The end of stderr (at most 5 lines) and the start of stdout (at most 3 lines), cleaned."""
    return (*clean_lines(output.stderr[-2000:], max_lines=5), *clean_lines(output.stdout[:2000], max_lines=3))
