"""The faults of the sandbox: Agents, nodes, the cluster's API, Slack, the bot's process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from bot.sandbox import kubernetes_api
from bot.sandbox.agent import Behaviour
from bot.sandbox.fleet import AGENT_FAULTS as FAULTS
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.slack.faults import Broken, Fault, Field, choice, number
from bot.sandbox.slack.people import BadRequest
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.stand_ins import StandIn

WELL = ("", "nothing: it is well")
METHODS = (
    "chat.postMessage",
    "chat.update",
    "files.getUploadURLExternal",
    "files.completeUploadExternal",
    "views.open",
    "usergroups.users.list",
    "users.info",
    "auth.test",
)
SLACK_STATUSES = {"500": "500, an internal error", "503": "503, unavailable", "429": "429, rate limited"}
REASONS = {
    "refresh_requested": "refresh requested",
    "warning": "warning: about to close",
    "link_disabled": "Socket Mode was switched off",
}
PLACES = {"both": "listing and commands", "list": "listing the Agents", "exec": "commands"}
STATUSES = {
    "429": "429, too many requests",
    "500": "500, an internal error",
    "403": "403, forbidden",
    "401": "401, unauthorized",
}


class Process(Protocol):
    """The bot's process, as the faults need it."""

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""

    async def start(self) -> None:
        """Start the process."""

    async def kill(self) -> None:
        """Kill the process."""


class Fleet:
    """Every stand-in Agent: the cluster's pods and the others, which may be added later."""

    def __init__(self, cluster: KubernetesApi, others: Callable[[], Sequence[StandIn]]) -> None:
        self._cluster = cluster
        self._others = others
        self._from_start = {name: behaviour.fault for name, behaviour in self.behaviours().items()}

    def behaviours(self) -> Mapping[str, Behaviour]:
        """The behaviour of each Agent, by Agent name."""
        pods = {pod.node: pod.behaviour for pod in self._cluster.pods.values()}
        return pods | {other.name: other.behaviour for other in self._others()}

    async def misbehave(self, name: str, fault: str) -> None:
        """Set an Agent's fault: a name of `bot.sandbox.fleet.AGENT_FAULTS`, or empty for none. Raises `BadRequest`."""
        for other in self._others():
            if other.name == name:
                await other.play(replace(other.behaviour, fault=fault))
                return
        _pod(self._cluster, name).behaviour.fault = fault

    def faulty(self) -> Iterable[Broken]:
        """The Agents that have a fault now."""
        for name, behaviour in self.behaviours().items():
            if fault := behaviour.fault:
                # An Agent that was added later brought its fault along.
                since_start = self._from_start.setdefault(name, fault) == fault
                heal = {"fault": "agent", "agent": name, "is": ""}
                yield Broken(f"{name}: {FAULTS[fault]}", heal, on_purpose=since_start)


def fleet_faults(cluster: KubernetesApi, others: Callable[[], Sequence[StandIn]] = tuple) -> Sequence[Fault]:
    """The faults of the Agents and of the stand-in cluster's nodes."""
    fleet = Fleet(cluster, others)

    async def agent(body: Mapping[str, Any]) -> None:
        await fleet.misbehave(str(body["agent"]), choice(body, "is", FAULTS))

    async def node(body: Mapping[str, Any]) -> None:
        _pod(cluster, str(body["node"])).fault = choice({"is": "vanish", **body}, "is", kubernetes_api.FAULTS)

    def faulty_nodes() -> Iterable[Broken]:
        for pod in cluster.pods.values():
            if pod.fault:
                heal = {"fault": "node", "node": pod.node, "is": ""}
                yield Broken(f"{pod.node}: {kubernetes_api.FAULTS[pod.fault]}", heal)

    def agents() -> Sequence[tuple[str, str]]:
        return [(name, f"{name} ({behaviour.version})") for name, behaviour in fleet.behaviours().items()]

    def nodes() -> Sequence[tuple[str, str]]:
        return [(pod.node, pod.node) for pod in cluster.pods.values()]

    return (
        Fault(
            "agent", "An Agent misbehaves", "It hangs, fails its tests, or answers what nobody expects.", agent,
            lambda: [Field("agent", "Agent", agents()), Field("is", "What is wrong", [*FAULTS.items(), WELL])], fleet.faulty,
        ),
        Fault(
            "node", "A node misbehaves", "The cluster lists it, and its commands do not get through.", node,
            lambda: [Field("node", "Node", nodes()), Field("is", "What is wrong", [*kubernetes_api.FAULTS.items(), WELL])], faulty_nodes,
        ),
    )  # fmt: skip


def api_fault(cluster: KubernetesApi) -> Fault:
    """The fault of the cluster's API: it answers listing, commands or both with an HTTP error."""

    async def api(body: Mapping[str, Any]) -> None:
        status = int(choice({"status": "429", **body}, "status", STATUSES) or 0)
        where = choice(body, "where", PLACES) or "both"
        cluster.list_fault = status if where != "exec" else 0
        cluster.exec_fault = status if where != "list" else 0

    def broken() -> Iterable[Broken]:
        heal = {"fault": "api", "status": ""}
        if status := cluster.list_fault or cluster.exec_fault:
            where = [
                words for words, fault in (("listing", cluster.list_fault), ("commands", cluster.exec_fault)) if fault
            ]
            yield Broken(f"The cluster's API answers {' and '.join(where)} with {status}", heal)

    def fields() -> Sequence[Field]:
        return [Field("status", "Answer", [*STATUSES.items()]), Field("where", "What is refused", [*PLACES.items()])]

    return Fault(
        "api", "The cluster's API refuses", "It answers with an error, however often it is asked.", api, fields, broken
    )


def bot_faults(process: Process) -> Sequence[Fault]:
    """The faults of the bot's process: kill it, and start it again."""

    async def kill(_body: Mapping[str, Any]) -> None:
        await process.kill()

    async def start(_body: Mapping[str, Any]) -> None:
        if not process.is_running:
            await process.start()

    def broken() -> Iterable[Broken]:
        if not process.is_running:
            yield Broken("The bot is not running", {"fault": "start_bot"})

    return (
        Fault(
            "kill_bot",
            "Kill the bot",
            "Its process gets SIGKILL in the middle of whatever it does.",
            kill,
            broken=broken,
        ),
        Fault("start_bot", "", "Start the bot's process again.", start),
    )


def slack_faults(slack: LocalSlack) -> Sequence[Fault]:
    """The faults of Slack: error answers, dropped connections, disconnects."""
    statuses = slack.api.faults

    async def api_error(body: Mapping[str, Any]) -> None:
        method, times = str(body["method"]), number(body, "times", 1)
        status = choice({"status": "500", **body}, "status", SLACK_STATUSES)
        statuses[method] = [*statuses[method], *[int(status)] * times] if status else []

    async def drop_sockets(_body: Mapping[str, Any]) -> None:
        await slack.socket_mode.drop()

    async def disconnect(body: Mapping[str, Any]) -> None:
        await slack.socket_mode.disconnect(choice(body, "reason", REASONS) or "refresh_requested")

    def failing() -> Iterable[Broken]:
        for method, left in statuses.items():
            if left:
                times = "once more" if len(left) == 1 else f"{len(left)} times more"
                heal = {"fault": "api_error", "method": method, "status": ""}
                yield Broken(f"Slack answers {method} with {left[0]}, {times}", heal)

    return (
        Fault(
            "api_error", "Slack answers with an error", "A method's next calls get that status, and are not carried out.", api_error,
            lambda: [Field("method", "Method", [(name, name) for name in METHODS]), Field("status", "Answer", [*SLACK_STATUSES.items()]), Field("times", "How often", value="3", kind="number")],
            failing,
        ),
        Fault("drop_sockets", "The socket drops", "Every connection of the bot is closed without a word. It comes back by itself.", drop_sockets),
        Fault(
            "disconnect", "Slack refreshes the sockets", "Slack asks the bot to connect anew, as it does every few hours.", disconnect,
            lambda: [Field("reason", "Reason", [*REASONS.items()])],
        ),
    )  # fmt: skip


def _pod(cluster: KubernetesApi, name: str) -> Pod:
    pod = next((pod for pod in cluster.pods.values() if name in (pod.node, pod.name)), None)
    if pod is None:
        nodes = ", ".join(pod.node for pod in cluster.pods.values())
        raise BadRequest(f"there is no Agent {name!r}; there are {nodes[:200]}")
    return pod
