"""
The Agent's effective settings for network detections, with defaults by Agent version.

Sources: DataDog/datadog-agent:pkg/security/probe/config/config.go and pkg/security/ebpf/probes/tc.go@00985e77,
#13692 (the priority became a setting, and 10 its default), #30994 (the second handle).
"""

from __future__ import annotations

from dataclasses import dataclass

from handlers.tc.evidence import AgentSeen, Setting
from handlers.version import AgentVersion

HAS_NETWORK = (36, 0)
RACE = ((36, 0), (39, 1))
"""The first and the last Agent (minor, patch) whose clean-up could delete another vendor's filter."""
DEFAULT_PRIORITY = 10
_ZERO_MEANS = 50
"""The priority that ebpf-manager uses when the configured priority is 0."""
_INGRESS_UNSURE = ((50, 0), (62, 0))
"""In this range of versions, the default for watching ingress changed. The exact releases are not known."""
LAZY = ("lo", "dummy")
"""Devices with these prefixes get no filters by default."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Effective settings of one Agent. A field is `None` when the setting was not seen."""

    enabled: bool | None
    """Whether Workload Protection is enabled."""
    network: bool | None
    ebpfless: bool | None
    priority: int | None
    priority_setting: Setting | None
    network_setting: Setting | None
    handle: int | None
    raw_handle: int | None
    ingress: bool | None
    lazy: tuple[str, ...]


def read_settings(seen: AgentSeen, version: AgentVersion | None) -> AgentSettings:
    """Return the settings as they take effect. Defaults apply only when every source of settings was seen."""
    complete = seen.settings_seen is True and not seen.unseen
    return AgentSettings(
        enabled=_switch(seen, "runtime_security.enabled", default=False if complete else None),
        network=_switch(seen, "network.enabled", default=True if complete else None),
        ebpfless=_switch(seen, "ebpfless.enabled", default=False if complete else None),
        priority=_priority(seen, version, complete=complete),
        priority_setting=seen.settings.get("network.classifier_priority"),
        network_setting=seen.settings.get("network.enabled"),
        handle=_number(seen, "network.classifier_handle", 0 if complete else None),
        raw_handle=_number(seen, "network.raw_classifier_handle", 0 if complete else None),
        ingress=_switch(seen, "network.ingress.enabled", default=_ingress(version) if complete else None),
        lazy=(*LAZY, *_prefixes(seen)),
    )


def is_racy(version: AgentVersion) -> bool:
    """Return whether the clean-up of this Agent version could delete another vendor's filter."""
    return RACE[0] <= version.era <= RACE[1]


def _priority(seen: AgentSeen, version: AgentVersion | None, *, complete: bool) -> int | None:
    if version is not None and is_racy(version):
        return 1  # hard-coded
    known_default = DEFAULT_PRIORITY if complete and version is not None else None
    found = _number(seen, "network.classifier_priority", known_default)
    return None if found is None else found & 0xFFFF or _ZERO_MEANS


def _ingress(version: AgentVersion | None) -> bool | None:
    if version is None or _INGRESS_UNSURE[0] <= version.era < _INGRESS_UNSURE[1]:
        return None
    return True


def _switch(seen: AgentSeen, name: str, *, default: bool | None) -> bool | None:
    setting = seen.settings.get(name)
    if setting is None:
        return default
    return {"true": True, "1": True, "t": True, "yes": True, "false": False, "0": False, "f": False, "no": False}.get(
        setting.value.strip().lower()
    )


def _number(seen: AgentSeen, name: str, default: int | None) -> int | None:
    setting = seen.settings.get(name)
    if setting is None:
        return default
    text = setting.value.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _prefixes(seen: AgentSeen) -> tuple[str, ...]:
    setting = seen.settings.get("network.lazy_interface_prefixes")
    if setting is None:
        return ()
    words = "".join(" " if character in "[],\"'" else character for character in setting.value).split()
    return tuple(word for word in words if word)[:50]
