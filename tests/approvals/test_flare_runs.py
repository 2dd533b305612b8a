"""A flare from the request to what became of it: every way in which it can end, and nothing uploaded but by approval."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.approvals import State
from tests.approvals.harness import ANA, EVE, EXPIRES_S, KIM, SAM, World, actions, button, until, world


@pytest.fixture
async def csm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(f"sqlite:///{tmp_path / 'csm.db'}") as made:
        yield made


async def test_an_approval_uploads_the_archive_that_was_looked_at(csm: World) -> None:
    run = await csm.ask()
    card = await csm.card(run)
    assert await csm.holder.click(SAM, "approve", button(card)) is None
    record = await csm.ended(run)

    assert csm.agent.uploads == [csm.agent.questions[0].review.sha256]
    assert record.verdict == "pass"
    row = await csm.holder.runs.approvals.get(run)
    assert (row.state, row.ending, row.decided_by) == (State.ENDED, "uploaded", SAM)
    (card,) = csm.slack.cards()
    assert actions(card) == ["flare.again"]
    assert "4242" in card["text"]
    assert f"<@{SAM}>" in card["text"]
    (opening,) = csm.slack.openings()
    assert "Uploaded" in opening["text"]
    assert actions(opening) == ["flare.again"]


async def test_a_decline_uploads_nothing_and_says_where_the_archive_lies(csm: World) -> None:
    run = await csm.ask()
    await csm.holder.click(SAM, "decline", button(await csm.card(run), "flare.decline"))
    await csm.ended(run)

    assert csm.agent.answers == [(csm.agent.questions[0].review.sha256, "n")]
    (card,) = csm.slack.cards()
    assert "Declined" in card["text"]
    assert "/tmp/datadog-agent-1.zip" in str(card["blocks"])


@pytest.mark.parametrize(("who", "words"), [(EVE, "@security"), (ANA, "somebody else must approve")])
async def test_a_click_by_one_who_may_not_is_refused_and_says_who_may(csm: World, who: str, words: str) -> None:
    run = await csm.ask()
    answer = await csm.holder.click(who, "approve", button(await csm.card(run)))

    assert words in answer["text"]
    assert "@security" in answer["text"]
    assert (await csm.holder.runs.approvals.get(run)).state is State.WAITING
    assert not csm.agent.answers


async def test_whoever_asked_may_take_it_back(csm: World) -> None:
    run = await csm.ask()
    await csm.holder.click(ANA, "decline", button(await csm.card(run)))
    await csm.ended(run)

    assert (await csm.holder.runs.approvals.get(run)).ending == "declined"


async def test_of_two_clicks_one_counts_and_the_second_is_told_who_decided(csm: World) -> None:
    run = await csm.ask()
    card = button(await csm.card(run))
    answers = await asyncio.gather(csm.holder.click(SAM, "approve", card), csm.holder.click(KIM, "decline", card))
    await csm.ended(run)

    (told,) = [answer for answer in answers if answer]
    row = await csm.holder.runs.approvals.get(run)
    assert f"<@{row.decided_by}>" in told["text"]
    assert len(csm.agent.answers) == 1
    assert bool(csm.agent.uploads) is (row.decision == "approve")


async def test_a_click_that_reaches_another_replica_is_done_by_the_one_that_holds_the_archive(csm: World) -> None:
    other = await csm.start_other()
    run = await csm.ask()
    await other.click(SAM, "approve", button(await csm.card(run)))
    await csm.ended(run)

    assert len(csm.agent.uploads) == 1


async def test_it_expires_counted_from_the_request(csm: World) -> None:
    run = await csm.ask()
    card = button(await csm.card(run))
    csm.clock.forward(EXPIRES_S + 1)
    await csm.ended(run)
    answer = await csm.holder.click(SAM, "approve", card)

    assert [answer for _, answer in csm.agent.answers] == ["n"]
    assert "in time" in answer["text"]
    assert (await csm.holder.runs.approvals.get(run)).ending == "expired"


async def test_building_that_takes_too_long_expires_as_well(csm: World) -> None:
    csm.agent.build_s = 60
    run = await csm.ask()
    await until(lambda: csm.slack.openings() or None)
    await asyncio.sleep(0.1)
    csm.clock.forward(EXPIRES_S + 1)
    await csm.ended(run)

    assert not csm.agent.answers
    assert "Expired" in csm.slack.openings()[0]["text"]
    assert not csm.slack.cards()


async def test_an_archive_that_changed_after_the_review_is_not_uploaded(csm: World) -> None:
    run = await csm.ask()
    card = button(await csm.card(run))
    csm.agent.questions[0].archive = b"another one"
    await csm.holder.click(SAM, "approve", card)
    await csm.ended(run)

    assert not csm.agent.uploads
    assert (await csm.holder.runs.approvals.get(run)).ending == "not_uploaded"
    assert "has changed" in csm.slack.cards()[0]["text"]


async def test_a_button_of_another_archive_decides_nothing(csm: World) -> None:
    run = await csm.ask()
    await csm.card(run)
    answer = await csm.holder.click(SAM, "approve", f"{run} {'0' * 64}")

    assert "another archive" in answer["text"]
    assert (await csm.holder.runs.approvals.get(run)).state is State.WAITING


async def test_an_approval_for_another_host_than_datadogs_counts_only_with_that_host(csm: World) -> None:
    csm.agent.host = "flares.example.net"
    run = await csm.ask()
    card = await csm.card(run)
    assert card["text"].startswith("NOT DATADOG: this archive would go to flares.example.net")
    assert ".." not in card["text"]
    assert "flares.example.net" in card["blocks"][0]["text"]["text"]

    assert await csm.holder.click(SAM, "approve", button(card)) is None
    (view,) = csm.slack.views
    wrong = await csm.holder.confirm(SAM, view, "app.datadoghq.com")
    assert "flares.example.net" in wrong["host"]
    assert await csm.holder.confirm(SAM, view, "") == wrong
    assert (await csm.holder.runs.approvals.get(run)).state is State.WAITING
    assert await csm.holder.confirm(SAM, view, " Flares.Example.NET ") == {}
    await csm.ended(run)

    assert len(csm.agent.uploads) == 1
    row = await csm.holder.runs.approvals.get(run)
    assert (row.ending, row.decided_by) == ("uploaded", SAM)


async def test_a_decision_without_the_host_is_refused_by_the_store_whoever_makes_it(csm: World) -> None:
    csm.agent.host = "flares.example.net"
    run = await csm.ask()
    _, sha256 = button(await csm.card(run)).split()
    for host in ("", "datadoghq.com", "FLARES.example.net", "flares.example.net.evil"):
        assert not await csm.holder.runs.decide(run, "approve", sha256=sha256, by=SAM, where="C1", confirmed_host=host)
    assert (await csm.holder.runs.approvals.get(run)).state is State.WAITING
    assert await csm.holder.runs.decide(run, "decline", sha256=sha256, by=SAM, where="C1")
    await csm.ended(run)
    assert not csm.agent.uploads


@pytest.mark.parametrize("who", [EVE, ANA])
async def test_who_may_not_approve_may_not_name_a_host_either(csm: World, who: str) -> None:
    csm.agent.host = "flares.example.net"
    run = await csm.ask()
    card = button(await csm.card(run))
    assert "@security" in (await csm.holder.click(who, "approve", card))["text"]
    assert not csm.slack.views
    await csm.holder.click(SAM, "approve", card)
    await csm.holder.confirm(who, csm.slack.views[0], "flares.example.net")
    assert (await csm.holder.runs.approvals.get(run)).state is State.WAITING
    await until(lambda: [words for user, words in csm.slack.ephemeral if user == who and "@security" in words] or None)


async def test_a_host_that_is_named_too_late_changes_nothing(csm: World) -> None:
    csm.agent.host = "flares.example.net"
    run = await csm.ask()
    card = await csm.card(run)
    await csm.holder.click(SAM, "approve", button(card))
    await csm.holder.click(KIM, "decline", button(card, "flare.decline"))
    await csm.ended(run)
    await csm.holder.confirm(SAM, csm.slack.views[0], "flares.example.net")

    await until(lambda: [words for user, words in csm.slack.ephemeral if user == SAM and f"<@{KIM}>" in words] or None)
    assert not csm.agent.uploads


async def test_a_copy_is_taken_before_the_answer_and_shown_only_once_it_was_uploaded(csm: World) -> None:
    csm.agent.upload_s = 0.3
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    await until(lambda: csm.agent.uploads or None)
    assert not csm.slack.copies
    await csm.ended(run)

    assert csm.slack.copies == csm.agent.uploads


@pytest.mark.parametrize("fault", ["cut", "refused"])
async def test_no_copy_is_shown_of_what_was_not_seen_to_be_uploaded(csm: World, fault: str) -> None:
    csm.agent.upload_fails = fault == "refused"
    csm.agent.upload_s = 0.2
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    await until(lambda: csm.agent.uploads or None)
    if fault == "cut":
        csm.agent.questions[0].end()
    await csm.ended(run)

    assert not csm.slack.copies


async def test_where_csm_has_as_many_copies_as_it_may_the_upload_goes_on_and_says_so(csm: World) -> None:
    copies = csm.holder.runs._flares._parts.copies
    while not copies.locked():
        await copies.acquire()
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    record = await csm.ended(run)

    assert (record.verdict, len(csm.agent.uploads)) == ("pass", 1)
    assert [finding.code for finding in record.report.agents[0].findings] == ["flare.no_copy"]
    assert "No copy of the archive was kept" in csm.slack.cards()[0]["text"]
    assert not csm.slack.copies


async def test_cancelling_while_the_copy_is_read_uploads_nothing(csm: World) -> None:
    csm.agent.copy_s = 60
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    await until(lambda: "copy" in csm.slack.openings()[0]["text"] or None)
    await csm.holder.runs.cancel(run, ANA, "C1")
    await csm.ended(run)

    assert [answer for _, answer in csm.agent.answers] == ["n"]
    assert "Cancelled" in csm.slack.openings()[0]["text"]
    assert not csm.slack.copies


async def test_a_process_that_dies_while_it_reads_the_copy_has_uploaded_nothing(csm: World) -> None:
    csm.agent.copy_s = 60
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    await until(lambda: "copy" in csm.slack.openings()[0]["text"] or None)
    await csm.kill()
    await csm.start()
    await csm.ended(run)

    assert (await csm.holder.runs.approvals.get(run)).ending == "lost"
    assert not csm.agent.uploads


async def test_cancelling_ends_it_without_an_upload(csm: World) -> None:
    run = await csm.ask()
    await csm.card(run)
    await csm.holder.runs.cancel(run, ANA, "C1")
    await csm.ended(run)

    assert [answer for _, answer in csm.agent.answers] == ["n"]
    assert "Cancelled" in csm.slack.openings()[0]["text"]


async def test_a_command_that_ends_early_ends_the_request(csm: World) -> None:
    run = await csm.ask()
    await csm.card(run)
    csm.agent.questions[0].end()
    await csm.ended(run)

    assert (await csm.holder.runs.approvals.get(run)).ending == "ended_early"
    assert actions(csm.slack.cards()[0]) == ["flare.again"]


async def test_a_failed_upload_is_told_in_words(csm: World) -> None:
    csm.agent.upload_fails = True
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    record = await csm.ended(run)

    assert record.verdict == "fail"
    assert "403" in csm.slack.cards()[0]["text"]


async def test_a_killed_process_leaves_a_card_that_says_so_and_uploads_nothing(csm: World) -> None:
    run = await csm.ask()
    card = button(await csm.card(run))
    await csm.kill()
    await csm.start()
    await csm.ended(run)
    answer = await csm.holder.click(SAM, "approve", card)

    assert not csm.agent.answers
    (shown,) = csm.slack.cards()
    assert actions(shown) == ["flare.again"]
    assert "gone" in shown["text"]
    assert "prepare it again" in answer["text"]


async def test_an_approval_that_was_not_acted_on_is_not_acted_on_after_a_restart(csm: World) -> None:
    csm.agent.hash_s = 5
    run = await csm.ask()
    await csm.holder.click(SAM, "approve", button(await csm.card(run)))
    await until_state(csm, run, State.UPLOADING)
    await csm.kill()
    await csm.start()
    await csm.ended(run)

    assert not csm.agent.uploads
    assert (await csm.holder.runs.approvals.get(run)).ending == "in_doubt"
    card = csm.slack.cards()[0]["text"]
    assert "not known" in card
    assert "Ask Datadog's support whether the flare arrived, before another one is sent: for case 123" in card


async def test_a_stopped_process_ends_its_flares_and_says_so_before_it_goes(csm: World) -> None:
    run = await csm.ask()
    await csm.card(run)
    await csm.stop()

    assert [answer for _, answer in csm.agent.answers] == ["n"]
    (shown,) = csm.slack.cards()
    assert actions(shown) == ["flare.again"]
    assert "csm was stopped" in shown["text"]
    await csm.start()
    assert (await csm.ended(run)).verdict == "skipped"


async def test_prepare_again_is_one_new_run_however_often_it_is_clicked(csm: World) -> None:
    run = await csm.ask()
    await csm.holder.click(SAM, "decline", button(await csm.card(run)))
    await csm.ended(run)
    first = await csm.holder.again(ANA, run)
    second = await csm.holder.again(ANA, run)

    assert first is None
    assert "already" in second["text"]
    await until(lambda: len(csm.agent.questions) == 2 or None)


async def test_a_hundred_flares_wait_at_once_in_one_process(csm: World) -> None:
    runs = [await csm.ask() for _ in range(100)]
    cards = [await csm.card(run, within_s=60) for run in runs]
    assert len([question for question in csm.agent.questions if question.open]) == 100
    await asyncio.gather(*(csm.holder.click(SAM, "approve", button(card)) for card in cards))
    for run in runs:
        await csm.ended(run, within_s=60)

    assert sorted(csm.agent.uploads) == sorted(question.review.sha256 for question in csm.agent.questions)


async def until_state(csm: World, run: str, state: State) -> None:
    for _ in range(2000):
        if (await csm.holder.runs.approvals.get(run)).state is state:
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"{run} never was {state}")


async def test_a_process_whose_watch_over_its_flares_has_ended_says_so(csm: World) -> None:
    assert csm.holder.runs.fault() == ""
    (watch,) = [task for task in csm.holder.runs.tasks if task.get_name() == "watch flares"]
    watch.cancel()
    await asyncio.wait({watch})

    assert "watch flares" in csm.holder.runs.fault()
