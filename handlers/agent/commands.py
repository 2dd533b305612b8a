"""
Which command to run, by the Agent's version and by which containers are there.

The release in which a subcommand moved is inferred from pull requests (DataDog/datadog-agent #27016, #35703,
#36367, #40678), so versions only order the choices: each task is a list to be tried in turn, and an
`unknown command` moves on to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.agent.timestamps import NODE_CLOCK
from handlers.model import Agent, Container, Installation, Platform
from handlers.version import AgentVersion

SYSTEM_PROBE_HAS_RUNTIME = (57, 0)
AGENT_TESTS_ITSELF = (65, 0)
AGENT_STATUS_HAS_SELF_TESTS = (72, 0)

SOCKET_VARIABLE = "DD_RUNTIME_SECURITY_CONFIG_SOCKET"
CONTAINER_SOCKET = "/var/run/sysprobe/runtime-security.sock"
"""Where the chart and the Operator put the socket (DataDog/helm-charts:charts/datadog/templates@79f7c74f)."""
DEFAULT_SOCKET = "/opt/datadog-agent/run/runtime-security.sock"
"""Where the Agent looks for it unless it is told (DataDog/datadog-agent:pkg/config/setup/config.go)."""
SYSTEM_PROBE_YAML = "/etc/datadog-agent/system-probe.yaml"

SINGLE_CONTAINER = "unprivileged-single-agent"
"""The one container in which the Operator may run everything."""
STATUS = ("status", "--json")
_TRIGGER = ("runtime", "self-test")

HOST_BINARIES = {
    "agent": "/opt/datadog-agent/bin/agent/agent",
    "security-agent": "/opt/datadog-agent/embedded/bin/security-agent",
    "system-probe": "/opt/datadog-agent/embedded/bin/system-probe",
}


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """A command, where to run it, and why this one."""

    argv: tuple[str, ...]
    container: str | None
    why: str


def version_command(agent: Agent) -> AgentCommand:
    """Ask the Agent for its version, when the platform does not tell."""
    container = "agent" if agent.platform is Platform.KUBERNETES else None
    return AgentCommand((_binary(agent, "agent"), "version"), container, "the image's tag does not tell the version")


def selftest_commands(agent: Agent, version: AgentVersion) -> Sequence[AgentCommand]:
    """
    The commands that trigger a self-test, the best first; empty when no container has one.

    Empty as well from 7.65, where a run by hand does harm and shows nothing (`handlers.selftest.eras`).

    `system-probe` reads the core configuration only, and the chart does not set the socket there, so it is
    given in the environment (DataDog/helm-charts:_container-system-probe.yaml@79f7c74f).
    """
    if version.era >= AGENT_TESTS_ITSELF:
        return ()
    old = _selftest(agent, "security-agent", "up to 7.66 the self-test is in security-agent")
    new = _selftest(
        agent,
        "system-probe",
        "from 7.57 the self-test is in system-probe too",
        socket=agent.installation is Installation.HELM,
    )
    return _there(agent, [old, new] if version.era >= SYSTEM_PROBE_HAS_RUNTIME else [old])


def triggers_selftest(argv: Sequence[str]) -> bool:
    """Whether a command that was run has triggered a self-test."""
    return tuple(argv[-2:]) == _TRIGGER


def with_socket(choice: AgentCommand, socket: str, because: str) -> AgentCommand:
    """The same command, told where the module's socket is. Whatever it was told before is replaced."""
    argv = choice.argv[2:] if choice.argv[0] == "env" else choice.argv
    return AgentCommand(("env", f"{SOCKET_VARIABLE}={socket}", *argv), choice.container, f"{choice.why}; {because}")


def status_commands(agent: Agent, version: AgentVersion | None) -> Sequence[AgentCommand]:
    """
    The status commands that may tell the self-test's results, the best first.

    As JSON: the Agent's text goes through its scrubber, and JSON does not.
    """
    security = _at(agent, "security-agent", STATUS, "the security-agent's status has the self-test's results")
    core = _at(agent, "agent", STATUS, "from 7.72 the Agent's own status has the self-test's results")
    if version is not None and version.era < AGENT_STATUS_HAS_SELF_TESTS:
        return _there(agent, [security])
    return _there(agent, [security, core])


def as_text(choice: AgentCommand) -> AgentCommand:
    """The same status as text, for an Agent whose JSON cannot be read."""
    argv = tuple(word for word in choice.argv if word != "--json")
    return AgentCommand(argv, choice.container, f"{choice.why}; as text, since its JSON cannot be read")


def settings_commands(agent: Agent) -> Sequence[AgentCommand]:
    """What tells the module's own settings: the running system-probe, then its file. Nothing is changed by either."""
    running = _at(agent, "system-probe", ("config",), "to see whether the module is enabled, and where its socket is")
    container = running.container
    file = AgentCommand(
        ("cat", SYSTEM_PROBE_YAML), container, "the same from the file, since system-probe did not tell"
    )
    return _there(agent, [running, file])


def system_probe_container(agent: Agent) -> Container | None:
    """The container in which the module runs; `None` on a host, and where there is none."""
    return agent.container("system-probe") or agent.container(SINGLE_CONTAINER) or _only(agent)


def _only(agent: Agent) -> Container | None:
    return agent.containers[0] if agent.platform is Platform.DOCKER and agent.containers else None


def look_for_sockets(agent: Agent, sockets: Sequence[str]) -> AgentCommand:
    """See which of the module's sockets exist, without connecting to any."""
    container = "system-probe" if agent.platform is Platform.KUBERNETES else None
    return AgentCommand(("ls", "-d", *sockets), container, "to see whether the module's socket exists")


def clock_command(agent: Agent) -> AgentCommand:
    """Ask the clock that the module stamps its results by."""
    container = next((name for name in _STAMPING if agent.container(name)), None)
    return AgentCommand(NODE_CLOCK, container, "to read the time of the results by the node's own clock and zone")


_STAMPING = ("system-probe", "security-agent", "agent")
"""Containers whose clock and zone may be the module's; it runs in the first."""


def _selftest(agent: Agent, binary: str, why: str, *, socket: bool = False) -> AgentCommand:
    choice = _at(agent, binary, _TRIGGER, why)
    return with_socket(choice, CONTAINER_SOCKET, "the chart does not set its socket") if socket else choice


def _at(agent: Agent, binary: str, arguments: tuple[str, ...], why: str) -> AgentCommand:
    container = binary if agent.platform is Platform.KUBERNETES else None
    return AgentCommand((_binary(agent, binary), *arguments), container, why)


def _binary(agent: Agent, name: str) -> str:
    return HOST_BINARIES[name] if agent.platform is Platform.HOST else name


def _there(agent: Agent, choices: Sequence[AgentCommand]) -> Sequence[AgentCommand]:
    return [choice for choice in choices if choice.container is None or agent.container(choice.container)]
