"""Checks a target: reachable, permitted, has Agents of known versions, its clock agrees, and a command really runs."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

from bot.doctor.check_result import Check, failed, passed, skipped, unknown, warned
from bot.exit_status import login
from bot.storage.audit import Entry
from handlers.agent.commands import version_command
from handlers.errors import Denied, ExecError, TargetDenied, TargetError
from handlers.executors.base import Completed, Executor, Limits, run
from handlers.executors.docker import DockerExecutor
from handlers.executors.host import HostExecutor
from handlers.executors.kubernetes import NEEDED, KubernetesExecutor, Right
from handlers.model import Agent, Platform
from handlers.redaction import clean
from handlers.version import from_tag

SKEW_S = 30.0
"""Maximum clock difference in seconds: an Agent's results are judged by their time stamps."""
COMMAND = Limits(deadline_s=20, max_bytes=64 * 1024)

TOO_MUCH = (
    Right("get", "secrets"),
    Right("list", "secrets"),
    Right("create", "pods"),
    Right("delete", "pods"),
    Right("patch", "daemonsets", group="apps"),
    Right("update", "configmaps"),
    Right("create", "rolebindings", group="rbac.authorization.k8s.io"),
    Right("impersonate", "users"),
    Right("create", "pods", "exec", namespace="kube-system"),
)
"""Rights that csm never uses. An attacker who steals its account could use them."""


async def look(target: str, executor: Executor, tell: Callable[[Entry], None]) -> AsyncGenerator[Check]:
    """Check one target. `tell` receives the audit entry: which command was run on which Agent."""
    if isinstance(executor, KubernetesExecutor):
        async for check in _rights(target, executor):
            yield check
    try:
        agents = await executor.agents()
    except TargetError as error:
        yield _unusable(target, error)
        return
    yield passed(f"target.{target}.reachable", f"{target} answers.")
    yield await _clock(target, executor, agents)
    if not agents:
        mend = f"Deploy the Agent there, or correct the namespace, selector or image of {target} in the configuration."
        yield failed(f"target.{target}.agents", f"No Datadog Agent was found on {target}.", mend)
        return
    for check in _agents(target, agents):
        yield check
    yield await _command(target, executor, agents, tell)


def _unusable(target: str, error: TargetError) -> Check:
    name = f"target.{target}.reachable"
    if isinstance(error, TargetDenied):
        return failed(name, str(error), f"Give csm's account on {target} the right that is named, or another account.")
    return failed(
        name,
        str(error),
        f"Check that {target} is up and can be reached from where csm runs, and its entry in the configuration.",
    )


async def _rights(target: str, executor: KubernetesExecutor) -> AsyncGenerator[Check]:
    name = f"target.{target}.rights"
    try:
        needed, useful, too_much = await asyncio.gather(
            *(_allowed(executor, rights) for rights in (NEEDED, executor.useful, TOO_MUCH))
        )
    except TargetError as error:
        yield unknown(name, f"The cluster does not say what csm may do: {error}", f"See target.{target}.reachable.")
        return
    for right in NEEDED:
        if right not in needed:
            mend = f"Add the rule to csm's role: verbs [{right.verb}], resources [{str(right).split()[1]}] (deploy/chart has it)."
            yield failed(
                f"{name}.{str(right).replace(' ', '.')}", f"csm may not {right} in the Agents' namespace.", mend
            )
    if len(needed) == len(NEEDED):
        yield passed(name, f"csm may do what it must: {', '.join(map(str, NEEDED))}.")
    if missing := [right for right in executor.useful if right not in useful]:
        words = ", ".join(f"{right} in {right.namespace}" for right in missing)
        mend = "Leave it so, or add the rules to a role there (deploy/chart has them)."
        yield warned(
            f"{name}.network_plugin", f"`tc` judges without the network plugin's settings: csm may not {words}.", mend
        )
    if too_much:
        words = ", ".join(f"{right} in {right.namespace}" if right.namespace else str(right) for right in too_much)
        yield warned(
            f"{name}.too_much",
            f"csm may do more than it ever does: {words}.",
            "Give it a role with its own rules only (deploy/chart has it).",
        )


async def _allowed(executor: KubernetesExecutor, rights: Sequence[Right]) -> Sequence[Right]:
    answers = await asyncio.gather(*(executor.may(right) for right in rights))
    return [right for right, allowed in zip(rights, answers, strict=True) if allowed]


def _agents(target: str, agents: Sequence[Agent]) -> Sequence[Check]:
    name = f"target.{target}.agents"
    versions = sorted({found for agent in agents if (found := from_tag(agent.version or ""))})
    span = (
        f", versions {versions[0]} to {versions[-1]}"
        if len(versions) > 1
        else f", version {versions[0]}"
        if versions
        else ""
    )
    checks = [passed(name, f"{len(agents)} {'Agent' if len(agents) == 1 else 'Agents'}{span}.")]
    if idle := [agent.name for agent in agents if agent.phase != "Running"]:
        some = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
        checks.append(
            warned(
                f"{name}.phase",
                f"Not running: {some}.",
                "They cannot be asked; see why with `kubectl describe` or `docker ps -a`.",
            )
        )
    return checks


async def _command(target: str, executor: Executor, agents: Sequence[Agent], tell: Callable[[Entry], None]) -> Check:
    """Run the version command on one Agent: harmless, and the only way to know that commands, and sudo, work."""
    name = f"target.{target}.command"
    agent = next((agent for agent in agents if agent.phase == "Running"), None)
    if agent is None:
        return skipped(name, "No Agent is running.")
    choice = version_command(agent)
    tell(Entry("doctor.asked", login(), "terminal", target=target, agent=agent.name, argv=[choice.argv]))
    try:
        done: Completed = await run(executor, agent, choice.argv, container=choice.container, limits=COMMAND)
    except ExecError as error:
        return failed(
            name, f"`{' '.join(choice.argv)}` did not run on {agent}: {clean(str(error), max_chars=500)}", _mend(agent)
        )
    if done.exit_status != 0:
        said = clean(done.output.stderr or done.output.stdout, max_chars=300)
        return failed(name, f"`{' '.join(choice.argv)}` on {agent} ended with {done.exit_status}: {said}", _mend(agent))
    return passed(name, f"{agent} answers to `{' '.join(choice.argv)}`.")


def _mend(agent: Agent) -> str:
    if agent.platform is Platform.HOST:
        return "Let csm's account run the Agent's commands: `sudo: true` in the configuration and deploy/sudoers there, or an account that may."
    return "See what the words above name; target rights are checked before this."


async def _clock(target: str, executor: Executor, agents: Sequence[Agent]) -> Check:
    name = f"target.{target}.clock"
    if isinstance(executor, HostExecutor):
        return passed(name, "It is this machine's clock.")
    try:
        there = await _time(executor, agents)
        skew = time.time() - there
    except Denied:
        return skipped(name, "Its time was not asked for: sudo is for the Agent's commands there.")
    except (ExecError, TargetError, ValueError, TypeError):
        return unknown(name, f"{target} does not tell its time.", "See the other faults of this target.")
    if abs(skew) > SKEW_S:
        said = f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {target}'s."
        return warned(name, said, "Set both clocks by NTP: results are judged by their age.")
    return passed(name, f"The clocks of {target} and of this machine agree.")


async def _time(executor: Executor, agents: Sequence[Agent]) -> float:
    if isinstance(executor, KubernetesExecutor):
        return email.utils.parsedate_to_datetime(executor.server_date).timestamp()
    if isinstance(executor, DockerExecutor):
        return datetime.fromisoformat(await executor.time()).timestamp()
    if not agents:
        raise ValueError("nobody to ask")
    return float((await run(executor, agents[0], ("date", "-u", "+%s"), limits=COMMAND)).output.stdout)
