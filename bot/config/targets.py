"""Creates the executors of the configured targets."""

from __future__ import annotations

from collections.abc import Mapping

from bot.config.settings import Settings, TargetSettings
from handlers.executors.base import Executor


def executors(settings: Settings) -> Mapping[str, Executor]:
    """Create an executor for each target, by name. Nothing is connected yet."""
    return {name: executor(name, target) for name, target in settings.targets.items()}


def described(settings: Settings) -> Mapping[str, str]:
    """Return a description in words of each target, by name."""
    return {name: _described(target) for name, target in settings.targets.items()}


def executor(name: str, target: TargetSettings) -> Executor:
    """Create the executor of a target. Nothing is connected yet."""
    # Imported when needed: the Kubernetes client alone costs a second to import.
    if target.kubernetes is not None:
        from handlers.executors.kubernetes import KubernetesExecutor

        return KubernetesExecutor(name, target.kubernetes)
    if target.docker is not None:
        from handlers.executors.docker import DockerExecutor

        return DockerExecutor(name, target.docker)
    if target.ssh is not None:
        from handlers.executors.ssh import SshExecutor

        return SshExecutor(name, target.ssh)
    assert target.host is not None, "a target is exactly one of the four"
    from handlers.executors.host import HostExecutor

    return HostExecutor(name, target.host)


def _described(target: TargetSettings) -> str:
    if target.kubernetes is not None:
        where = (
            "in this cluster" if target.kubernetes.in_cluster else f"context {target.kubernetes.context or 'current'}"
        )
        return f"Kubernetes, {where}"
    if target.docker is not None:
        return f"Docker, {target.docker.base_url}"
    if target.ssh is not None:
        return f"host over SSH, {target.ssh.address}"
    return "the host that csm runs on"
