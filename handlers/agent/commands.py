"""
Choose the command to run, by the Agent's version and its containers.

The release in which a subcommand moved is inferred from pull requests (DataDog/datadog-agent #27016, #35703, #36367,
#40678), so versions only order the choices. Each task has a list of commands to try in turn: the next one runs after an
`unknown command`.
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
"""Where the Agent looks for the socket by default (DataDog/datadog-agent:pkg/config/setup/config.go)."""
SYSTEM_PROBE_YAML = "/etc/datadog-agent/system-probe.yaml"

SINGLE_CONTAINER = "unprivileged-single-agent"
"""The container's name where the Operator runs all of the Agent in one container."""
STATUS = ("status", "--json")
_TRIGGER = ("runtime", "self-test")

HOST_BINARIES = {
    "agent": "/opt/datadog-agent/bin/agent/agent",
    "security-agent": "/opt/datadog-agent/embedded/bin/security-agent",
    "system-probe": "/opt/datadog-agent/embedded/bin/system-probe",
}


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """A command, the container to run it in, and why it was chosen."""

    argv: tuple[str, ...]
    container: str | None
    why: str


def version_command(agent: Agent) -> AgentCommand:
    """The command that prints the Agent's version, for when the platform does not tell it."""
    container = "agent" if agent.platform is Platform.KUBERNETES else None
    return AgentCommand((_binary(agent, "agent"), "version"), container, "the image's tag does not tell the version")


def selftest_commands(agent: Agent, version: AgentVersion) -> Sequence[AgentCommand]:
    """
    The commands that trigger a self-test, in order of preference; empty when no container has one.

    Also empty from 7.65, where a triggered self-test does harm and shows nothing (`handlers.selftest.eras`).

    `system-probe` reads only the core configuration, and the chart does not set the socket there, so csm gives it in
    the environment (DataDog/helm-charts:_container-system-probe.yaml@79f7c74f).
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
    """Whether a command that ran is one that triggers a self-test."""
    return tuple(argv[-2:]) == _TRIGGER


def with_socket(choice: AgentCommand, socket: str, because: str) -> AgentCommand:
    """The same command with the path of the module's socket in its environment; an earlier path is replaced."""
    argv = choice.argv[2:] if choice.argv[0] == "env" else choice.argv
    return AgentCommand(("env", f"{SOCKET_VARIABLE}={socket}", *argv), choice.container, f"{choice.why}; {because}")


def status_commands(agent: Agent, version: AgentVersion | None) -> Sequence[AgentCommand]:
    """
    The status commands that may show the self-test's results, in order of preference.

    As JSON: the Agent's text output goes through its scrubber, and JSON does not.
    """
    security = _at(agent, "security-agent", STATUS, "the security-agent's status has the self-test's results")
    core = _at(agent, "agent", STATUS, "from 7.72 the Agent's own status has the self-test's results")
    if version is not None and version.era < AGENT_STATUS_HAS_SELF_TESTS:
        return _there(agent, [security])
    return _there(agent, [security, core])


def as_text(choice: AgentCommand) -> AgentCommand:
    """The same status command with text output, for an Agent whose JSON cannot be parsed."""
    argv = tuple(word for word in choice.argv if word != "--json")
    return AgentCommand(argv, choice.container, f"{choice.why}; as text, since its JSON cannot be read")


def settings_commands(agent: Agent) -> Sequence[AgentCommand]:
    """The commands that print the module's settings: of the running system-probe, then of its file. Both only read."""
    running = _at(agent, "system-probe", ("config",), "to see whether the module is enabled, and where its socket is")
    container = running.container
    file = AgentCommand(
        ("cat", SYSTEM_PROBE_YAML), container, "the same from the file, since system-probe did not tell"
    )
    return _there(agent, [running, file])


def system_probe_container(agent: Agent) -> Container | None:
    """The container in which the module runs; `None` on a host, and when there is none."""
    return agent.container("system-probe") or agent.container(SINGLE_CONTAINER) or _only(agent)


def _only(agent: Agent) -> Container | None:
    return agent.containers[0] if agent.platform is Platform.DOCKER and agent.containers else None


def look_for_sockets(agent: Agent, sockets: Sequence[str]) -> AgentCommand:
    """The command that shows which of the module's sockets exist, without connecting to any."""
    container = "system-probe" if agent.platform is Platform.KUBERNETES else None
    return AgentCommand(("ls", "-d", *sockets), container, "to see whether the module's socket exists")


def clock_command(agent: Agent) -> AgentCommand:
    """The command that reads the clock which the module uses to stamp its results."""
    container = next((name for name in _STAMPING if agent.container(name)), None)
    return AgentCommand(NODE_CLOCK, container, "to read the time of the results by the node's own clock and zone")


_STAMPING = ("system-probe", "security-agent", "agent")
"""Containers whose clock and time zone may be the module's, in order of preference; it runs in the first."""


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
