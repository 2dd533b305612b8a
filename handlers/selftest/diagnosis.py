"""
Find out why no status shows results: the module is off, starting or down, or security-agent expects its socket
elsewhere.

Nothing here connects to the module. csm reads system-probe's configuration, and looks for the sockets with `ls`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from handlers.agent.commands import (
    CONTAINER_SOCKET,
    DEFAULT_SOCKET,
    look_for_sockets,
    settings_commands,
    system_probe_container,
)
from handlers.agent.module_settings import ModuleSettings, read_module_settings
from handlers.agent.status import RuntimeStatus
from handlers.model import Agent, Platform
from handlers.redaction import clean_lines, decode
from handlers.selftest.judge import Judgement
from handlers.selftest.runner import CommandRunner

STARTING = timedelta(minutes=3)
"""How long the module may take to start: it loads its probes, and tests itself 15 s later."""


@dataclass(slots=True)
class _Seen:
    """Facts about the module, seen from outside."""

    settings: ModuleSettings | None = None
    system_probe_refuses: bool = False
    """Whether system-probe's own command was refused a connection: nothing listens on its socket."""
    existing: tuple[str, ...] | None = None
    """Sockets that exist; `None` when that could not be seen."""
    evidence: list[str] = field(default_factory=list)


def is_starting(agent: Agent, now: datetime) -> bool:
    """Whether the module's container was started less than `STARTING` ago. False when the platform does not tell."""
    container = system_probe_container(agent)
    return bool(container and container.started_at and timedelta() <= now - container.started_at < STARTING)


async def ask_settings(runner: CommandRunner) -> ModuleSettings | None:
    """The module's settings: of the running system-probe, else of its file; `None` when neither can be read."""
    return (await _see_settings(runner)).settings


async def diagnose(runner: CommandRunner, statuses: Sequence[RuntimeStatus]) -> Judgement:
    """Find out why none of these statuses, which are all of the Agent's, shows the self-test's results."""
    if not system_probe_container(runner.agent) and runner.agent.platform is Platform.KUBERNETES:
        return Judgement("selftest.no_command", evidence=(_containers(runner.agent),))
    seen = await _see_settings(runner)
    if code := _told_by_settings(seen.settings):
        return Judgement(code, evidence=tuple(seen.evidence))
    await _see_sockets(runner, seen)
    code, detail = _told_by_sockets(runner, seen, statuses)
    return Judgement(code, detail, tuple(seen.evidence))


async def _see_settings(runner: CommandRunner) -> _Seen:
    seen = _Seen()
    for choice in settings_commands(runner.agent):
        completed = await runner.try_to_ask(choice)
        if completed is None:
            continue
        seen.system_probe_refuses |= b"connection refused" in completed.output.stderr
        settings = read_module_settings(decode(completed.output.stdout)) if completed.exit_status == 0 else None
        if settings is not None:
            seen.settings = settings
            seen.evidence.append(f"{' '.join(choice.argv)}: {_words(settings)}")
            break
        seen.evidence.append(f"{' '.join(choice.argv)} exited {completed.exit_status}")
        seen.evidence += clean_lines(completed.output.stderr, max_lines=2)
    return seen


async def _see_sockets(runner: CommandRunner, seen: _Seen) -> None:
    sockets = seen.settings.sockets if seen.settings else ()
    if not sockets:
        return
    completed = await runner.try_to_ask(look_for_sockets(runner.agent, sockets))
    if completed is None:
        return
    shown, said = decode(completed.output.stdout).split("\n"), decode(completed.output.stderr)
    existing = tuple(socket for socket in sockets if socket in shown)
    missing = sum(
        socket in line and "No such file or directory" in line for socket in sockets for line in said.split("\n")
    )
    if existing or missing >= len(sockets):
        seen.existing = existing
    seen.evidence += [f"{socket} exists" for socket in existing] or clean_lines(said, max_lines=2)


def _told_by_settings(settings: ModuleSettings | None) -> str | None:
    if settings is None:
        return None
    if settings.enabled is False:
        return "selftest.not_enabled"
    if settings.ebpfless:
        return "selftest.ebpfless"
    return "selftest.disabled" if settings.self_test is False else None


def _told_by_sockets(runner: CommandRunner, seen: _Seen, statuses: Sequence[RuntimeStatus]) -> tuple[str, str]:
    """A finding code and its detail."""
    if seen.existing == ():
        starting = is_starting(runner.agent, runner.clock.now())
        return ("selftest.module_starting" if starting else "selftest.socket_dead"), ""
    if seen.existing and (
        seen.system_probe_refuses or any("connection refused" in status.trouble for status in statuses)
    ):
        return "selftest.socket_refused", ""
    socket = seen.settings.socket if seen.settings else ""
    if seen.existing and socket and socket not in {CONTAINER_SOCKET, DEFAULT_SOCKET}:
        return "selftest.socket_elsewhere", socket
    return "selftest.no_block", ""


def _words(settings: ModuleSettings) -> str:
    told = {
        "enabled": settings.enabled,
        "self_test.enabled": settings.self_test,
        "socket": settings.socket or None,
        "cmd_socket": settings.cmd_socket or None,
    }
    return ", ".join(
        f"{key} {str(value).lower() if isinstance(value, bool) else value}"
        for key, value in told.items()
        if value is not None
    )


def _containers(agent: Agent) -> str:
    return f"containers: {', '.join(container.name for container in agent.containers)}"
