"""
Snippets to copy, by how the Agent was installed.

YAML snippets are patches: they hold only the keys to change; the rest of the user's file stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from handlers.model import Agent, Installation, Step

HELM, OPERATOR, PLAIN, DOCKER, HOST = (
    Installation.HELM,
    Installation.OPERATOR,
    Installation.KUBERNETES,
    Installation.DOCKER,
    Installation.HOST,
)

_SELF_TEST_ENV = "DD_RUNTIME_SECURITY_CONFIG_SELF_TEST_ENABLED"

ENABLE_WORKLOAD_PROTECTION: Mapping[Installation, tuple[str, str, str]] = {
    HELM: ("Patch of the chart's values", "yaml", "datadog:\n  securityAgent:\n    runtime:\n      enabled: true\n"),
    OPERATOR: ("Patch of the DatadogAgent", "yaml", "spec:\n  features:\n    cws:\n      enabled: true\n"),
    PLAIN: (
        "Environment of the system-probe, security-agent and agent containers",
        "yaml",
        'env:\n  - name: DD_RUNTIME_SECURITY_CONFIG_ENABLED\n    value: "true"\n',
    ),
    DOCKER: ("Added to `docker run`", "shell", "-e DD_RUNTIME_SECURITY_CONFIG_ENABLED=true"),
    HOST: (
        "Patch of /etc/datadog-agent/system-probe.yaml and security-agent.yaml",
        "yaml",
        "runtime_security_config:\n  enabled: true\n",
    ),
}

ENABLE_SELF_TEST: Mapping[Installation, tuple[str, str, str]] = {
    HELM: (
        "Patch of the chart's values",
        "yaml",
        f'agents:\n  containers:\n    systemProbe:\n      envDict:\n        {_SELF_TEST_ENV}: "true"\n',
    ),
    OPERATOR: (
        "Patch of the DatadogAgent",
        "yaml",
        (
            "spec:\n  override:\n    nodeAgent:\n      containers:\n        system-probe:\n          env:\n"
            f'            - name: {_SELF_TEST_ENV}\n              value: "true"\n'
        ),
    ),
    PLAIN: (
        "Environment of the system-probe container",
        "yaml",
        f'env:\n  - name: {_SELF_TEST_ENV}\n    value: "true"\n',
    ),
    DOCKER: ("Added to `docker run`", "shell", f"-e {_SELF_TEST_ENV}=true"),
    HOST: (
        "Patch of /etc/datadog-agent/system-probe.yaml",
        "yaml",
        "runtime_security_config:\n  self_test:\n    enabled: true\n",
    ),
}

_SOCKET_ENV = "DD_RUNTIME_SECURITY_CONFIG_SOCKET"
SECURITY_AGENT_SOCKET: Mapping[Installation, tuple[str, str, str]] = {
    HELM: (
        "Patch of the chart's values; the path is the one that the evidence names",
        "yaml",
        f'agents:\n  containers:\n    securityAgent:\n      envDict:\n        {_SOCKET_ENV}: "<path>"\n',
    ),
    OPERATOR: (
        "Patch of the DatadogAgent; the path is the one that the evidence names",
        "yaml",
        (
            "spec:\n  override:\n    nodeAgent:\n      containers:\n        security-agent:\n          env:\n"
            f'            - name: {_SOCKET_ENV}\n              value: "<path>"\n'
        ),
    ),
    PLAIN: (
        "Environment of the security-agent container; the path is the one that the evidence names",
        "yaml",
        f'env:\n  - name: {_SOCKET_ENV}\n    value: "<path>"\n',
    ),
    DOCKER: (
        "Added to `docker run`; the path is the one that the evidence names",
        "shell",
        f"-e {_SOCKET_ENV}=<path>",
    ),
    HOST: (
        "Patch of /etc/datadog-agent/security-agent.yaml; the path is the one that the evidence names",
        "yaml",
        'runtime_security_config:\n  socket: "<path>"\n',
    ),
}

_RESTART = "sudo systemctl restart datadog-agent-sysprobe datadog-agent"


def patch(agent: Agent, by_installation: Mapping[Installation, tuple[str, str, str]]) -> tuple[Step, ...]:
    """The patch for this Agent, and on a host the restart that makes it take effect."""
    title, language, snippet = by_installation[agent.installation]
    steps = [Step(platform=agent.installation, title=title, language=language, snippet=snippet)]
    if agent.installation is HOST:
        steps.append(shell(agent, "Make it take effect", _RESTART))
    return tuple(steps)


def shell(agent: Agent, title: str, snippet: str) -> Step:
    """A step with a command for a person's terminal."""
    return Step(platform=agent.installation, title=title, language="shell", snippet=snippet)


def logs(agent: Agent, container: str) -> Step:
    """A step that reads the log of a container, or on a host of a process."""
    match agent.installation:
        case Installation.DOCKER:
            command = f"docker logs --tail 200 {agent.name}"
        case Installation.HOST:
            command = f"sudo tail -n 200 /var/log/datadog/{container}.log"
        case _:
            command = f"kubectl -n {agent.namespace or '<namespace>'} logs {_pod(agent)} -c {container} --tail=200"
    return shell(agent, f"Read the log of {container}", command)


def describe(agent: Agent) -> Step:
    """A step that shows the state of the Agent."""
    match agent.installation:
        case Installation.DOCKER:
            command = f"docker inspect --format '{{{{json .State}}}}' {agent.name}"
        case Installation.HOST:
            command = "systemctl status datadog-agent datadog-agent-sysprobe datadog-agent-security"
        case _:
            command = f"kubectl -n {agent.namespace or '<namespace>'} describe pod {_pod(agent)}"
    return shell(agent, "See what state it is in", command)


def restart(agent: Agent) -> Step:
    """A step that restarts the Agent."""
    match agent.installation:
        case Installation.DOCKER:
            command = f"docker restart {agent.name}"
        case Installation.HOST:
            command = _RESTART
        case _:
            command = f"kubectl -n {agent.namespace or '<namespace>'} delete pod {_pod(agent)}"
    return shell(agent, "Restart it", command)


def restart_system_probe(agent: Agent) -> Step:
    """
    A step that restarts system-probe for a new self-test, which the Agent runs 15 s after system-probe has started.
    """
    match agent.installation:
        case Installation.DOCKER:
            command = f"docker restart {agent.name}"
        case Installation.HOST:
            command = "sudo systemctl restart datadog-agent-sysprobe"
        case _:
            command = f"kubectl -n {agent.namespace or '<namespace>'} delete pod {_pod(agent)}"
    return shell(agent, "For a fresh self-test, restart system-probe (the first result comes 15 s later)", command)


def look_for_sockets(agent: Agent, container: str) -> Step:
    """A step that lists the module's sockets."""
    match agent.installation:
        case Installation.DOCKER:
            command = f"docker exec {agent.name} ls -l /var/run/sysprobe /opt/datadog-agent/run"
        case Installation.HOST:
            command = "sudo ls -l /opt/datadog-agent/run"
        case _:
            command = f"kubectl -n {agent.namespace or '<namespace>'} exec {_pod(agent)} -c {container} -- ls -l /var/run/sysprobe"
    return shell(agent, "See which sockets there are", command)


def _pod(agent: Agent) -> str:
    return agent.handle or agent.name
