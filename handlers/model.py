"""
The words of csm as data: targets' Agents, findings, verdicts, reports.

Everything here is immutable and crosses a boundary as JSON (the store, `--format json`, files in a
thread), so it is pydantic. The shape of `Report` is a fixed surface: fields may be added, none is
renamed or removed without another `schema`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """The base of every value: immutable, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Platform(StrEnum):
    """How an Agent is reached. A host over SSH is a host."""

    KUBERNETES = "kubernetes"
    DOCKER = "docker"
    HOST = "host"


class Installation(StrEnum):
    """Who set the Agent up, and so which file a remediation must change."""

    HELM = "helm"
    OPERATOR = "operator"
    KUBERNETES = "kubernetes"
    """On Kubernetes, by neither the chart nor the Operator, or not recognisably so."""
    DOCKER = "docker"
    HOST = "host"


class Verdict(StrEnum):
    """What the evidence supports. `unknown` means that it could not be determined."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def badness(self) -> int:
        """Rank for 'worst first': a larger number is worse."""
        return _BADNESS[self]


_BADNESS: Mapping[Verdict, int] = {
    Verdict.SKIPPED: 0,
    Verdict.PASS: 1,
    Verdict.WARN: 2,
    Verdict.UNKNOWN: 3,
    Verdict.FAIL: 4,
}


class Severity(StrEnum):
    """How much a finding matters. Orders findings within one Agent."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def badness(self) -> int:
        """Rank for 'worst first': a larger number is worse."""
        return len(Severity) - list(Severity).index(self)


class Container(Frozen):
    """One container of an Agent, as the platform describes it."""

    name: str
    image: str = ""
    ready: bool = True
    state: str = "running"
    """`running`, or why not: `waiting: CrashLoopBackOff`, `terminated: Error (137)`, `exited (1)`."""
    started_at: datetime | None = None
    """When it was started last, as the platform tells; `None` when it does not."""


class Agent(Frozen):
    """
    One running Datadog Agent of a target: a node's pod, a container, a host.

    `handle` is what its executor needs to find it again (pod name, container id); nobody else reads it.
    """

    target: str
    name: str
    """Unique in its target, and what people type: `target/name`."""
    platform: Platform
    installation: Installation
    containers: tuple[Container, ...] = ()
    """Empty on a host."""
    node: str = ""
    phase: str = "Running"
    """The pod's or container's phase; anything but `Running` means that it cannot be asked."""
    version: str | None = None
    """As `7.70.1`, when the platform tells (an image tag); `None` means that the Agent must be asked."""
    namespace: str = ""
    handle: str = ""

    def container(self, name: str) -> Container | None:
        """The container of that name, or `None`."""
        return next((container for container in self.containers if container.name == name), None)

    def __str__(self) -> str:
        return f"{self.target}/{self.name}"


class Step(Frozen):
    """One thing to do about a finding, as a snippet to copy."""

    platform: str
    """An `Installation`, or `any`."""
    title: str = ""
    language: str
    """For highlighting: `yaml`, `shell`, `text`."""
    snippet: str


class Remediation(Frozen):
    """What to do about a finding code, for one installation and Agent version."""

    summary: str
    steps: tuple[Step, ...] = ()
    docs: tuple[str, ...] = ()


class Finding(Frozen):
    """A coded observation with its evidence."""

    code: str
    """`command.what`, for example `selftest.rule_failed`. Stable: other programs match on it."""
    severity: Severity
    summary: str
    evidence: tuple[str, ...] = ()
    """Lines from the target, already redacted and bounded."""
    remediation: Remediation | None = None


class Invocation(Frozen):
    """One command that was run on an Agent, and why that one."""

    argv: tuple[str, ...]
    container: str | None = None
    why: str = ""
    exit_status: int | None = None
    """`None` when the command did not end by itself."""
    duration_s: float = 0.0


class FlareFile(Frozen):
    """One file of a flare's archive."""

    name: str
    """As the archive has it, stripped and bounded."""
    size: int
    """Bytes, unpacked."""
    sensitive: Mapping[str, int] = {}
    """How many secrets of each kind its text seems to hold; never one of them."""


class FlareReview(Frozen):
    """What a person looks at before an archive may leave: that very archive, named by its hash."""

    path: str
    """Where it lies, in `container`."""
    name: str
    size: int
    """Bytes, packed."""
    sha256: str
    built_at: datetime
    files: tuple[FlareFile, ...]
    """Those that look sensitive first; bounded, see `file_count`."""
    file_count: int
    unpacked: int
    """Bytes of all files, as the archive says."""
    unscanned: tuple[str, ...] = ()
    """`name: why`, for each file whose text was not looked at, or not all of it; bounded."""
    unscanned_count: int = 0
    site: str
    """The Datadog site where it goes; empty where `host` is none of Datadog's, or could not be read."""
    host: str = ""
    """Where the Agent sends it, as `host` or `host:port`; empty where that could not be read."""
    destination_source: str = ""
    """The setting that says so, and where it stands; or why it could not be read. Redacted."""
    case: str = ""
    """Digits; empty for a new case."""
    email: str
    local: bool = False
    """Whether the command built it itself, and not the running Agent: some logs are missing then."""
    warnings: tuple[str, ...] = ()
    """Sentences for whoever decides."""
    argv: tuple[str, ...]
    container: str | None = None
    why: str = ""

    @property
    def foreign_host(self) -> str:
        """The host that is none of Datadog's, which an approval must name; empty where there is none."""
        return "" if self.site else self.host

    @property
    def place(self) -> str:
        """Where it goes, in words: a site, a host, or that it is not known."""
        if self.foreign_host:
            return f"{self.foreign_host}, which is not Datadog's"
        return self.site or "a place that could not be read"

    @property
    def destination(self) -> str:
        """Where it goes and for which case, in words."""
        return f"{self.place}, {f'case {self.case}' if self.case else 'a new case'}"

    @property
    def sensitive(self) -> Mapping[str, int]:
        """How many secrets of each kind the listed files seem to hold, the most first."""
        found: Counter[str] = Counter()
        for file in self.files:
            found.update(file.sensitive)
        return dict(found.most_common())


class FlareOutcome(Frozen):
    """What became of a reviewed archive."""

    kind: Literal["uploaded", "declined", "not_uploaded", "failed", "in_doubt"]
    """
    `not_uploaded`: `y` was never written. `failed`: it was, and nothing arrived for certain: nothing was sent, or it was
    refused. `in_doubt`: `y` was written, or may have been, and what was seen afterwards leaves open whether it arrived.
    """
    case: str = ""
    """The number that Datadog returned, digits."""
    message: str = ""
    """The Agent's or Datadog's words, redacted and bounded."""


class FlareRecord(Frozen):
    """A flare that came to be reviewed, and what became of it."""

    review: FlareReview
    outcome: FlareOutcome


class Table(Frozen):
    """Things that look alike, as a table: on `count` places, some of which are named."""

    title: str
    verdict: Verdict
    places: tuple[str, ...]
    """A few of them."""
    count: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Cells already redacted and bounded."""


class AgentResult(Frozen):
    """What one Agent's examination came to."""

    agent: str
    platform: Platform
    installation: Installation
    node: str = ""
    agent_version: str | None = None
    verdict: Verdict
    reason: str
    """One line, for people."""
    argv: tuple[str, ...] = ()
    """The command that the verdict rests on."""
    container: str | None = None
    why: str = ""
    """Why that command was chosen."""
    duration_s: float = 0.0
    findings: tuple[Finding, ...] = ()
    invocations: tuple[Invocation, ...] = ()
    tables: tuple[Table, ...] = ()
    """What was looked at, the worst first."""
    document: str = ""
    """What the verdict rests on, to be kept and judged again (`handlers.tc.document.packed`); empty where there is none."""
    age_s: float | None = None
    """How old the self-test's result was when it was read, by the node's clock; `None` where there is none."""
    limits: str = ""
    """What the evidence cannot show, in a sentence."""
    hidden_s: float | None = None
    """For how long a break may not show in what the verdict rests on; `None` where nothing is hidden."""
    observations: tuple[str, ...] = ()
    """What else was seen of the Agent, beside the verdict and without a say in it; redacted."""
    reused_from: str | None = None
    """The run whose result this is, when the Agent had been asked less than a minute before."""
    flare: FlareRecord | None = None
    """Of a flare whose archive was reviewed."""


class Report(Frozen):
    """A run's outcome, as people and programs read it: `csm.report/1`."""

    schema_: Literal["csm.report/1"] = Field(default="csm.report/1", alias="schema")
    run: str
    command: str
    target: str
    verdict: Verdict
    reason: str = ""
    """Why the verdict is what it is, where the Agents' own results do not say."""
    remedy: str = ""
    """What to do, when no Agent could be examined."""
    started: datetime
    duration_s: float
    counts: Mapping[Verdict, int]
    agents: tuple[AgentResult, ...]
    requested_by: str = ""
    cancelled_by: str = ""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def to_json(self, *, indent: int | None = 2, documents: bool = False) -> str:
        """The document that `--format json` prints, with `schema` first; the Agents' own documents are files of their own."""
        left_out = None if documents else {"agents": {"__all__": {"document"}}}
        return self.model_dump_json(by_alias=True, indent=indent, exclude=left_out)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """
    The verdict of many. Nothing observed is `unknown`: an empty input, or one where all was skipped.
    """
    found = max(verdicts, key=lambda verdict: verdict.badness, default=Verdict.UNKNOWN)
    return Verdict.UNKNOWN if found is Verdict.SKIPPED else found


def worst_first(results: Iterable[AgentResult]) -> Sequence[AgentResult]:
    """Results in the order in which people want to read them."""
    return sorted(results, key=lambda result: (-result.verdict.badness, result.reason, result.agent))


def count(results: Iterable[AgentResult]) -> Mapping[Verdict, int]:
    """How many results came to each verdict, worst first, without the zeros."""
    found = Counter(result.verdict for result in results)
    return {verdict: found[verdict] for verdict in sorted(found, key=lambda v: -v.badness)}
