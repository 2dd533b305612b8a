"""The remediation for each finding code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from handlers.agent.commands import AGENT_TESTS_ITSELF
from handlers.agent.findings import TC
from handlers.model import Agent, Installation, Remediation, Step
from handlers.remediation import flare, links, sudoers
from handlers.remediation.snippets import (
    ENABLE_SELF_TEST,
    ENABLE_WORKLOAD_PROTECTION,
    SECURITY_AGENT_SOCKET,
    describe,
    logs,
    look_for_sockets,
    patch,
    restart,
    restart_system_probe,
    shell,
)
from handlers.remediation.tc import TcFacts, remediate_tc
from handlers.version import AgentVersion

Steps = Callable[[Agent], tuple[Step, ...]]


def remediate(
    code: str, agent: Agent, version: AgentVersion | None, *, container: str = "", archive: str = "", ask: str = ""
) -> Remediation:
    """
    The remediation for a finding on this Agent. Every code of `handlers.agent.findings` has one.

    `container`, `archive` (a path in it) and `ask` (a sentence for an upload in doubt) make a flare's remediation
    exact.
    """
    if code in flare.ADVICE:
        return flare.advise(code, flare.Place(agent, container, archive, ask))
    if code in TC:
        return remediate_tc(code, agent, version, TcFacts())
    tests_itself = version is None or version.era >= AGENT_TESTS_ITSELF
    summary, steps, docs = (_ADVICE_FROM_7_65.get(code) if tests_itself else None) or _ADVICE[code]
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


def _look_and_test_anew(agent: Agent) -> tuple[Step, ...]:
    return (_module_log(agent)[0], restart_system_probe(agent))


def _look_for_the_module(agent: Agent) -> tuple[Step, ...]:
    return (look_for_sockets(agent, "system-probe"), logs(agent, "security-agent"), *_module_log(agent))


def _point_to_the_socket(agent: Agent) -> tuple[Step, ...]:
    return (look_for_sockets(agent, "security-agent"), *patch(agent, SECURITY_AGENT_SOCKET))


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
    "selftest.permission_denied": (
        "The command must run as root, or on a host as a user that may read the Agent's authentication token.",
        _rights,
        _TROUBLE,
    ),
    "selftest.socket_elsewhere": (
        (
            "Tell security-agent the same `runtime_security_config.socket` as system-probe: until then it gets no events from"
            " the module. From 7.72 the Agent's own status tells the results without it."
        ),
        _point_to_the_socket,
        _SETUP,
    ),
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
        "See why security-agent does not show the module's results: it must run, and be connected to the module.",
        _look_for_the_module,
        _TROUBLE,
    ),
    "selftest.never_finished": ("Wait a minute, and ask again. If it stays so, read the log.", _module_log, _TROUBLE),
    "selftest.stale": (
        "The module answers and produces no new results. Read its log; if it says nothing, restart the Agent.",
        _look_and_restart,
        _TROUBLE,
    ),
    "selftest.zone_unknown": (
        "Let csm run `date` there, which tells the node's own zone; or set the zone of the Agent's containers to UTC.",
        _state,
        (),
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

_PRICE = (
    "The price of a restart: until system-probe has started, Workload Protection and network monitoring see nothing on this"
    " node, and in containers the Agent's other parts restart with it."
)

_ADVICE_FROM_7_65: Mapping[str, tuple[str, Steps, tuple[str, ...]]] = {
    "selftest.rule_failed": (
        (
            "Workload Protection did not see an event that the Agent itself made. Look in system-probe's log for errors about"
            " eBPF probes, the kernel version and a full ring buffer; check that /tmp is writable in its container. The Agent"
            " tests itself again within the hour. For a result now, restart system-probe; csm triggers no self-test from 7.65"
            f" on, since that shows nothing and can block the module. {_PRICE}"
        ),
        _look_and_test_anew,
        _TROUBLE,
    ),
    "selftest.stale": (
        (
            "The module answers, and its own check has given no result for longer than it should take. Read its log; a restart"
            f" of system-probe brings a fresh one. {_PRICE}"
        ),
        _look_and_test_anew,
        _TROUBLE,
    ),
    "selftest.never_finished": (
        (
            "The Agent tests itself 15 s after system-probe has started. Wait a minute, and run it again. If it stays so, read"
            " the log."
        ),
        _module_log,
        _TROUBLE,
    ),
    "selftest.contradiction": (
        f"Run it again in a minute. If it stays so, restart system-probe. {_PRICE}",
        _look_and_test_anew,
        _TROUBLE,
    ),
    "selftest.incomplete": (
        f"Read the log. The Agent tests itself again within the hour, or when system-probe is restarted. {_PRICE}",
        _look_and_test_anew,
        _TROUBLE,
    ),
    "selftest.no_block": (
        (
            "Make the Agent's own results readable; from 7.65 csm triggers none. From 7.72 `agent status` tells them when it can"
            " ask system-probe. Before, security-agent must run, with the same `runtime_security_config.socket` as"
            " system-probe. An upgrade to 7.72 or newer needs neither."
        ),
        _look_for_the_module,
        _SETUP,
    ),
    "agent.timeout": (
        (
            "It accepts connections and does not answer. From 7.65 some ten self-tests by hand, by whatever tool, block the"
            " module and with it the status, until system-probe is restarted; csm triggers none there. Read the log, then"
            f" restart it. {_PRICE}"
        ),
        _look_and_restart,
        _TROUBLE,
    ),
}
