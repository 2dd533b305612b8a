"""A tc check in Slack: few posts within every limit, however many devices there are and whatever they are called."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.render import run_message
from bot.render.post import MOST_BLOCKS, MOST_CHARACTERS, Post, size
from bot.render.text_report import to_text
from bot.render.thread import files, thread
from handlers.model import AgentResult, Report, Verdict, count, worst, worst_first
from handlers.tc.document import cleaned
from tests.handlers.tc.nodes import OK, REDIRECT, SHOT, UNSPEC, Node, agent, device, judged, seen


def report(*results: AgentResult) -> Report:
    ranked = worst_first(results)
    verdict = worst(result.verdict for result in ranked)
    return Report(
        run="r-1", command="tc", target="cluster-a", verdict=verdict, started=datetime(2026, 11, 24, tzinfo=UTC), duration_s=1.0,
        counts=count(ranked), agents=tuple(ranked),
    )  # fmt: skip


def node_of(number: int, pods: int) -> AgentResult:
    """A node of pods in five kinds of trouble, and well."""
    node = Node()
    devices = []
    for pod in range(pods):
        name = f"lxc{pod:04x}"
        chains = {
            0: [node.filter(f"cil_from_container-{name}", OK, REDIRECT, SHOT), node.own("ingress")],
            1: [node.tcx("cil_from_contai", OK)],
            2: [node.filter(f"vendor_{pod % 7}", OK, pref=5 + pod % 40, handle=9), node.own("ingress")],
            3: [node.filter("hidden", OK, pref=4, hidden=True), node.own("ingress")],
            4: [node.filter("endpoint_ingress_filter", UNSPEC), node.own("ingress")],
        }
        devices.append(device(name, chains[pod % 5], [node.own("egress")]))
    return judged(node.evidence(*devices)).model_copy(update={"agent": f"node-{number}"})


def posts(found: Report) -> list[Post]:
    return [run_message.closing(found), *thread(found)]


@pytest.mark.parametrize(("nodes", "pods"), [(1, 5), (1, 250), (30, 60)])
def test_a_thread_is_short_and_within_every_limit(nodes: int, pods: int) -> None:
    found = report(*(node_of(number, pods) for number in range(nodes)))

    shown = posts(found)

    assert len(shown) <= 8
    for post in shown:
        assert len(post.blocks) <= MOST_BLOCKS
        assert size(post) <= MOST_CHARACTERS


def test_the_message_has_the_verdict_and_the_three_lines_that_matter() -> None:
    (head, *_), text = (
        run_message.closing(report(node_of(1, 10))).blocks,
        run_message.closing(report(node_of(1, 10))).text,
    )
    lines = head["text"]["text"].splitlines()

    assert lines[0].startswith("*❌ fail: tc check of cluster-a")
    assert len(lines) == 5
    assert all("1 Agent (node-1): " in line for line in lines[2:])
    assert "Packets are not seen" in text


def test_equal_nodes_share_their_tables() -> None:
    found = report(*(node_of(number, 5) for number in range(20)))
    tables = next(post for post in thread(found) if post.key == "tables")

    assert "20 devices on 20 Agents" in tables.text


def test_nothing_hostile_is_parsed_in_any_post_or_file() -> None:
    name = "<!channel> <@U0SANDANA> `*x*` :tada: https://evil.example|click \x1b[31m\n```"
    node = Node()
    chain = [node.filter(name, OK), node.own("ingress")]
    evidence = cleaned(node.evidence(device(name[:60], chain, [node.own("egress")]), unseen=(name,)))
    found = report(judged(evidence))

    for post in posts(found):
        parsed = [post.text, *(block["text"]["text"] for block in post.blocks if block["type"] == "section")]
        assert not any(mark in said for said in parsed for mark in ("<!", "<@", "```", "\x1b"))
    assert "\x1b" not in to_text(found) + "".join(file.content for file in files(found))


def test_an_agent_without_filters_says_why_in_one_line() -> None:
    off = judged(Node().evidence(agent=seen(settings={"network.enabled": "false"})))
    found = report(off)

    assert found.verdict is Verdict.UNKNOWN
    assert "Network detections are disabled" in run_message.closing(found).text
    assert agent().name in run_message.closing(found).text
