"""
Which command to run, by the Agent's version and by which containers are there.

The release in which a subcommand moved is inferred from pull requests (DataDog/datadog-agent #27016, #35703,
#36367, #40678), so versions only order the choices: each task is a list to be tried in turn, and an
`unknown command` moves on to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.model import Agent, Installation, Platform
from handlers.version import AgentVersion

SYSTEM_PROBE_HAS_RUNTIME = (57, 0)
SECURITY_AGENT_LOST_RUNTIME = (67, 0)
AGENT_STATUS_HAS_SELF_TESTS = (72, 0)

SOCKET = "DD_RUNTIME_SECURITY_CONFIG_SOCKET=/var/run/sysprobe/runtime-security.sock"
"""Where the chart and the Operator put the socket (DataDog/helm-charts:charts/datadog/templates@79f7c74f)."""

HOST_BINARIES = {
    "agent": "/opt/datadog-agent/bin/agent/agent",
    "security-agent": "/opt/datadog-agent/embedded/bin/security-agent",
    "system-probe": "/opt/datadog-agent/embedded/bin/system-probe",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A command, where to run it, and why this one."""

    argv: tuple[str, ...]
    container: str | None
    why: str


def version_command(agent: Agent) -> Choice:
    """Ask the Agent for its version, when the platform does not tell."""
    container = "agent" if agent.platform is Platform.KUBERNETES else None
    return Choice((_binary(agent, "agent"), "version"), container, "the image's tag does not tell the version")


def selftest_commands(agent: Agent, version: AgentVersion | None) -> Sequence[Choice]:
    """
    The self-test's commands, the best first; empty when no container has one.

    `system-probe` reads the core configuration only, and the chart does not set the socket there, so it is
    given in the environment (DataDog/helm-charts:_container-system-probe.yaml@79f7c74f).
    """
    old = _selftest(agent, "security-agent", "up to 7.66 the self-test is in security-agent")
    new_why = "from 7.67 the self-test is in system-probe only"
    if version is not None and version.era < SECURITY_AGENT_LOST_RUNTIME:
        new_why = "from 7.57 the self-test is in system-probe too"
    new = _selftest(agent, "system-probe", new_why, socket=agent.installation is Installation.HELM)
    if version is None:
        unknown = "the version is not known, so the newer command is tried first"
        return _there(agent, [Choice(new.argv, new.container, unknown), Choice(old.argv, old.container, unknown)])
    if version.era >= SECURITY_AGENT_LOST_RUNTIME:
        return _there(agent, [new, old])
    if version.era >= SYSTEM_PROBE_HAS_RUNTIME:
        return _there(agent, [old, new])
    return _there(agent, [old])


def with_socket(agent: Agent, choice: Choice) -> Choice | None:
    """
    The same command with the socket set, where that may help: for system-probe in a container, if not set yet.

    Docker is no exception: a chart's container seen through its node's engine has its socket there too.
    """
    if agent.platform is Platform.HOST or choice.argv[0] != "system-probe":
        return None
    return Choice(
        ("env", SOCKET, *choice.argv), choice.container, f"{choice.why}; its container did not have the socket set"
    )


def status_commands(agent: Agent, version: AgentVersion | None) -> Sequence[Choice]:
    """The status commands that may have a Self Tests block, the best first."""
    security = _at(agent, "security-agent", ("status",), "the security-agent's status has the self-test's results")
    core = _at(agent, "agent", ("status",), "from 7.72 the Agent's own status has the self-test's results")
    if version is not None and version.era < AGENT_STATUS_HAS_SELF_TESTS:
        return _there(agent, [security])
    return _there(agent, [security, core])


def _selftest(agent: Agent, binary: str, why: str, *, socket: bool = False) -> Choice:
    choice = _at(agent, binary, ("runtime", "self-test"), why)
    return (
        Choice(("env", SOCKET, *choice.argv), choice.container, f"{why}, and the chart does not set its socket")
        if socket
        else choice
    )


def _at(agent: Agent, binary: str, arguments: tuple[str, ...], why: str) -> Choice:
    container = binary if agent.platform is Platform.KUBERNETES else None
    return Choice((_binary(agent, binary), *arguments), container, why)


def _binary(agent: Agent, name: str) -> str:
    return HOST_BINARIES[name] if agent.platform is Platform.HOST else name


def _there(agent: Agent, choices: Sequence[Choice]) -> Sequence[Choice]:
    return [choice for choice in choices if choice.container is None or agent.container(choice.container)]
