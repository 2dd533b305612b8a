"""
Where an Agent sends its flares, by the settings in the archive.

`dd_url` wins over `site`, and without both it is the Agent's own default site
(DataDog/datadog-agent:pkg/config/utils, `GetMainEndpoint`). `https://app.<site>` becomes `X-Y-Z-flare.agent.<site>`,
with the version of the Agent; every other `dd_url` is used as it is (the same package, `AddAgentVersionToDomain`).

Three files of an archive tell: the dump of the running Agent's settings, in which the environment was merged over the
file already; the environment, `envvars.log`; and `etc/datadog.yaml`. They are asked in this order for each key, and a
key that the dump has without a value is not set. The archive's word is all there is: an Agent that was tampered with can send elsewhere than its settings say.
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
"""The files that tell, in the order in which they count. Each lies at the archive's top, or in the host's folder there."""

DEFAULT_SITE = "datadoghq.com"
"""Where an Agent sends whose settings name neither a site nor an address. The Agent's default, not csm's."""

DOMAINS = ("datadoghq.com", "datadoghq.eu", "ddog-gov.com")
"""What Datadog's sites end in. Whoever has a name below one of these is Datadog."""

_KEYS = ("dd_url", "site")
_VARIABLES = {"DD_DD_URL": "dd_url", "DD_URL": "dd_url", "DD_SITE": "site"}
"""The first of several for a key wins (pkg/config/setup/config.go)."""
_REGION = re.compile(r"[a-z]{2}[0-9]{1,2}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NULL = frozenset({"~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a flare goes. Neither `host` nor `site`: it could not be read, and `source` says why."""

    host: str = ""
    """`host` or `host:port`, lower case, in ASCII."""
    site: str = ""
    """The Datadog site of the host; empty where it is none of Datadog's."""
    source: str = ""
    """What says so: a key and a file, as `dd_url in etc/datadog.yaml`."""
    warnings: tuple[str, ...] = ()
    """Sentences for whoever decides."""


class _Unclear(Exception):
    """It cannot be read. `str(error)` says why, for people, without a full stop."""


class _Source(NamedTuple):
    name: str
    values: Mapping[str, str]
    """By key. An empty one is not set."""
    problem: str = ""


class _Setting(NamedTuple):
    key: str
    value: str
    where: str


class _Address(NamedTuple):
    written: str
    """The host as the setting has it."""
    host: str
    port: str
    encrypted: bool


def read_destination(found: Mapping[str, Sequence[str | None]], version: AgentVersion | None) -> Destination:
    """
    Where the Agent of that version sends a flare. `found` has the texts of each of `SOURCES`; `None` stands for a
    file that is there and could not be read. Linear in the texts.
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
    """The Datadog site that a host belongs to, as `us3.datadoghq.com`; empty for a host that is none of Datadog's."""
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
    """The setting that decides. Raises `_Unclear`."""
    readable = _readable(sources)
    for key in _KEYS:
        if source := _source_of(key, readable):
            return _Setting(key, source.values[key], f"{key} in {source.name}")
    if not any(source.name == DUMP for source in readable):
        raise _Unclear(f"the archive has no {DUMP}, and nothing else in it names a site")
    return _Setting("site", DEFAULT_SITE, f"the Agent's default, since {DUMP} names neither site nor dd_url")


def _source_of(key: str, sources: Sequence[_Source]) -> _Source | None:
    """The first that sets a key; `None` also where the dump says that it is not set."""
    for source in sources:
        if source.values.get(key):
            return source
        if source.name == DUMP and key in source.values:
            return None
    return None


def _readable(sources: Sequence[_Source]) -> Sequence[_Source]:
    """The sources that count. One that cannot be read could say anything, unless the dump, which has it all, can be."""
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
    """On a host, the command that csm runs does not have the environment of the Agent's service."""
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
    """The host and port that the Agent makes of its setting."""
    if not address.port and (rest := _after_app(address.written)):
        numbers = "-".join(map(str, version)) if version else "<version>"
        return f"{numbers}-flare.agent.{rest}"
    return f"{address.host}:{address.port}" if address.port else address.host


def _after_app(host: str) -> str:
    """What follows `app.` in a host that the Agent rewrites; nothing for one that it uses as it is, capitals included."""
    rest = host.removesuffix(".").removeprefix("app.")
    site = rest.removeprefix("mrf.")
    return rest if host.startswith("app.") and site_of(site) == site else ""


def _address(setting: _Setting) -> _Address:
    """The address that a setting stands for. Raises `_Unclear`."""
    url = setting.value if setting.key == "dd_url" else f"https://app.{setting.value.strip()}"
    found = _parsed(url)
    if found is None:
        said = clean(setting.value, max_chars=100)
        raise _Unclear(f"{setting.where} is not an address that csm can read: {said}")
    return found


def _parsed(url: str) -> _Address | None:
    """
    The host of an address, as Go's `url.Parse` finds it; `None` where that is not certain.

    What stands before an `@` is a user's name, so it never counts.
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
    """The name that is looked up: lower case, letters of other scripts encoded, no dot at the end. Empty: no such name."""
    if host.startswith("["):
        return host.lower() if host.endswith("]") and _is_address(host[1:-1]) else ""
    try:
        name = host.lower() if host.isascii() else host.encode("idna").decode().lower()
    except UnicodeError:
        return ""
    name = name.removesuffix(".")
    if not host.isascii() and site_of(name):
        return ""  # the Agent may encode it in another way, and then it is another host
    return name if len(name) <= 253 and all(map(_LABEL.fullmatch, name.split("."))) else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# -- from a file to its settings ------------------------------------------------------------------------------------


def _source(name: str, texts: Sequence[str | None]) -> _Source | None:
    """What one of the files says; `None` where it is not there."""
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
    """Of `envvars.log`, whose lines are ` -  NAME=value` (pkg/flare/envvars.go)."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.strip().removeprefix("-").strip().partition("=")
        if name in _VARIABLES:
            found[name] = value.strip()
    return {key: found[name] for name, key in reversed(_VARIABLES.items()) if found.get(name)}


def _top_level(text: str) -> Mapping[str, str]:
    """
    The keys that count, of a YAML file's top level. The Agent takes keys in any case.

    Only values of one line are read; what else YAML could make of a value raises `_Unclear`.
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
    """A line's key, and its value where the key counts. The key is empty where there is none."""
    name, colon, rest = content.partition(":")
    key = name.strip().strip("\"'").lower()
    if content[0] in "{[?":
        raise _Unclear("is no list of settings")
    if not colon or rest[:1].strip():
        return "", ""
    return key, _scalar(key, rest.strip()) if key in _KEYS else ""


def _scalar(key: str, text: str) -> str:
    """A value without its quotes and its comment. Raises `_Unclear` for what takes more of YAML to read."""
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
