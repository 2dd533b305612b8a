"""
Choose the command that builds a flare, by the Agent's version and its containers.

`security-agent flare` includes the data of Workload Protection, and `agent flare` includes it from about 7.80
(DataDog/datadog-agent #50860); from 7.77 Datadog's documentation recommends `agent flare`. Both ask for an e-mail
address unless it is given, so csm always gives it (cmd/security-agent/subcommands/flare/command.go@11ab8d28,
cmd/agent/subcommands/flare/command.go@013fb719).
"""

from __future__ import annotations

from collections.abc import Sequence

from handlers.agent.commands import HOST_BINARIES, AgentCommand
from handlers.model import Agent, Platform
from handlers.version import AgentVersion

SECURITY_AGENT_NOT_NEEDED = (77, 0)

LOCAL = "--local"
_SINGLE = "unprivileged-single-agent"
"""The container's name where the Operator runs all of the Agent in one container."""


def flare_commands(agent: Agent, version: AgentVersion | None, case: str, email: str) -> Sequence[AgentCommand]:
    """
    The commands that build a flare, in order of preference; empty when no container has one.

    `case` (digits, or empty) and `email` are separate arguments of the command.
    """
    core_why, security = _weighed(agent, version)
    core = _choice(agent, "agent", core_why, case, email)
    choices = [_choice(agent, "security-agent", security, case, email)] if security else []
    return [choice for choice in (*choices, core) if choice.container is None or agent.container(choice.container)]


def locally(choice: AgentCommand) -> AgentCommand | None:
    """The same command with `--local`, which builds the archive itself; `None` where it cannot, or does so already."""
    if LOCAL in choice.argv or choice.argv[0].endswith("security-agent"):
        return None
    why = f"{choice.why}; the running Agent's archive is in another container, so the command builds its own"
    return AgentCommand((*choice.argv, LOCAL), choice.container, why)


def _weighed(agent: Agent, version: AgentVersion | None) -> tuple[str, str]:
    """
    The reason for `agent flare`, and the reason to try `security-agent flare` before it; empty when it is not tried.
    """
    if version is not None and version.era >= SECURITY_AGENT_NOT_NEEDED:
        return "from 7.77 the flare is the Agent's own", ""
    if agent.platform is Platform.KUBERNETES:
        container = agent.container("security-agent")
        if container is None:
            return "there is no security-agent container, so the flare is the Agent's own", ""
        if not container.ready:
            return f"the security-agent container is {container.state}, so the flare is the Agent's own", ""
    known = "before 7.77" if version is not None else "of an unknown version"
    return (
        "security-agent has no flare here, or does not run, so it is the Agent's own",
        f"on an Agent {known} security-agent's flare has what Workload Protection knows",
    )


def _choice(agent: Agent, binary: str, why: str, case: str, email: str) -> AgentCommand:
    container: str | None = None
    if agent.platform is Platform.KUBERNETES:
        container = _SINGLE if binary == "agent" and not agent.container("agent") else binary
    program = HOST_BINARIES[binary] if agent.platform is Platform.HOST else binary
    return AgentCommand((program, "flare", *([case] if case else []), "--email", email, "--no-color"), container, why)
