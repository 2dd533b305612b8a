"""
Where an Agent sends its flares, according to the settings in the archive.

`dd_url` wins over `site`; without both, the Agent uses its own default site (DataDog/datadog-agent:pkg/config/utils,
`GetMainEndpoint`). `https://app.<site>` becomes `X-Y-Z-flare.agent.<site>`, with the version of the Agent; every other
`dd_url` is used unchanged (the same package, `AddAgentVersionToDomain`).

Three files of an archive have these settings: the dump of the running Agent's settings, in which the environment is
already merged over the file; the environment, `envvars.log`; and `etc/datadog.yaml`. Each key is looked up in this
order, and a key that the dump has without a value is not set. The archive is the only source: an Agent that was
tampered with can send elsewhere than its settings say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from handlers.redaction import clean
from handlers.version import AgentVersion

DUMP, ENVIRONMENT, FILE = "runtime_config_dump.yaml", "envvars.log", "etc/datadog.yaml"
SOURCES = (DUMP, ENVIRONMENT, FILE)
"""The files with settings, in order of precedence. Each is at the archive's top, or in the host's folder there."""

DEFAULT_SITE = "datadoghq.com"
"""The site of an Agent whose settings name neither a site nor a `dd_url`. The Agent's default, not csm's."""

DOMAINS = ("datadoghq.com", "datadoghq.eu", "ddog-gov.com")
"""The domains of Datadog's sites. Every host name below one of them is Datadog's."""

_KEYS = ("dd_url", "site")
_VARIABLES = {"DD_DD_URL": "dd_url", "DD_URL": "dd_url", "DD_SITE": "site"}
"""The key that each environment variable sets. The first of several for a key wins (pkg/config/setup/config.go)."""
_REGION = re.compile(r"[a-z]{2}[0-9]{1,2}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NULL = frozenset({"~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Destination:
    """
    The destination of a flare. When both `host` and `site` are empty, it could not be read, and `source` says why.
    """

    host: str = ""
    """`host` or `host:port`, lower case, in ASCII."""
    site: str = ""
    """The Datadog site of the host; empty when the host is not Datadog's."""
    source: str = ""
    """The setting that names the destination: a key and a file, as `dd_url in etc/datadog.yaml`."""
    warnings: tuple[str, ...] = ()
    """Sentences for the person who decides."""


class _Unclear(Exception):
    """The destination cannot be read. `str(error)` says why, for people, without a full stop."""


class _Source(NamedTuple):
    name: str
    values: Mapping[str, str]
    """Values by key. A key with an empty value is not set."""
    problem: str = ""


class _Setting(NamedTuple):
    key: str
    value: str
    where: str


class _Address(NamedTuple):
    written: str
    """The host as it is written in the setting."""
    host: str
    port: str
    encrypted: bool


def read_destination(found: Mapping[str, Sequence[str | None]], version: AgentVersion | None) -> Destination:
    """
    Where an Agent of `version` sends a flare. `found` has the texts of each of `SOURCES`; `None` stands for a file that
    exists and could not be read. Linear in the length of the texts.
    """
    sources = [source for name in SOURCES if (source := _source(name, found.get(name, ()))) is not None]
    try:
        setting = _decisive(sources)
        address = _address(setting)
    except _Unclear as error:
        return Destination(source=str(error))
    warnings = (*_unencrypted(address), *_unsure(sources), *_differing(sources, address))
    return Destination(_sent_to(address, version), site_of(address.host), setting.where, warnings)


def site_of(host: str) -> str:
    """The Datadog site of a host, as `us3.datadoghq.com`; empty for a host that is not Datadog's."""
    name = host.lower().removesuffix(".")
    for domain in DOMAINS:
        if name == domain:
            return domain
        if name.endswith(f".{domain}"):
            region = name.removesuffix(f".{domain}").rpartition(".")[2]
            return f"{region}.{domain}" if _REGION.fullmatch(region) else domain
    return ""


# -- which setting counts -----------------------------------------------------------------------------------------


def _decisive(sources: Sequence[_Source]) -> _Setting:
    """The setting that names the destination. Raises `_Unclear`."""
    readable = _readable(sources)
    for key in _KEYS:
        if source := _source_of(key, readable):
            return _Setting(key, source.values[key], f"{key} in {source.name}")
    if not any(source.name == DUMP for source in readable):
        raise _Unclear(f"the archive has no {DUMP}, and nothing else in it names a site")
    return _Setting("site", DEFAULT_SITE, f"the Agent's default, since {DUMP} names neither site nor dd_url")


def _source_of(key: str, sources: Sequence[_Source]) -> _Source | None:
    """The first source that sets `key`; `None` when none does, and when the dump says that it is not set."""
    for source in sources:
        if source.values.get(key):
            return source
        if source.name == DUMP and key in source.values:
            return None
    return None


def _readable(sources: Sequence[_Source]) -> Sequence[_Source]:
    """
    The sources that can be read. Raises `_Unclear` when one cannot, since it may decide, unless the dump can be read,
    which has all settings.
    """
    whole = any(source.name == DUMP and not source.problem for source in sources)
    for source in sources:
        if source.problem and not whole:
            raise _Unclear(f"{source.name} {source.problem}")
    if not sources:
        raise _Unclear(f"the archive has neither {DUMP} nor {FILE}")
    return [source for source in sources if not source.problem]


def _unencrypted(address: _Address) -> tuple[str, ...]:
    if address.encrypted:
        return ()
    return ("The Agent's dd_url begins with http://, so the archive would travel unencrypted.",)


def _unsure(sources: Sequence[_Source]) -> tuple[str, ...]:
    if any(source.name == DUMP for source in sources):
        return ()
    return (
        f"Where it goes was read without {DUMP}: DD_SITE, DD_URL and DD_DD_URL in the Agent's environment would win over it.",
    )


def _differing(sources: Sequence[_Source], address: _Address) -> tuple[str, ...]:
    """
    A warning when the file names another destination than the decisive setting. On a host, the command that csm runs
    does not have the environment of the Agent's service.
    """
    file = [source for source in sources if source.name == FILE and any(source.values.values())]
    try:
        other = _address(_decisive([_Source(DUMP, file[0].values)])).host if file else address.host
    except _Unclear:
        other = "an address that csm cannot read"
    if other == address.host:
        return ()
    return (f"{FILE} names another destination: {other}. The running Agent's settings are what is shown here.",)


# -- from a setting to a host -------------------------------------------------------------------------------------


def _sent_to(address: _Address, version: AgentVersion | None) -> str:
    """The host and port that the Agent derives from its setting."""
    if not address.port and (rest := _after_app(address.written)):
        numbers = "-".join(map(str, version)) if version else "<version>"
        return f"{numbers}-flare.agent.{rest}"
    return f"{address.host}:{address.port}" if address.port else address.host


def _after_app(host: str) -> str:
    """
    The part after `app.` of a host that the Agent rewrites; empty for a host that it uses unchanged, as one with
    capitals.
    """
    rest = host.removesuffix(".").removeprefix("app.")
    site = rest.removeprefix("mrf.")
    return rest if host.startswith("app.") and site_of(site) == site else ""


def _address(setting: _Setting) -> _Address:
    """The address that a setting names. Raises `_Unclear`."""
    url = setting.value if setting.key == "dd_url" else f"https://app.{setting.value.strip()}"
    found = _parsed(url)
    if found is None:
        said = clean(setting.value, max_chars=100)
        raise _Unclear(f"{setting.where} is not an address that csm can read: {said}")
    return found


def _parsed(url: str) -> _Address | None:
    """
    Parse the host of a URL as Go's `url.Parse` does; `None` where that is not certain.

    The part before an `@` is a user's name and is ignored.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() not in ("http", "https") or any(sign.isspace() or sign in "\\%<>" for sign in url):
        return None
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    host, port = _host_and_port(authority.rpartition("@")[2])
    name = _in_ascii(host)
    if not name or (port and not (port.isascii() and port.isdigit() and len(port) <= 5)):
        return None
    return _Address(host, name, port, scheme.lower() == "https")


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, end, rest = text.partition("]")
        return host + end, rest.removeprefix(":") if rest.startswith(":") or not rest else "?"
    host, _, port = text.partition(":")
    return host, port


def _in_ascii(host: str) -> str:
    """
    The host name as it is resolved: lower case, non-ASCII letters encoded (IDNA), no dot at the end. Empty when it is
    not a valid name.
    """
    if host.startswith("["):
        return host.lower() if host.endswith("]") and _is_address(host[1:-1]) else ""
    try:
        name = host.lower() if host.isascii() else host.encode("idna").decode().lower()
    except UnicodeError:
        return ""
    name = name.removesuffix(".")
    if not host.isascii() and site_of(name):
        return ""  # the Agent may encode it differently, and then it is another host
    return name if len(name) <= 253 and all(map(_LABEL.fullmatch, name.split("."))) else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# -- from a file to its settings ------------------------------------------------------------------------------------


def _source(name: str, texts: Sequence[str | None]) -> _Source | None:
    """The settings in one of the files; `None` when the file is not in the archive."""
    if not texts:
        return None
    read: Callable[[str], Mapping[str, str]] = _variables if name == ENVIRONMENT else _top_level
    try:
        found = [read(_with_plain_breaks(text)) for text in texts if text is not None]
    except _Unclear as error:
        return _Source(name, {}, str(error))
    if len(found) < len(texts):
        return _Source(name, {}, "cannot be unpacked, or is too large")
    if any(other != found[0] for other in found):
        return _Source(name, {}, "is there more than once, and they differ")
    return _Source(name, found[0])


def _with_plain_breaks(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _variables(text: str) -> Mapping[str, str]:
    """The settings in `envvars.log`, whose lines are ` -  NAME=value` (pkg/flare/envvars.go)."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.strip().removeprefix("-").strip().partition("=")
        if name in _VARIABLES:
            found[name] = value.strip()
    return {key: found[name] for name, key in reversed(_VARIABLES.items()) if found.get(name)}


def _top_level(text: str) -> Mapping[str, str]:
    """
    The relevant keys at the top level of a YAML file. Keys may be in any case, as for the Agent.

    Only values of one line are read; any other form of YAML value raises `_Unclear`.
    """
    found: dict[str, str] = {}
    inside: str | None = None
    for line in text.split("\n"):
        content = line.strip()
        if not content or content.startswith("#") or content in ("---", "...") or line.startswith("%"):
            continue
        if line[0] in " \t":
            if inside is None or inside in _KEYS:
                raise _Unclear(f"has a value of {inside} that csm cannot read" if inside else "is no list of settings")
            continue
        inside, value = _key_and_value(content)
        if inside in _KEYS and found.setdefault(inside, value) != value:
            raise _Unclear(f"has {inside} twice, and they differ")
    if inside is None:
        raise _Unclear("is empty")
    return found


def _key_and_value(content: str) -> tuple[str, str]:
    """The key of a line, and its value when the key is one of `_KEYS`. The key is empty when the line has none."""
    name, colon, rest = content.partition(":")
    key = name.strip().strip("\"'").lower()
    if content[0] in "{[?":
        raise _Unclear("is no list of settings")
    if not colon or rest[:1].strip():
        return "", ""
    return key, _scalar(key, rest.strip()) if key in _KEYS else ""


def _scalar(key: str, text: str) -> str:
    """A value without its quotes and its comment. Raises `_Unclear` for one that needs a full YAML parser."""
    quote = text[:1]
    if quote in ("'", '"'):
        value, closed, rest = text[1:].partition(quote)
        if not closed or "\\" in value or (rest and not rest[0].isspace()) or rest.strip()[:1] not in ("", "#"):
            raise _Unclear(f"has a value of {key} that csm cannot read")
        return value.strip()
    if quote and quote in "|>&*!{[%@`":
        raise _Unclear(f"has a value of {key} that csm cannot read")
    value = "" if quote == "#" else re.split(r"[ \t]#", text, maxsplit=1)[0].strip()
    return "" if value in _NULL else value
