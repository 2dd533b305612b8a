"""
Remediations for the findings of the tc check.

They are computed from what was found: which priority would help, which key this Agent reads, what the vendor can change
and what that endangers. Snippets are patches: keys to add or change, everything else stays.

Sources: DataDog/datadog-agent:pkg/security/probe/config/config.go (keys, their aliases), #13692 (priority), #30994
(handles); DataDog/helm-charts@79f7c74f and DataDog/datadog-operator@55db5316 (values, and what they leave out).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from handlers.model import Agent, Installation, Remediation, Step
from handlers.remediation import links
from handlers.remediation.snippets import DOCKER, HELM, HOST, OPERATOR, PLAIN, describe, logs, patch, restart
from handlers.version import AgentVersion

NEW_KEYS = (50, 0)
"""
From this version `event_monitoring_config.network` is certainly read; the older name is an alias that every version
reads.
"""
RAW_HANDLE = (61, 0)
CONFIGURABLE = (39, 2)
_OLD, _NEW = "runtime_security_config", "event_monitoring_config"
_OLD_ENV, _NEW_ENV = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_", "DD_EVENT_MONITORING_CONFIG_NETWORK_"


@dataclass(frozen=True, slots=True)
class VendorAdvice:
    """The entry of the vendor table for one vendor."""

    name: str
    knob: str
    danger: str = ""
    races: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class TcFacts:
    """Facts about an Agent that a remediation depends on."""

    current: int | None = None
    """The Agent's priority."""
    priority: int | None = None
    """The priority that would help; `None` when none does."""
    handles: tuple[int, int] = (0, 0)
    """Two handles that are free at the Agent's priority."""
    old_key: bool = False
    """Whether the priority is set by its older key, which is read first (and so must be changed or removed)."""
    old_switch: bool = False
    """Whether network detections are set by their older key, which is read first too."""
    raw_packet: bool = True
    vendors: tuple[VendorAdvice, ...] = ()


Advice = Callable[[Agent, AgentVersion | None, TcFacts], Sequence[Step]]


def remediate_tc(code: str, agent: Agent, version: AgentVersion | None, facts: TcFacts) -> Remediation:
    """The remediation for a `tc.…` finding on this Agent."""
    summary, advice = _ADVICE[code]
    sources = [url for vendor in facts.vendors for url in _urls(vendor.source)]
    return Remediation(
        summary=_filled(summary, version, facts),
        steps=tuple(step for each in advice for step in each(agent, version, facts)),
        docs=tuple(dict.fromkeys((links.TROUBLESHOOTING, *sources)))[:6],
    )


# -- steps ------------------------------------------------------------------------------------------------


def set_priority(agent: Agent, version: AgentVersion | None, facts: TcFacts) -> Sequence[Step]:
    """
    Set the Agent's priority, in the key and the file of this installation; upgrade first where the version cannot be
    configured.
    """
    if version is not None and version.era < CONFIGURABLE:
        return _upgrade(agent, version, facts)
    if facts.priority is None:
        return ()
    return _setting(agent, version, facts.old_key, {"classifier_priority": facts.priority})


def set_handles(agent: Agent, version: AgentVersion | None, facts: TcFacts) -> Sequence[Step]:
    """Set handles of the Agent's own: both or none, and different."""
    handles = {"classifier_handle": facts.handles[0]}
    if version is None or version.era >= RAW_HANDLE:
        handles["raw_classifier_handle"] = facts.handles[1]
    return _setting(agent, version, facts.old_key, handles)


def disable_network(agent: Agent, version: AgentVersion | None, facts: TcFacts) -> Sequence[Step]:
    """Disable network detections, as a last resort, in each way that this installation has."""
    steps = []
    if agent.installation is HELM:
        snippet = _nested(["datadog", "securityAgent", "runtime", "network", "enabled"], "false")
        steps.append(_step(agent, "Last resort, disable network detections: patch of the chart's values", snippet))
    instead = {
        HELM: "Or the same by environment",
        OPERATOR: "Last resort, disable network detections (features.cws.network.enabled: false alone only leaves the variable out, and the default is true)",
    }.get(agent.installation, "Last resort, disable network detections")
    # The chart and the Operator set the switch by its older name themselves, and that one is read first.
    old = facts.old_switch or agent.installation in {HELM, OPERATOR}
    return [*steps, *_setting(agent, version, old, {"enabled": "false"}, title=instead, follow=False)]


def change_vendor(_agent: Agent, _version: AgentVersion | None, facts: TcFacts) -> Sequence[Step]:
    """Change the vendor's own settings: what can be changed, and what that endangers."""
    steps = []
    for vendor in facts.vendors:
        lines = [f"{vendor.name}: {vendor.knob}."] if vendor.knob else []
        lines += [f"Danger: {vendor.danger}"] if vendor.danger else []
        lines += [f"Known: {vendor.races}"] if vendor.races else []
        lines += [f"Source: {vendor.source}"] if lines else []
        if lines:
            steps.append(
                Step(platform="any", title=f"At {vendor.name}'s side", language="text", snippet="\n".join(lines))
            )
    return steps


def _upgrade(agent: Agent, _version: AgentVersion | None, _facts: TcFacts) -> Sequence[Step]:
    match agent.installation:
        case Installation.HELM:
            snippet = "agents:\n  image:\n    tag: 7.40.1\n"
        case Installation.OPERATOR:
            snippet = "spec:\n  override:\n    nodeAgent:\n      image:\n        tag: 7.40.1\n"
        case _:
            return (
                Step(
                    platform=agent.installation,
                    title="Upgrade",
                    language="text",
                    snippet="Upgrade the Agent to 7.40.1 or newer.",
                ),
            )
    return (_step(agent, "Upgrade, to this version or a newer one", snippet),)


def _module_log(agent: Agent, _version: AgentVersion | None, _facts: TcFacts) -> Sequence[Step]:
    return (logs(agent, "system-probe"),)


def _state(agent: Agent, _version: AgentVersion | None, _facts: TcFacts) -> Sequence[Step]:
    return (describe(agent),)


def _restart(agent: Agent, _version: AgentVersion | None, _facts: TcFacts) -> Sequence[Step]:
    return (restart(agent),)


def _setting(
    agent: Agent,
    version: AgentVersion | None,
    old: bool,
    values: Mapping[str, int | str],
    *,
    title: str = "",
    follow: bool = True,
) -> Sequence[Step]:
    """Set keys below `network`, in the place from which this installation reads them."""
    new = version is not None and version.era >= NEW_KEYS and not old
    variables = {f"{_NEW_ENV if new else _OLD_ENV}{name.upper()}": value for name, value in values.items()}
    tree = [_NEW if new else _OLD, "network"]
    named = "".join(
        f'            - name: {name}\n              value: "{value}"\n' for name, value in variables.items()
    )
    snippets = {
        HELM: _nested(["agents", "containers", "systemProbe", "envDict"], {k: f'"{v}"' for k, v in variables.items()}),
        OPERATOR: _nested(["spec", "override", "nodeAgent", "containers", "system-probe", "env"], "") .rstrip() + "\n" + named,
        PLAIN: "env:\n" + re.sub("(?m)^ {10}", "", named),
        DOCKER: " ".join(f"-e {name}={value}" for name, value in variables.items()),
        HOST: _nested(tree, {k: str(v) for k, v in values.items()}),
    }  # fmt: skip
    titles = {
        HELM: "Patch of the chart's values",
        OPERATOR: "Patch of the DatadogAgent; an env list that is there already keeps its other entries",
        PLAIN: "Environment of the system-probe container, beside what is there",
        DOCKER: "Added to `docker run`",
        HOST: "Patch of /etc/datadog-agent/system-probe.yaml",
    }
    snippet, where = snippets[agent.installation], titles[agent.installation]
    heading = f"{title}: {where[0].lower()}{where[1:]}" if title else where
    steps = patch(agent, {agent.installation: (heading, "shell" if agent.installation is DOCKER else "yaml", snippet)})
    return steps if follow else steps[:1]


def _nested(path: Sequence[str], leaf: Mapping[str, str] | str) -> str:
    """YAML of nested keys, with a value or a mapping below the last one."""
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(path)]
    if isinstance(leaf, str):
        lines[-1] += f" {leaf}"
    else:
        lines += [f"{'  ' * len(path)}{name}: {value}" for name, value in leaf.items()]
    return "\n".join(lines) + "\n"


def _step(agent: Agent, title: str, snippet: str) -> Step:
    return Step(platform=agent.installation, title=title, language="yaml", snippet=snippet)


def _urls(source: str) -> Sequence[str]:
    """The URLs of a vendor's sources: pull requests and issues, and files at a commit."""
    found = [
        f"https://github.com/{repo}/issues/{number}"
        for repo, number in re.findall(r"\b([\w.-]+/[\w.-]+)#(\d+)", source)
    ]
    found += [
        f"https://github.com/{repo}/blob/{commit}/{path}"
        for repo, path, commit in re.findall(r"\b([\w.-]+/[\w.-]+):([\w./-]+)@([0-9a-f]{7,40})", source)
    ]
    return found  # fmt: skip


def _filled(summary: str, version: AgentVersion | None, facts: TcFacts) -> str:
    if version is not None and version.era < CONFIGURABLE:
        better = "Agents before 7.39.2 cannot be told another priority than 1: upgrade first."
    elif facts.priority is None:
        better = "No priority of the Agent would help."
    else:
        better = f"Give the Agent the priority {facts.priority}, so that its filters run first."
    current = "its priority" if facts.current is None else f"its priority {facts.current}"
    return summary.format(better=better, current=current)


_PRIORITY: tuple[Advice, ...] = (set_priority, change_vendor)
_NO_PRIORITY: tuple[Advice, ...] = (change_vendor, disable_network)
_VENDOR: tuple[Advice, ...] = (change_vendor,)
_LOG: tuple[Advice, ...] = (_module_log,)

_ADVICE: Mapping[str, tuple[str, tuple[Advice, ...]]] = {
    "tc.race": (
        "Upgrade the Agent to 7.39.2, 7.40 or newer, or disable its network detections, before the next pod starts on this node.",
        (_upgrade, disable_network),
    ),
    "tc.tcx_first": (
        (        "A priority does not help: tcx and netkit programs run before all classic filters, the Agent's too. Let the vendor"
        " return NEXT or attach classic filters with a priority above the Agent's; or accept that these packets are not seen."),
        _NO_PRIORITY,
    ),
    "tc.priority_one": (
        "Nothing runs before priority 1, so the vendor's must be raised above the Agent's; or disable network detections.",
        _NO_PRIORITY,
    ),
    "tc.priority_low": ("{better}", _PRIORITY),
    "tc.priority_raised": ("{better} The default is 10.", _PRIORITY),
    "tc.handle_taken": (
        "Two filters cannot share a priority and a handle: give the Agent handles of its own, both of them and different. {better}",
        (set_handles, set_priority, change_vendor),
    ),
    "tc.removed": (
        "Let the vendor attach classic filters with a priority above the Agent's, and restart the Agent to attach its own again.",
        (change_vendor, _restart, disable_network),
    ),
    "tc.not_attached": (
        "See in system-probe's log whether it failed to attach them. Older Agents attach none until a policy has a network rule.",
        _LOG,
    ),
    "tc.missing": (
        "Look in system-probe's log for `file exists` or `replaced`, and restart the Agent to attach them again.",
        (_module_log, _restart),
    ),
    "tc.redirected": (
        "Packets that are redirected leave this chain; they are seen on the device where they arrive, if the Agent is first there. {better}",
        _PRIORITY,
    ),
    "tc.netkit": (
        (        "A netkit program runs between the two devices of a pair. Packets that it redirects never reach this one; they are"
        " seen on the other device and where they arrive, if the Agent is first there."),
        _VENDOR,
    ),
    "tc.matching_filter": ("See what the filter matches (`tc filter show dev … ingress`). {better}", _PRIORITY),
    "tc.priority_equal": (
        "Of equal priorities, the filter that was attached last runs first. {better}",
        (set_priority,),
    ),
    "tc.odd_device": (
        "See what was done to it: an attachment that failed, or somebody who removed a filter by hand. A restart of the Agent attaches anew.",
        (_module_log, _restart),
    ),
    "tc.by_table": ("Ask the vendor whether this version still returns UNSPEC, or let csm read its instructions: root, and CAP_SYSLOG for the helpers that it calls.", (change_vendor,)),
    "tc.not_applied": ("Restart system-probe: settings are read when it starts.", (_restart,)),
    "tc.cannot_tell": (
        (        "Ask the vendor whether its programs end the chain when they let a packet pass (TC_ACT_OK), or go on (TC_ACT_UNSPEC);"
        " until then, assume that they end it. With CAP_SYSLOG, system-probe's container shows which helpers they call. {better}"),
        _PRIORITY,
    ),
    "tc.priority_unseen": ("Let csm read the Agent's settings, or compare by hand with {current}.", _LOG),
    "tc.settings_unseen": (
        "See whether system-probe is running, and let csm read its environment and files: it needs root there.",
        (_state,),
    ),
    "tc.version_unseen": ("Find the Agent's version, and upgrade it when it is 7.36 to 7.39.1.", (_upgrade,)),
    "tc.unseen": ("Give the collector root in the host's namespaces (the system-probe container has it), and ask again.", ()),
    "tc.nothing_seen": ("Give the collector root in the host's namespaces (the system-probe container has it), and ask again.", ()),
    "tc.unreadable": ("Ask again. If it stays so, report the Agent's version to csm.", ()),
    "tc.disabled": ("Nothing is wrong with tc here. To see the network, enable Workload Protection.", ()),
    "tc.network_disabled": ("Nothing is wrong with tc here. Network rules see nothing as long as they are disabled.", ()),
    "tc.ebpfless": ("Nothing is wrong: without eBPF there are no filters.", ()),
    "tc.too_old": ("Upgrade the Agent to have network detections.", ()),
}  # fmt: skip
