"""
Data model of csm: Agents, findings, verdicts, results, flare reviews and reports.

All models are immutable and are stored or printed as JSON (the database, `--format json`, files in a thread), so they
are pydantic models. The shape of `Report` is public and fixed: fields may be added; a field is renamed or removed only
with another `schema`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Base class of all models: immutable; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Platform(StrEnum):
    """How csm reaches an Agent. `host` is the host that csm runs on, or a host over SSH."""

    KUBERNETES = "kubernetes"
    DOCKER = "docker"
    HOST = "host"


class Installation(StrEnum):
    """How the Agent was installed. Decides which file a remediation must change."""

    HELM = "helm"
    OPERATOR = "operator"
    KUBERNETES = "kubernetes"
    """On Kubernetes, installed neither by the Helm chart nor by the Operator, or not recognisably so."""
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
    """When it last started, according to the platform; `None` when the platform does not say."""


class Agent(Frozen):
    """
    One running Datadog Agent of a target: a node's pod, a container, a host.

    `handle` is what its executor needs to find it again (pod name, container id).
    """

    target: str
    name: str
    """Unique in its target. People type `target/name`."""
    platform: Platform
    installation: Installation
    containers: tuple[Container, ...] = ()
    """Empty on a host."""
    node: str = ""
    phase: str = "Running"
    """The pod's or container's phase. With any other value than `Running`, it cannot run commands."""
    version: str | None = None
    """
    For example `7.70.1`, when the platform tells it (an image tag); `None` when only the Agent itself can tell it.
    """
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
    """One command that ran on an Agent, and why it was chosen."""

    argv: tuple[str, ...]
    container: str | None = None
    why: str = ""
    exit_status: int | None = None
    """`None` when the command did not end by itself."""
    duration_s: float = 0.0


class FlareFile(Frozen):
    """One file of a flare's archive."""

    name: str
    """Its name in the archive, without control characters, shortened."""
    size: int
    """Bytes, unpacked."""
    sensitive: Mapping[str, int] = {}
    """Number of suspected secrets in its text, by kind. Never a secret itself."""


class FlareReview(Frozen):
    """What a person reviews before an archive may be uploaded. `sha256` identifies the archive."""

    path: str
    """Path of the archive in `container`."""
    name: str
    size: int
    """Bytes, packed."""
    sha256: str
    built_at: datetime
    files: tuple[FlareFile, ...]
    """Files with suspected secrets first. Bounded; `file_count` is the number of all files."""
    file_count: int
    unpacked: int
    """Bytes of all files unpacked, according to the archive."""
    unscanned: tuple[str, ...] = ()
    """`name: why`, for each file whose text was not scanned, or not completely; bounded."""
    unscanned_count: int = 0
    site: str
    """The Datadog site that receives it; empty where `host` is not Datadog's, or could not be read."""
    host: str = ""
    """Where the Agent sends it, as `host` or `host:port`; empty when that could not be read."""
    destination_source: str = ""
    """The setting that names the destination, and its file; or why it could not be read. Redacted."""
    case: str = ""
    """Digits; empty for a new case."""
    email: str
    local: bool = False
    """Whether the command built the archive itself, without the running Agent. Then some logs are missing."""
    warnings: tuple[str, ...] = ()
    """Sentences for the person who decides."""
    argv: tuple[str, ...]
    container: str | None = None
    why: str = ""

    @property
    def foreign_host(self) -> str:
        """The destination host if it is not Datadog's; else empty. An approval must name it."""
        return "" if self.site else self.host

    @property
    def place(self) -> str:
        """The destination in words: a site, a host that is not Datadog's, or that it could not be read."""
        if self.foreign_host:
            return f"{self.foreign_host}, which is not Datadog's"
        return self.site or "a place that could not be read"

    @property
    def destination(self) -> str:
        """The destination and the case, in words."""
        return f"{self.place}, {f'case {self.case}' if self.case else 'a new case'}"

    @property
    def sensitive(self) -> Mapping[str, int]:
        """Number of suspected secrets in the listed files, by kind, most frequent first."""
        found: Counter[str] = Counter()
        for file in self.files:
            found.update(file.sensitive)
        return dict(found.most_common())


class FlareOutcome(Frozen):
    """The outcome of a reviewed archive."""

    kind: Literal["uploaded", "declined", "not_uploaded", "failed", "in_doubt"]
    """
    `not_uploaded`: `y` was never written. `failed`: `y` was written, and certainly nothing arrived: nothing was sent,
    or it was refused. `in_doubt`: `y` was written, or may have been, or the Agent claims an upload without it; the
    output leaves open whether the archive arrived.
    """
    case: str = ""
    """The case number that Datadog returned, digits."""
    message: str = ""
    """The message of the Agent or of Datadog, redacted and bounded."""


class FlareRecord(Frozen):
    """A flare whose archive was reviewed, and its outcome."""

    review: FlareReview
    outcome: FlareOutcome


class Table(Frozen):
    """A table for a group of devices that look alike: `count` of them, some named in `places`."""

    title: str
    verdict: Verdict
    places: tuple[str, ...]
    """The names of a few of them."""
    count: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Cells already redacted and bounded."""


class AgentResult(Frozen):
    """The result of a check or a flare on one Agent."""

    agent: str
    platform: Platform
    installation: Installation
    node: str = ""
    agent_version: str | None = None
    verdict: Verdict
    reason: str
    """One line, for people."""
    argv: tuple[str, ...] = ()
    """The command that the verdict is based on."""
    container: str | None = None
    why: str = ""
    """Why that command was chosen."""
    duration_s: float = 0.0
    findings: tuple[Finding, ...] = ()
    invocations: tuple[Invocation, ...] = ()
    tables: tuple[Table, ...] = ()
    """What was inspected, worst first."""
    document: str = ""
    """
    The evidence for the verdict, to store and judge again (`handlers.tc.document.packed`); empty where there is none.
    """
    age_s: float | None = None
    """
    Age in seconds of the self-test's result when it was read, by the node's clock; `None` where there is no result.
    """
    limits: str = ""
    """What the evidence cannot show, in a sentence or two."""
    hidden_s: float | None = None
    """For how many seconds a failure may not show in the evidence; `None` when the evidence hides nothing."""
    observations: tuple[str, ...] = ()
    """Further facts seen on the Agent, which do not affect the verdict; redacted."""
    reused_from: str | None = None
    """The run whose result is reused, when the Agent was checked less than a minute before."""
    flare: FlareRecord | None = None
    """The review and its outcome, for a flare whose archive was reviewed."""


class Report(Frozen):
    """A run's outcome, for people and programs: `csm.report/1`."""

    schema_: Literal["csm.report/1"] = Field(default="csm.report/1", alias="schema")
    run: str
    command: str
    target: str
    verdict: Verdict
    reason: str = ""
    """The reason for the verdict, where the Agents' own results do not show it."""
    remedy: str = ""
    """What to do when no Agent could be checked."""
    started: datetime
    duration_s: float
    counts: Mapping[Verdict, int]
    agents: tuple[AgentResult, ...]
    requested_by: str = ""
    cancelled_by: str = ""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def to_json(self, *, indent: int | None = 2, documents: bool = False) -> str:
        """
        The JSON document that `--format json` prints, with `schema` first. The Agents' own `document` fields are left
        out unless `documents` is set, because they are separate files.
        """
        left_out = None if documents else {"agents": {"__all__": {"document"}}}
        return self.model_dump_json(by_alias=True, indent=indent, exclude=left_out)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst verdict. `unknown` when nothing was observed: for an empty input, or one where all were skipped."""
    found = max(verdicts, key=lambda verdict: verdict.badness, default=Verdict.UNKNOWN)
    return Verdict.UNKNOWN if found is Verdict.SKIPPED else found


def worst_first(results: Iterable[AgentResult]) -> Sequence[AgentResult]:
    """Results sorted by verdict, worst first, then by reason and Agent."""
    return sorted(results, key=lambda result: (-result.verdict.badness, result.reason, result.agent))


def count(results: Iterable[AgentResult]) -> Mapping[Verdict, int]:
    """The number of results per verdict, worst verdict first, without zeros."""
    found = Counter(result.verdict for result in results)
    return {verdict: found[verdict] for verdict in sorted(found, key=lambda v: -v.badness)}
