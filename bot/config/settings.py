"""
The configuration: one YAML file and, for secrets, the environment.

A faulty file is refused with every fault at once, each with its line and the nearest valid key. The errors of
pydantic are mapped to lines of the file (`bot.config.yaml_lines`).
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.access.policy import Approvers, Rule
from bot.config.yaml_lines import LocatedYaml, read
from handlers.errors import ConfigurationError
from handlers.executors.settings import DockerSettings, HostSettings, KubernetesSettings, SshSettings
from handlers.redaction import clean

MOST_BYTES = 1024 * 1024
SLACK_API_URL = "https://slack.com/api/"
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,8})h)?(?:(\d{1,8})m)?(?:(\d{1,8})s)?")
_SECRET = re.compile(r"\bxox[a-z]-|\bxapp-|\bxoxe")


def _duration(value: Any) -> Any:
    """Parse a duration: `90s`, `30m`, `1h30m`, `90d`; a plain number is seconds."""
    if isinstance(value, str) and value and (match := _DURATION.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return timedelta(seconds=value)
    raise ValueError("must be a duration such as 90s, 30m, 1h30m or 90d")


def _some_time(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("must be a second or more")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
SomeTime = Annotated[Duration, AfterValidator(_some_time)]
_CHANNEL = re.compile(r"\*|[CGD][A-Z0-9]{2,}")
_WHO = re.compile(r"\*|[UW][A-Z0-9]{2,}|S[A-Z0-9]{2,}|@[a-z0-9._-]+")


def _people(who: tuple[str, ...]) -> tuple[str, ...]:
    for each in who:
        if not _WHO.fullmatch(each):
            raise ValueError(f"{each!r} is no user id (U…), user group (@handle or S…) or *; names are no identity")
    return who


class Strict(BaseModel):
    """Base class of settings: immutable, and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetSettings(Strict):
    """One target: exactly one of `kubernetes`, `docker`, `host` and `ssh`."""

    kubernetes: KubernetesSettings | None = None
    """A Kubernetes cluster, reached through its API server."""
    docker: DockerSettings | None = None
    """A Docker engine."""
    host: HostSettings | None = None
    """The host that csm runs on."""
    ssh: SshSettings | None = None
    """A host over SSH."""

    @model_validator(mode="after")
    def _exactly_one(self) -> TargetSettings:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must be exactly one of kubernetes, docker, host, ssh; it is {' and '.join(given) or 'none of them'}"
            )
        return self


class RuleSettings(Strict):
    """One rule of the policy."""

    who: tuple[str, ...] = Field(min_length=1)
    """User ids (`U…`), user groups (`@handle`, or `S…`), or `*`: every member of the workspace except guests."""
    may: tuple[Literal["selftest", "flare", "tc", "*"], ...] = Field(min_length=1)
    """Commands that the rule allows, or `*` for all commands."""
    on: tuple[str, ...] = Field(min_length=1)
    """Names of targets; `*` and `?` are wildcards."""
    in_: tuple[str, ...] = Field(alias="in", min_length=1)
    """Ids of channels (`C…`), or `*` for all channels."""

    @field_validator("who")
    @classmethod
    def _people(cls, who: tuple[str, ...]) -> tuple[str, ...]:
        return _people(who)

    @field_validator("in_")
    @classmethod
    def _channels(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        for each in channels:
            if not _CHANNEL.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no channel id (C…); a channel's name can change hands, its id is in its details in Slack"
                )
        return channels


class FlareApproval(Strict):
    """Who may approve the upload of a flare, and for how long."""

    by: tuple[str, ...] = ()
    """User ids and user groups, as in a rule's `who`. When empty, nobody may approve, and no flare is ever uploaded."""
    four_eyes: bool = True
    """Whether the requester of a flare is not allowed to approve it, so that a second person must."""
    expires: SomeTime = timedelta(minutes=30)
    """How long a flare may be approved. Counted from the request, so the time to build the archive is included."""
    keep_copy: bool = False
    """
    Whether csm posts the archive itself in the thread after the upload.

    Everyone who can read the thread can then read everything in the archive. The copy is read before the upload, and is
    at most 64 MiB.
    """

    @field_validator("by")
    @classmethod
    def _people(cls, by: tuple[str, ...]) -> tuple[str, ...]:
        return _people(by)


class ApprovalSettings(Strict):
    """Settings of approvals, by command."""

    flare: FlareApproval = FlareApproval()
    """Approval of the archive that a flare would upload."""


class Limits(Strict):
    """Concurrency limits and time limits. A waiting exec costs almost nothing, so the defaults are generous."""

    per_target: int = Field(default=1000, ge=1)
    """How many Agents of one target are checked at the same time, over all runs."""
    overall: int = Field(default=2000, ge=1)
    """How many Agents of all targets together are checked at the same time."""
    min_interval: Duration = timedelta(seconds=60)
    """How long the result of a self-test that csm triggered (Agents before 7.65) is reused instead of a new one."""
    selftest_deadline: SomeTime = timedelta(seconds=60)
    """Time limit for the self-test of one Agent."""
    status_deadline: SomeTime = timedelta(seconds=30)
    """Time limit for the status of one Agent."""
    tc_deadline: SomeTime = timedelta(seconds=30)
    """Time limit for collecting the evidence of one node."""


class Retention(Strict):
    """How long csm keeps data, from the end of the run. `null` keeps it for ever. The audit is always kept for ever."""

    runs: Duration | None = timedelta(days=90)
    """Runs in the database, with results, reports and posts. Slack's own retention applies to the messages."""
    evidence: Duration | None = timedelta(days=30)
    """Lines that Agents printed, in the database. Verdicts, reasons and finding codes are kept as long as the run."""
    files: Duration | None = None
    """Files that csm posted in Slack; the running bot deletes them there. `null`: only Slack's own retention."""

    @model_validator(mode="after")
    def _files_are_known_as_long_as_their_run(self) -> Retention:
        if self.files is not None and self.runs is not None and self.files > self.runs:
            raise ValueError("files cannot be kept for longer than runs: csm would not know any more which they are")
        return self


class SlackSettings(Strict):
    """How Slack's requests reach the bot."""

    transport: Literal["socket", "http"] = "socket"
    """`socket`: csm opens a websocket to Slack. `http`: Slack sends signed requests to `/slack/events`."""
    command: str = Field(default="/csm", pattern=r"^/[a-z0-9_-]{1,31}$")
    """The slash command, as it is named in the app's manifest."""
    host: str = "127.0.0.1"
    """The address to listen on, for `http`."""
    port: int = Field(default=3000, ge=0, le=65535)
    """The port to listen on, for `http`; 0 takes a free one."""


class HealthSettings(Strict):
    """Where `/livez`, `/readyz` and `/metrics` are served. They show no secret and accept no command."""

    host: str = "127.0.0.1"
    """The address to listen on. In a pod use `0.0.0.0`, with a network policy that restricts access."""
    port: int = Field(default=9090, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""


class Settings(Strict):
    """The keys at the top level of the file."""

    database_url: str = "sqlite:///csm.db"
    """SQLite for one process, PostgreSQL for several replicas. A password is safer in `PGPASSWORD` or `~/.pgpass`."""
    site: Literal[
        "datadoghq.com",
        "us3.datadoghq.com",
        "us5.datadoghq.com",
        "datadoghq.eu",
        "ap1.datadoghq.com",
        "ap2.datadoghq.com",
        "ddog-gov.com",
    ] = "datadoghq.com"
    """The Datadog site, for links to events. Where a flare goes is set in the Agent; the review shows it."""
    targets: Mapping[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=128)], TargetSettings
    ] = Field(min_length=1)
    """Targets by name, as people type it. Each is exactly one of `kubernetes`, `docker`, `host` and `ssh`."""
    policy: tuple[RuleSettings, ...] = ()
    """Who may run which commands on which targets in which channels. Everything is denied unless a rule allows it."""
    approvals: ApprovalSettings = ApprovalSettings()
    """Who may approve an upload from a target."""
    limits: Limits = Limits()
    """Concurrency limits and time limits."""
    retention: Retention = Retention()
    """How long csm keeps runs, evidence and files."""
    slack: SlackSettings = SlackSettings()
    """How Slack's requests reach the bot."""
    health: HealthSettings | None = None
    """Where the health and metrics endpoints are served. Without it, nothing listens."""

    @field_validator("database_url")
    @classmethod
    def _usable_url(cls, value: str) -> str:
        try:
            url = sa.make_url(value)
        except (sa.exc.ArgumentError, ValueError):  # SQLAlchemy's messages show the URL with its password
            raise ValueError("is no address of a database; a password may need to be percent-encoded") from None
        match url.drivername:
            case "postgresql" | "postgresql+psycopg":
                return value
            case "sqlite" if url.database and url.database != ":memory:" and not url.host:
                return value
            case "sqlite":
                raise ValueError(
                    "must name a file: sqlite:///csm.db, or with four slashes sqlite:////var/lib/csm/csm.db"
                )
        raise ValueError("must begin with sqlite:/// or postgresql://")

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules of the policy, as `bot.access.policy` takes them."""
        return [Rule(who=rule.who, may=rule.may, on=rule.on, in_=rule.in_) for rule in self.policy]

    @property
    def approvers(self) -> Approvers:
        """Who may approve a flare, as `bot.access.policy` takes it."""
        return Approvers(self.approvals.flare.by, self.approvals.flare.four_eyes)


class Secrets(BaseSettings):
    """Secrets, and Slack's API address: read from the environment only."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    bot_token: SecretStr = Field(default=SecretStr(""), validation_alias="SLACK_BOT_TOKEN")
    app_token: SecretStr = Field(default=SecretStr(""), validation_alias="SLACK_APP_TOKEN")
    signing_secret: SecretStr = Field(default=SecretStr(""), validation_alias="SLACK_SIGNING_SECRET")
    api_url: str = Field(default=SLACK_API_URL, validation_alias="SLACK_API_URL")

    @classmethod
    def load(cls, transport: str) -> Secrets:
        """Read and check the environment. Raises `ConfigurationError` with every fault; values are never shown."""
        secrets = cls()
        faults = list(secrets._faults(transport))
        if faults:
            raise ConfigurationError(faults, source="environment")
        return secrets

    @classmethod
    def take(cls) -> None:
        """Remove the secrets from the environment: commands that csm runs on this host would inherit them."""
        for field in cls.model_fields.values():
            if field.annotation is SecretStr:
                os.environ.pop(str(field.validation_alias), None)

    def _faults(self, transport: str) -> Iterator[str]:
        wanted = [("SLACK_BOT_TOKEN", self.bot_token, "xoxb-", "the app's page OAuth & Permissions")]
        if transport == "socket":
            wanted.append(
                ("SLACK_APP_TOKEN", self.app_token, "xapp-", "the app's page Basic Information, App-Level Tokens")
            )
        for name, secret, prefix, where in wanted:
            value = secret.get_secret_value()
            if not value:
                yield f"{name} is not set. You find it on {where}."
            elif not value.startswith(prefix):
                yield f"{name} does not begin with {prefix}, so it is another kind of token. You find the right one on {where}."
        if transport == "http" and not self.signing_secret.get_secret_value():
            yield "SLACK_SIGNING_SECRET is not set. You find it on the app's page Basic Information."
        if self.api_url != SLACK_API_URL and not _is_loopback(self.api_url):
            yield "SLACK_API_URL must name an address of this machine (http://127.0.0.1:…/api/): tokens are sent there."


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    try:
        return parts.scheme in {"http", "https"} and (
            parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
        )
    except ValueError:
        return False


def load(path: Path) -> Settings:
    """Read a configuration file. Raises `ConfigurationError` with every fault and its line."""
    text = _text(path)
    marked = read(text, source=str(path))
    faults = [*marked.duplicates(), *_secrets(text)]
    try:
        settings = Settings.model_validate(marked.values)
    except ValidationError as error:
        raise ConfigurationError([*faults, *_translated(error, marked)], source=str(path)) from error
    if faults:
        raise ConfigurationError(faults, source=str(path))
    return settings


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigurationError([f"it is larger than {MOST_BYTES} bytes."], source=str(path))
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            ["there is no such file. Begin with csm.example.yaml, or name another file with --config."],
            source=str(path),
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(["it is not UTF-8 text."], source=str(path)) from None
    except OSError as error:
        raise ConfigurationError([f"it cannot be read: {error.strerror}."], source=str(path)) from error


def _secrets(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if _SECRET.search(line):
            yield f"line {number}: this looks like a Slack token. Secrets come from the environment only (SLACK_BOT_TOKEN and so on); take it out, and revoke it if others can read the file."


def _translated(error: ValidationError, marked: LocatedYaml) -> Iterator[str]:
    details = error.errors()
    for detail in details:
        # pydantic reports a list with a faulty item also as too short. Report only the item.
        within = [
            other for other in details if other is not detail and other["loc"][: len(detail["loc"])] == detail["loc"]
        ]
        if detail["type"] == "too_short" and within:
            continue
        place = tuple(part for part in detail["loc"] if part != "[key]")
        line = marked.line(place)
        where = ".".join(str(part) for part in place) or "the file"
        yield f"line {line}: {where}: {_words(detail, place)}"


def _words(detail: ErrorDetails, place: tuple[int | str, ...]) -> str:
    kind, given = detail["type"], detail["input"]
    shown = f" (it is {clean(given, max_chars=60)!r})" if isinstance(given, str) else ""
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _keys(place[:-1]), n=1)
        hint = f" Did you mean `{near[0]}`?" if near else f" Known here: {', '.join(_keys(place[:-1]))}."
        return f"there is no such key.{hint}"
    if kind == "literal_error":
        expected = str((detail.get("ctx") or {}).get("expected", ""))
        near = difflib.get_close_matches(str(given), re.findall(r"'([^']*)'", expected), n=1) if shown else []
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"it must be {expected}{shown}.{hint}"
    if kind == "model_type":
        return f"it must be a mapping, with keys such as {', '.join(_keys(place))}{shown}"
    if place and place[-1] == "database_url":
        shown = ""
    return _PLAIN.get(kind, detail["msg"].removeprefix("Value error, ")) + shown


_PLAIN: Mapping[str, str] = {
    "missing": "it is missing.",
    "dict_type": "it must be a mapping, with a name for each",
    "tuple_type": "it must be a list",
    "string_type": "it must be a text",
    "invalid_key": "a key must be a text",
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
}
"""Our words for pydantic's error types: pydantic's own messages use Python's terms."""


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """Return the valid keys at a path in the file."""
    model: Any = Settings
    for part in place:
        if isinstance(part, int):
            continue
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = _inner(fields[str(part)].annotation) if str(part) in fields else model
        # A target's own name is a key of a mapping, so `model` is already the model of the mapping's values.
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def _inner(annotation: Any) -> Any:
    """Return the model inside `X | None`, `tuple[X, ...]` or `Mapping[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_inner(each) for each in get_args(annotation)]
    return next((each for each in found if each is not None), None)
