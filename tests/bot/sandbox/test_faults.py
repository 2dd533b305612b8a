"""What can be broken in the sandbox: told from what is so, and healed."""

from __future__ import annotations

import pytest

from bot.sandbox.agent import Behaviour
from bot.sandbox.faults import api_fault, bot_faults, fleet_faults
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.people import BadRequest


class Process:
    """A bot that is only said to run."""

    is_running = True

    async def start(self) -> None:
        self.is_running = True

    async def kill(self) -> None:
        self.is_running = False


@pytest.fixture
def faults() -> Faults:
    pods = [Pod("datadog-1", "node-1"), Pod("datadog-2", "node-2", Behaviour(fault="module_down"))]
    cluster = KubernetesApi(pods)
    found = Faults()
    found.add(*fleet_faults(cluster), api_fault(cluster), *bot_faults(Process()))
    return found


def says(faults: Faults) -> list[str]:
    return [broken.says for broken in faults.broken()]


async def test_what_the_fleet_begins_with_is_told_apart_from_what_somebody_broke(faults: Faults) -> None:
    await faults.do({"fault": "agent", "agent": "node-1", "is": "hang"})

    assert {broken.says: broken.on_purpose for broken in faults.broken()} == {
        "node-1: the module never answers": False,
        "node-2: the module's socket does not exist": True,
    }


async def test_everything_is_healed_at_once(faults: Faults) -> None:
    await faults.do({"fault": "node", "node": "datadog-1"})
    await faults.do({"fault": "api", "status": "429", "where": "exec"})
    await faults.do({"fault": "kill_bot"})
    assert says(faults) == [
        "node-2: the module's socket does not exist",
        "node-1: the node vanishes: its exec answers 404",
        "The cluster's API answers commands with 429",
        "The bot is not running",
    ]

    await faults.do({"fault": "heal"})

    assert says(faults) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            {"fault": "earthquake"},
            "there is no fault 'earthquake'; there are agent, api, kill_bot, node, start_bot, heal",
        ),
        ({"fault": "agent", "agent": "node-9", "is": "hang"}, "there is no Agent 'node-9'; there are node-1, node-2"),
        ({"fault": "agent", "agent": "node-1", "is": "sad"}, "is must be one of"),
        ({"fault": "api", "status": "200"}, "status must be one of 429, 500, 403, 401"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(faults: Faults, body: dict[str, str], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        await faults.do(body)
