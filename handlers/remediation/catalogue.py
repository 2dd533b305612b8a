"""What to do about each finding code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from handlers.agent.findings import TC
from handlers.model import Agent, Installation, Remediation, Step
from handlers.remediation import flare, links, sudoers
from handlers.remediation.snippets import (
    ENABLE_SELF_TEST,
    ENABLE_WORKLOAD_PROTECTION,
    describe,
    logs,
    patch,
    restart,
    shell,
)
from handlers.remediation.tc import TcFacts, remediate_tc
from handlers.version import AgentVersion

Steps = Callable[[Agent], tuple[Step, ...]]


def remediate(
    code: str, agent: Agent, version: AgentVersion | None, *, container: str = "", archive: str = ""
) -> Remediation:
    """
    The advice for a finding on this Agent. Every code of `handlers.agent.findings` has one.

    `container` and `archive` (a path there) make a flare's snippets exact.
    """
    if code in flare.ADVICE:
        return flare.advise(code, flare.Place(agent, container, archive))
    if code in TC:
        return remediate_tc(code, agent, version, TcFacts())
    summary, steps, docs = _ADVICE[code]
    if version is not None and version.era < (36, 0):
        summary += " Agents before 7.36 do not report single results: upgrade to see them."
    return Remediation(summary=summary, steps=steps(agent), docs=docs)


def _none(_agent: Agent) -> tuple[Step, ...]:
    return ()


def _module_log(agent: Agent) -> tuple[Step, ...]:
    return (logs(agent, "system-probe"),)


def _look(agent: Agent) -> tuple[Step, ...]:
    return (describe(agent), logs(agent, "system-probe"))


def _state(agent: Agent) -> tuple[Step, ...]:
    return (describe(agent),)


def _look_and_restart(agent: Agent) -> tuple[Step, ...]:
    return (*_look(agent), restart(agent))


def _module_down(agent: Agent) -> tuple[Step, ...]:
    return (*_look(agent), *patch(agent, ENABLE_WORKLOAD_PROTECTION))


def _enable_self_test(agent: Agent) -> tuple[Step, ...]:
    return (*patch(agent, ENABLE_SELF_TEST), logs(agent, "system-probe"))


def _enable(agent: Agent) -> tuple[Step, ...]:
    return patch(agent, ENABLE_WORKLOAD_PROTECTION)


def _rights(agent: Agent) -> tuple[Step, ...]:
    if agent.installation is Installation.DOCKER:
        return (shell(agent, "Let csm's user use the engine", "sudo usermod --append --groups docker csm"),)
    if agent.installation is Installation.HOST:
        return tuple(
            Step(platform="host", title=title, language="text", snippet=snippet)
            for title, snippet in (
                (sudoers.TITLE.format(what="self-tests"), sudoers.SELFTEST),
                (flare.SUDOERS_TITLE, flare.SUDOERS),
            )
        )
    rules = (
        "rules:\n"
        '  - apiGroups: [""]\n    resources: [pods]\n    verbs: [get, list]\n'
        '  - apiGroups: [""]\n    resources: [pods/exec]\n    verbs: [create, get]\n'
    )
    title = f"The rules that csm's Role in {agent.namespace or 'the namespace of the Agents'} needs"
    return (Step(platform=agent.installation, title=title, language="yaml", snippet=rules),)


_TROUBLE, _SETUP = (links.TROUBLESHOOTING,), (links.SETUP, links.TROUBLESHOOTING)

_ADVICE: Mapping[str, tuple[str, Steps, tuple[str, ...]]] = {
    "selftest.rule_failed": (
        (
            "Workload Protection did not see an event that the Agent itself made. Look in system-probe's log for errors about"
            " eBPF probes, the kernel version and a full ring buffer; check that /tmp is writable in its container."
        ),
        _module_log,
        _TROUBLE,
    ),
    "selftest.errored": ("Read system-probe's log around the time of this run.", _module_log, _TROUBLE),
    "selftest.socket_dead": (
        "Find out why system-probe does not run its runtime security module: it is not enabled, or it failed to start.",
        _module_down,
        _SETUP,
    ),
    "selftest.socket_refused": (
        "The socket is left over, and nothing listens on it: system-probe stopped or is in a crash loop. See why, then restart it.",
        _look_and_restart,
        _TROUBLE,
    ),
    "selftest.not_enabled": ("Enable Workload Protection.", _enable, _SETUP),
    "selftest.disabled": (
        "Enable self-tests. If they are enabled, their set-up failed: /tmp must be writable for system-probe.",
        _enable_self_test,
        (links.ADVANCED, links.TROUBLESHOOTING),
    ),
    "selftest.ebpfless": (
        "Nothing is wrong: without eBPF, events are seen when a container runs. There is nothing to test here.",
        _none,
        _SETUP,
    ),
    "selftest.permission_denied": ("The command must run as root, where the socket is.", _rights, _TROUBLE),
    "selftest.module_starting": ("Wait a minute, and ask again. If it stays so, read the log.", _module_log, _TROUBLE),
    "selftest.already_running": ("Wait a minute, and ask again.", _none, _TROUBLE),
    "selftest.unknown_command": (
        "This is not an Agent that csm knows, or it was built without Workload Protection. Check its image and version.",
        _state,
        _SETUP,
    ),
    "selftest.no_command": ("Enable Workload Protection, which brings the system-probe container.", _enable, _SETUP),
    "selftest.unreadable": (
        "Ask again. If it stays so, read the log, and report the Agent's version to csm.",
        _module_log,
        _TROUBLE,
    ),
    "selftest.no_block": (
        "Look at the self-test's events in the Log Explorer instead, or upgrade the Agent to 7.72 or newer.",
        _module_log,
        _TROUBLE,
    ),
    "selftest.never_finished": ("Wait a minute, and ask again. If it stays so, read the log.", _module_log, _TROUBLE),
    "selftest.stale": (
        "The module answers and produces no new results. Read its log; if it says nothing, restart the Agent.",
        _look_and_restart,
        _TROUBLE,
    ),
    "selftest.future": ("Set the node's clock (NTP), then ask again.", _state, _TROUBLE),
    "selftest.contradiction": (
        "Ask again in a minute. If it stays so, restart the Agent.",
        _look_and_restart,
        _TROUBLE,
    ),
    "selftest.incomplete": ("Ask again in a minute. If it stays so, read the log.", _module_log, _TROUBLE),
    "agent.not_running": ("See why it does not run.", _look, (links.AGENT_TROUBLESHOOTING,)),
    "agent.container_not_ready": (
        "See why the container does not become ready.",
        _look,
        (links.AGENT_TROUBLESHOOTING,),
    ),
    "agent.unreachable": (
        "Check that the node is up, and the network between it and its API.",
        _state,
        (links.AGENT_TROUBLESHOOTING,),
    ),
    "agent.denied": ("Give csm the right that is named in the evidence.", _rights, (links.KUBERNETES_RBAC,)),
    "agent.vanished": (
        "It was replaced or removed while it was asked. Ask again.",
        _none,
        (links.AGENT_TROUBLESHOOTING,),
    ),
    "agent.throttled": ("Wait a moment, and ask again; or lower csm's limits.per_target.", _none, ()),
    "agent.binary_missing": (
        "Check that this is a Datadog Agent with Workload Protection, and which image it runs.",
        _state,
        _SETUP,
    ),
    "agent.timeout": (
        "The module accepts connections and does not answer. Read its log; a restart helps when it is stuck.",
        _look_and_restart,
        _TROUBLE,
    ),
    "agent.output_limit": (
        "Its log may be turned up to debug. Look at it there.",
        _module_log,
        (links.AGENT_TROUBLESHOOTING,),
    ),
    "agent.connection_lost": (
        "Ask again. If it stays so, look at the node and at what is between it and csm.",
        _state,
        (),
    ),
    "agent.no_exit_status": ("Ask again. If it stays so, look at the node's container runtime.", _state, ()),
}
