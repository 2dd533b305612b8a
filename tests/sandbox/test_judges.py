"""
The sandbox's judge of blocks beside somebody else's, and both over everything that the bot renders.

`slackblocks` ships its rules but not its fixtures, so that the cases are ours: each limit of the table at its
bound and one beyond it. Where the two differ, the difference is written down with its reason.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.render import run_message as render
from bot.render.post import Post
from bot.render.progress import Progress
from bot.sandbox.slack.blocks import faults_of_message, faults_of_view
from handlers.agent.findings import KINDS
from handlers.model import Agent, AgentResult, Container, Finding, Installation, Platform, Report, Severity, Verdict
from handlers.remediation import remediate
from handlers.version import AgentVersion
from tests import judge
from tests.sandbox.samples import EVERY_BLOCK, modal, mrkdwn
from tests.sandbox.test_limits import AT_LEAST, AT_MOST, NEVER, x

NOT_JUDGED = {
    "header.level": "slackblocks does not know it",
    "table.characters": "slackblocks leaves amounts over several cells to Slack",
    "rich_text_list.border": "slackblocks checks that it is a number only",
    "rich_text_list.indent": "the same",
    "rich_text_list.offset": "the same",
    "data_visualization.points": "of a chart whose axis has as many categories: refused there, as the axis",
    "plain_text_input.min_length": "slackblocks wants a max_length beside it",
    "section.fields": "slackblocks takes an empty list for none",
    "context.elements": "the same",
    "actions.elements": "the same",
    "markdown.text": "slackblocks takes an empty one (its own list of invalid cases does not)",
    "plan.tasks": "slackblocks takes an empty one",
}


@pytest.mark.parametrize("kind", EVERY_BLOCK)
def test_both_judges_take_what_is_right(kind: str) -> None:
    assert not faults_of_message([EVERY_BLOCK[kind]])
    assert not judge.complaints([EVERY_BLOCK[kind]])


@pytest.mark.parametrize("name", AT_MOST)
def test_both_judges_agree_on_what_is_too_much(name: str) -> None:
    most, make = AT_MOST[name]

    assert not judge.complaints([make(most)])
    if name not in NOT_JUDGED:
        assert judge.complaints([make(most + 1)])


@pytest.mark.parametrize("name", AT_LEAST)
def test_both_judges_agree_on_what_is_too_little(name: str) -> None:
    least, make = AT_LEAST[name]

    assert not judge.complaints([make(least)])
    if name not in NOT_JUDGED:
        assert judge.complaints([make(least - 1)])


def test_both_judges_agree_on_surfaces() -> None:
    for kind, block in EVERY_BLOCK.items():
        ours = bool(faults_of_view(modal(block)))
        assert ours == bool(judge.complaints([block], surface="modal")), kind


# -- what the bot renders ---------------------------------------------------------------------------------------

STARTED = datetime(2026, 11, 24, 10, tzinfo=UTC)
HOSTILE = "```<!channel> " + x(60) + "&amp; *_~`" * 400


def report(agents: int, *, text: str = "x") -> Report:
    """Every finding there is, on so many Agents, each saying that text."""
    agent = Agent(
        target="cluster-a",
        name="node-1",
        platform=Platform.KUBERNETES,
        installation=Installation.HELM,
        containers=(Container(name="system-probe"),),
    )
    version = AgentVersion(7, 70, 1)
    findings = tuple(
        Finding(
            code=code,
            severity=Severity.HIGH,
            summary=text,
            evidence=(text,) * 8,
            remediation=remediate(code, agent, version),
        )
        for code in KINDS
    )
    results = tuple(
        AgentResult(
            agent=f"node-{number}", platform=Platform.KUBERNETES, installation=Installation.HELM, verdict=list(Verdict)[number % len(Verdict)], reason=text, findings=findings if number % 2 else ()
        )
        for number in range(agents)
    )  # fmt: skip
    return Report(
        run="r-1", command="selftest", target="cluster-a", verdict=Verdict.FAIL, agents=results, reason="", requested_by="U0SANDANA",
        started=STARTED, duration_s=1.0, counts=Counter(result.verdict for result in results),
    )  # fmt: skip


def posts(agents: int, text: str) -> list[Post]:
    """All that a run shows."""
    made = report(agents, text=text)
    return [
        render.opening(Progress(run="r-1", command="selftest", target="cluster-a", requested_by="U0SANDANA", started=STARTED, total=agents, notes=(text,) * 9)),
        render.closing(made),
        render.share(made, "https://sandbox.slack.com/archives/C0/p1", "U0SANDANA"),
        *render.thread(made),
    ]  # fmt: skip


@pytest.mark.parametrize("agents", [1, 12, 200])
@pytest.mark.parametrize("text", ["x", HOSTILE], ids=["short", "hostile"])
def test_both_judges_take_whatever_the_bot_renders(agents: int, text: str) -> None:
    for post in posts(agents, text):
        blocks: Any = list(post.blocks)
        assert not faults_of_message(blocks, post.text), post.key
        assert not judge.complaints(blocks), post.key


def test_the_budget_of_the_bot_is_below_what_slack_takes() -> None:
    assert faults_of_message([{"type": "section", "text": mrkdwn("x" * 3001)}])
    assert all(len(post.text) <= 4000 and len(post.blocks) <= 50 for post in posts(200, HOSTILE))


def test_the_share_modal_is_taken_by_both() -> None:
    view = render.share_modal("r-1", "r-1 C0INCIDENT")

    assert not faults_of_view(view)
    assert not judge.complaints(view["blocks"], surface="modal")


def test_what_is_never_right_is_refused_by_both_where_both_look() -> None:
    agreed = [name for name, (block, _) in NEVER.items() if name not in ONLY_OURS and not judged(block)]

    assert not agreed


ONLY_OURS = {
    "an action twice": "slackblocks does not compare ids; Slack does (live reports)",
    "a file id that is none": "slackblocks takes any",
    "an image without words": "slackblocks gives it some",
    "an initial option from elsewhere": "slackblocks takes it",
    "uneven rows": "slackblocks looks at the length of each row alone",
    "a pending task by itself": "only in a message, see `_surfaces.py`",
    "a header in mrkdwn": "slackblocks makes plain text of it",
    "a button in mrkdwn": "slackblocks makes plain text of it",
    "a style of one's own": "a plain button's style is not looked at",
    "a code block in two languages": "slackblocks does not know languages",
    "a text field in actions": "slackblocks takes any element",
}


def judged(block: dict[str, Any]) -> str:
    try:
        return judge.complaints([block])
    except KeyError as unknown:
        return f"unknown: {unknown}"
