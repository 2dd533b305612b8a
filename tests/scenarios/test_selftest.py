"""`/csm selftest`, from the line that is typed to what stands in the thread."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from bot.sandbox.driver import Driver, actions, is_final, is_run
from bot.sandbox.world import World
from handlers.model import Report

OLDER = 4
"""How many of the fleet's twelve Agents are before 7.65, so that a self-test is triggered on them."""


async def test_one_message_becomes_the_verdict_and_its_thread_tells_the_rest(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()

    assert len(ana.messages()) == 1
    assert "fail" in root["text"]
    assert "2 fail" in root["text"]
    assert "<@U0SANDANA>" in root["text"]
    assert actions(root) == ["run.again", "run.share"]
    said = "\n".join(str(message) for message in ana.thread(root)[1:])
    assert "chmod" in said
    assert "security-agent status --json" in said
    assert "agent.rule_id%3Aself_test" in said
    assert "kubectl -n datadog logs" in said


async def test_the_files_hold_the_whole_report(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a")
    await ana.finished()

    report = Report.model_validate(json.loads(ana.file(".json")))
    assert {str(verdict): number for verdict, number in report.counts.items()} == {"fail": 2, "pass": 10}
    assert [result.agent for result in report.agents[:2]] == ["node-9", "node-5"]
    assert "node-5" in ana.file(".txt")


async def test_somebody_without_rights_is_refused_alone_and_told_who_may(
    sandbox: World, eve: Driver, ana: Driver
) -> None:
    await eve.type("/csm selftest cluster-a")

    (answer,) = eve.messages()
    assert answer["is_ephemeral"]
    assert "@sre" in answer["text"]
    assert not ana.messages()
    assert not sandbox.cluster.commands


async def test_a_mistyped_target_gets_the_nearest_name_and_starts_nothing(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-b")

    (answer,) = ana.messages()
    assert answer["is_ephemeral"]
    assert "cluster-a" in answer["text"]
    assert not sandbox.cluster.commands


async def test_one_agent_can_be_asked_alone(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a/node-5")
    root = await ana.finished()

    assert "1 fail" in root["text"]
    assert {pod for pod, _ in sandbox.cluster.commands} == {"datadog-0005"}


async def test_an_agent_that_is_not_there_is_answered_with_the_nearest_names(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a/node-55")
    root = await ana.finished()

    assert "no Agent named node-55" in root["text"]
    assert "node-5" in root["text"]


async def test_a_second_request_joins_the_run_that_is_on_and_says_so(sandbox: World, ana: Driver) -> None:
    sandbox.cluster.pods["datadog-0001"].behaviour.fault = "hang"
    await ana.type("/csm selftest cluster-a")
    await ana.type("/csm selftest cluster-a/node-3")

    joined = await ana.until(lambda: next((m for m in ana.messages() if m.get("is_ephemeral")), None))
    assert "joined" in joined["text"]
    await ana.finished()
    assert len([m for m in ana.messages() if is_run(m)]) == 1


async def test_a_command_typed_twice_in_one_breath_is_one_run_and_one_joins_it(sandbox: World, ana: Driver) -> None:
    await asyncio.gather(ana.type("/csm selftest cluster-a"), ana.type("/csm selftest cluster-a"))
    root = await ana.finished()

    assert [m["ts"] for m in ana.messages() if is_run(m)] == [root["ts"]]
    (joined,) = [m for m in ana.messages() if m.get("is_ephemeral")]
    assert "joined" in joined["text"]
    asked = [pod for pod, argv in sandbox.cluster.commands if argv[-1] == "self-test"]
    assert len(asked) == len(set(asked)) == OLDER


async def test_clicks_that_are_delivered_twice_do_once_what_they_do(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a/node-5")
    root = await ana.finished()
    await asyncio.sleep(2.1)  # the configured minute, here two seconds of the bot's own clock
    sandbox.slack.socket_mode.copies = 2
    await ana.click(root, "run.again")
    await ana.finished(number=1)
    await ana.click(root, "run.share")
    values = {"channel": {"channel": {"type": "conversations_select", "selected_conversation": "C0GENERAL"}}}
    assert not await ana.submit(values)

    assert len([m for m in ana.messages() if is_run(m)]) == 2
    assert len(ana.messages("#general")) == 1


async def test_within_the_minute_an_agent_is_read_anew_and_not_triggered_twice(unhurried: World) -> None:
    """node-1 (7.70.1) tests itself; on node-3 (7.60.1) a self-test has to be triggered."""
    ana = Driver(unhurried.slack)
    reports = []
    for number, agent in enumerate(["node-1", "node-1", "node-3", "node-3"]):
        await ana.type(f"/csm selftest cluster-a/{agent}")
        reports.append(ana.report(await ana.finished(number=number)) or {})

    asked = Counter((pod, argv[-1]) for pod, argv in unhurried.cluster.commands)
    assert asked["datadog-0001", "--json"] == 2
    assert asked["datadog-0003", "self-test"] == 1
    assert reports[1]["agents"][0]["reused_from"] is None
    assert reports[3]["agents"][0]["reused_from"] == reports[2]["run"]


async def test_a_command_delivered_twice_is_one_run(sandbox: World, ana: Driver) -> None:
    sandbox.slack.socket_mode.copies = 2
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()

    assert [m["ts"] for m in ana.messages()] == [root["ts"]]
    asked = [pod for pod, argv in sandbox.cluster.commands if argv[-1] == "self-test"]
    assert len(asked) == len(set(asked)) == OLDER


async def test_cancelling_keeps_what_was_found(unhurried: World) -> None:
    sandbox, ana = unhurried, Driver(unhurried.slack)
    sandbox.cluster.pods["datadog-0001"].behaviour.delay_s = 60
    sandbox.cluster.pods["datadog-0001"].behaviour.version = "7.70.1"
    await ana.type("/csm selftest cluster-a")
    running = await ana.until(lambda: next((m for m in ana.messages() if "11/12" in str(m)), None))
    await ana.click(running, "run.cancel")
    root = await ana.finished()

    assert "cancelled by <@U0SANDANA>" in root["text"]
    report = json.loads(ana.file(".json"))
    assert report["counts"] == {"fail": 2, "pass": 9, "skipped": 1}
    assert report["cancelled_by"] == "U0SANDANA"


async def test_a_stranger_cannot_cancel(sandbox: World, ana: Driver, eve: Driver) -> None:
    sandbox.cluster.pods["datadog-0001"].behaviour.fault = "hang"
    await ana.type("/csm selftest cluster-a")
    running = await eve.until(lambda: next((m for m in eve.messages() if "run.cancel" in actions(m)), None))
    await eve.click(running, "run.cancel")

    refusal = await eve.until(lambda: next((m for m in eve.messages() if m.get("is_ephemeral")), None))
    assert "may not" in refusal["text"]
    root = await ana.finished()
    assert "cancelled" not in root["text"]


async def test_run_again_makes_another_run(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a/node-5")
    first = await ana.finished()
    sandbox.cluster.pods["datadog-0005"].behaviour.fault = ""
    await asyncio.sleep(2.1)  # the configured minute, here two seconds of the bot's own clock
    await ana.click(first, "run.again")
    second = await ana.finished(number=1)

    assert "1 pass" in second["text"]
    assert "1 fail" in first["text"]


async def test_a_verdict_is_shared_into_another_channel(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()
    await ana.click(root, "run.share")
    errors = await ana.submit(
        {"channel": {"channel": {"type": "conversations_select", "selected_conversation": "C0GENERAL"}}}
    )

    assert not errors
    (shared,) = ana.messages("#general")
    assert "2 fail" in shared["text"]
    assert root["ts"].replace(".", "") in str(shared["blocks"])


async def test_sharing_where_the_bot_cannot_post_is_said_in_the_modal(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest cluster-a")
    await ana.click(await ana.finished(), "run.share")
    errors = await ana.submit(
        {"channel": {"channel": {"type": "conversations_select", "selected_conversation": "C0PRIVATE"}}}
    )

    assert "Invite it" in errors["channel"]


async def test_a_hanging_agent_costs_its_own_deadline_and_is_ended(sandbox: World, ana: Driver) -> None:
    sandbox.cluster.pods["datadog-0001"].behaviour.fault = "hang"
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()

    assert "1 unknown" in root["text"]
    report = json.loads(ana.file(".json"))
    slow = next(agent for agent in report["agents"] if agent["agent"] == "node-1")
    assert slow["findings"][0]["code"] == "agent.timeout"
    assert await sandbox.cluster.quiet()


async def test_a_cluster_that_refuses_is_said_with_the_right_that_is_missing(sandbox: World, ana: Driver) -> None:
    sandbox.cluster.list_fault = 403
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()

    assert "could not be run" in root["text"]
    assert "cannot list resource" in root["text"]


async def test_nothing_hostile_reaches_slack(sandbox: World, ana: Driver) -> None:
    for pod in sandbox.cluster.pods.values():
        pod.behaviour.fault = "hostile"
        pod.behaviour.version = "7.50.0"
    sandbox.cluster.pods["datadog-0001"].behaviour.fault = "garbage"
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()

    everything = str(ana.thread(root)) + ana.file(".json") + ana.file(".txt")
    for forbidden in ("<!channel>", "\x1b", "0123456789abcdef0123456789abcdef", "hunter2", "\u202e"):
        assert forbidden not in everything


async def test_slack_that_answers_500_is_waited_out(sandbox: World, ana: Driver) -> None:
    sandbox.slack.api.faults["chat.postMessage"] += [500, 503]
    sandbox.slack.api.faults["files.completeUploadExternal"] += [500]
    await ana.type("/csm selftest cluster-a")
    root = await ana.finished()

    assert is_final(root)
    assert len(ana.messages()) == 1


async def test_a_socket_that_is_refreshed_or_dropped_loses_nothing(sandbox: World, ana: Driver) -> None:
    await sandbox.slack.socket_mode.disconnect("refresh_requested")
    await sandbox.slack.socket_mode.drop()
    await asyncio.wait_for(sandbox.slack.socket_mode.connected.wait(), 30)
    await ana.type("/csm selftest cluster-a/node-5")

    assert is_final(await ana.finished())


async def test_lists_and_help_are_for_their_reader_only(sandbox: World, ana: Driver) -> None:
    for line in ("help", "targets", "runs", ""):
        await ana.type(f"/csm {line}")

    answers = ana.messages()
    assert len(answers) == 4
    assert all(answer["is_ephemeral"] for answer in answers)
    assert "/csm selftest" in answers[0]["text"]
    assert "/csm flare" in answers[0]["text"]
    assert "/csm tc" in answers[0]["text"]
    assert "cluster-a" in answers[1]["text"]


async def test_smart_quotes_are_read_as_quotes(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest “cluster-a/node-1”")

    assert is_final(await ana.finished())


async def test_two_thousand_characters_are_refused_in_few_words_and_start_nothing(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm selftest " + "x" * 2000)

    (answer,) = ana.messages()
    assert answer["is_ephemeral"]
    assert len(answer["text"]) < 1000
    assert not sandbox.cluster.commands
