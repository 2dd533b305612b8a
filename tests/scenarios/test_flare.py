"""`/csm flare`, from the line that is typed to what stands in the thread and what the Agent was told."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.agent import Behaviour
from bot.sandbox.driver import Driver, Message, actions
from bot.sandbox.kubernetes_api import Pod
from bot.sandbox.world import World, world

NODE = "datadog-0"
SETTINGS = {"approvals": {"flare": {"by": ["@security", "U0SANDANA"], "expires": "30m"}}}
"""Ana may approve as well, so that four eyes are what refuses her."""


def pods(number: int = 3) -> list[Pod]:
    return [Pod(f"datadog-{n}", f"node-{n}", Behaviour()) for n in range(number)]


@pytest.fixture
async def sandbox() -> AsyncIterator[World]:
    async with world(pods(), settings=SETTINGS) as made:
        yield made


@pytest.fixture
def ana(sandbox: World) -> Driver:
    return Driver(sandbox.slack)


@pytest.fixture
def sam(sandbox: World) -> Driver:
    return Driver(sandbox.slack, user="sam")


@pytest.fixture
def eve(sandbox: World) -> Driver:
    return Driver(sandbox.slack, user="eve")


def told(sandbox: World, pod: str = NODE) -> list[str]:
    """What the Agent was answered."""
    return [event["answer"] for event in sandbox.cluster.ledger(pod) if event["event"] == "answered"]


def uploads(sandbox: World, pod: str = NODE) -> list[Mapping[str, Any]]:
    """What left the Agent."""
    return [event for event in sandbox.cluster.ledger(pod) if event["event"] == "uploaded"]


async def ephemeral(person: Driver, words: str, *, thread: Message | None = None) -> Message:
    """Wait until a person alone is told something, in the channel or in a thread."""

    def found() -> Message | None:
        seen = person.thread({"ts": thread["thread_ts"]}) if thread else person.messages()
        return next((m for m in seen if m.get("is_ephemeral") and words in m["text"]), None)

    return await person.until(found)


async def test_ana_asks_sam_approves_and_eve_and_ana_are_refused(
    sandbox: World, ana: Driver, sam: Driver, eve: Driver
) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    for word in ("1234567", "ana@example.com", "datadoghq.com", "SHA-256", "security-agent flare", "<@U0SANDANA>"):
        assert word in str(card)
    await eve.click(card, "flare.approve")
    assert "@security" in (await ephemeral(eve, "may not approve", thread=card))["text"]
    await ana.click(card, "flare.approve")
    assert "@security" in (await ephemeral(ana, "somebody else must approve", thread=card))["text"]
    assert not told(sandbox)
    await sam.click(card, "flare.approve")
    root = await ana.finished()

    (upload,) = uploads(sandbox)
    assert upload["sha256"] in str(card)
    assert (upload["case"], upload["email"]) == ("1234567", "ana@example.com")
    assert "Uploaded" in root["text"]
    record = next(reply for reply in ana.thread(root) if reply["ts"] == card["ts"])
    assert actions(record) == ["flare.again"]
    for word in ("<@U0SANDSAM>", "hc/requests/1234567|1234567"):
        assert word in str(record)
    assert ana.messages()[0]["ts"] == root["ts"]
    assert "etc/datadog.yaml" in ana.file("files.txt")


async def test_a_decline_says_where_the_archive_lies(sandbox: World, ana: Driver, sam: Driver) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    await sam.click(await ana.card(), "flare.decline")
    root = await ana.finished()

    assert told(sandbox) == ["n"]
    assert "Declined" in root["text"]
    removal = str(ana.thread(root))
    assert "kubectl" in removal
    assert " rm /" in removal


async def test_the_confirm_dialogs_repeat_site_case_and_size(ana: Driver) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    for element in card["blocks"][-1]["elements"]:
        for word in ("datadoghq.com", "case 1234567", "KB"):
            assert word in element["confirm"]["text"]["text"]


async def test_an_archive_that_was_edited_after_the_review_stays_where_it_is(
    sandbox: World, ana: Driver, sam: Driver
) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    (built,) = [event for event in sandbox.cluster.ledger(NODE) if event["event"] == "built"]
    Path(built["archive"]).write_bytes(b"another archive")  # noqa: ASYNC240 - a few bytes
    await sam.click(card, "flare.approve")
    root = await ana.finished()

    assert not uploads(sandbox)
    assert told(sandbox) == ["n"]
    assert "not uploaded" in root["text"]


async def test_without_a_case_and_an_agent_a_modal_asks_and_the_failing_come_first(
    sandbox: World, ana: Driver, sam: Driver
) -> None:
    sandbox.cluster.pods["datadog-2"].behaviour.fault = "rule_failed"
    await ana.type("/csm selftest cluster-a")
    await ana.finished()
    await ana.type("/csm flare cluster-a")
    form = await ana.until(lambda: _form(sandbox))
    select = next(block["element"] for block in form["blocks"] if block.get("block_id") == "agent")
    assert select["option_groups"][0]["options"][0]["value"] == "node-2"
    assert form["blocks"][2]["element"]["initial_value"] == "ana@example.com"
    assert await ana.submit(_values("node-2", "12a", "ana")) == {
        "case": "A case id has digits only, at most twelve.",
        "email": "A flare needs the e-mail address that the case belongs to.",
    }
    assert await ana.submit(_values("node-2", "", "ana@example.com")) == {}
    await sam.click(await ana.card(number=1), "flare.approve")
    await ana.finished(number=1)

    (upload,) = uploads(sandbox, "datadog-2")
    assert upload["case"] == ""


async def test_in_a_larger_fleet_an_agent_is_typed() -> None:
    async with world(pods(150), settings=SETTINGS) as sandbox:
        ana = Driver(sandbox.slack)
        await ana.type("/csm flare cluster-a")
        form = await ana.until(lambda: _form(sandbox))
        assert form["blocks"][0]["element"]["type"] == "external_select"
        found = await sandbox.slack.people.suggest("ana", "flare.agent", "node-14", view_id=form["id"])

    assert [option["value"] for option in found["options"]] == ["node-14", *(f"node-14{n}" for n in range(10))]


async def test_without_an_address_in_the_profile_it_is_asked_for(sandbox: World, ana: Driver) -> None:
    sandbox.slack.workspace.users["U0SANDANA"].email = ""
    await ana.type("/csm flare cluster-a/node-0 1234567")
    form = await ana.until(lambda: _form(sandbox))

    assert "initial_value" not in form["blocks"][2]["element"]
    assert not sandbox.cluster.commands


async def test_a_copy_is_kept_in_the_thread_only_where_that_is_wanted_and_it_was_approved() -> None:
    settings = {"approvals": {"flare": {"by": ["@security"], "keep_copy": True}}}
    async with world(pods(), settings=settings) as sandbox:
        ana, sam = Driver(sandbox.slack), Driver(sandbox.slack, user="sam")
        await ana.type("/csm flare cluster-a/node-0 1234567")
        await ana.type("/csm flare cluster-a/node-1 1234567")
        cards = [await ana.card(number=number) for number in (0, 1)]
        assert not [name for name in _files(sandbox) if name.endswith(".zip")]
        await sam.click(cards[0], "flare.approve")
        await sam.click(cards[1], "flare.decline")
        for number in (0, 1):
            await ana.finished(number=number)
        copies = {
            hashlib.sha256(_files(sandbox)[name]).hexdigest() for name in _files(sandbox) if name.endswith(".zip")
        }
        left = {upload["sha256"] for pod in sandbox.cluster.pods for upload in uploads(sandbox, pod)}

    assert len(copies) == 1
    assert copies == left


async def test_a_host_that_is_none_of_datadogs_is_the_cards_first_line_and_must_be_typed(
    sandbox: World, ana: Driver, sam: Driver
) -> None:
    sandbox.cluster.pods[NODE].behaviour.fault = "flare_to_lookalike"
    host = "app.datadoghq.com.example.net"
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    assert card["blocks"][0]["text"]["text"].startswith(f"🚨 *NOT DATADOG: this archive would go to `{host}`")
    await sam.click(card, "flare.approve")
    view = await sam.view()
    assert host in str(view["blocks"])
    assert host in (await sam.submit(_typed("app.datadoghq.com")))["host"]
    assert not told(sandbox)
    assert await sam.submit(_typed(host)) == {}
    root = await ana.finished()
    assert f"{host}, which is not Datadog's, has the archive, as case 1234567" in root["text"]
    assert "help.datadoghq.com" not in str(root)

    (upload,) = uploads(sandbox)
    assert upload["host"] == host


async def test_only_who_may_approve_is_asked_for_the_host(sandbox: World, ana: Driver, eve: Driver) -> None:
    sandbox.cluster.pods[NODE].behaviour.fault = "flare_to_host"
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    await eve.click(card, "flare.approve")
    await ephemeral(eve, "may not approve", thread=card)

    assert not eve.views()


async def test_a_destination_that_cannot_be_read_is_said_and_not_filled_in(
    sandbox: World, ana: Driver, sam: Driver
) -> None:
    sandbox.cluster.pods[NODE].behaviour.fault = "flare_to_nowhere"
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    assert "It is not known where this archive would go" in card["blocks"][0]["text"]["text"]
    assert "datadoghq" not in str(card["blocks"])
    await sam.click(card, "flare.approve")
    await ana.finished()

    assert len(uploads(sandbox)) == 1


async def test_an_upload_in_doubt_names_whom_to_ask_on_the_card_and_in_the_runs_message(
    sandbox: World, ana: Driver, sam: Driver
) -> None:
    sandbox.cluster.pods[NODE].behaviour.fault = "flare_retries_arrive"
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    await sam.click(card, "flare.approve")
    root = await ana.finished()

    record = next(reply for reply in ana.thread(root) if reply["ts"] == card["ts"])
    for message in (root, record):
        assert "It is not known whether it was uploaded" in message["text"]
        assert "Ask Datadog's support whether the flare arrived" in message["text"]
        assert "case 1234567, from the host node-0" in message["text"]
        assert "failed" not in message["text"].replace("failed to send flare", "")


async def test_a_copy_is_kept_of_an_archive_that_the_agent_removes() -> None:
    settings = {"approvals": {"flare": {"by": ["@security"], "keep_copy": True}}}
    pod = Pod(NODE, "node-0", Behaviour("7.78.0"))
    async with world([pod], settings=settings) as sandbox:
        ana, sam = Driver(sandbox.slack), Driver(sandbox.slack, user="sam")
        await ana.type("/csm flare cluster-a/node-0 1234567")
        await sam.click(await ana.card(), "flare.approve")
        root = await ana.finished()
        (copy,) = [data for name, data in _files(sandbox).items() if name.endswith(".zip")]
        (upload,) = uploads(sandbox)
        assert not list(sandbox.cluster.tmp(NODE).glob("*.zip"))

    assert hashlib.sha256(copy).hexdigest() == upload["sha256"]
    assert "✅ Uploaded" in root["text"]
    assert "could not be checked" not in str(root)


async def test_it_expires_and_prepare_again_is_a_new_run() -> None:
    settings = {"approvals": {"flare": {"by": ["@security"], "expires": "6s"}}}
    async with world(pods(), settings=settings) as sandbox:
        ana, sam = Driver(sandbox.slack), Driver(sandbox.slack, user="sam")
        await ana.type("/csm flare cluster-a/node-0 1234567")
        card = await ana.card()
        root = await ana.finished()
        assert "Expired" in root["text"]
        assert told(sandbox) == ["n"]
        await sam.click(card, "flare.again")
        await sam.click(root, "flare.again")
        await ephemeral(sam, "prepared again already")
        again = await ana.card(number=1)
        await sam.click(again, "flare.decline")
        await ana.finished(number=1)

    assert "sam" not in again["text"]


async def test_cancelling_ends_the_agents_command_without_an_upload(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    await ana.card()
    root = await ana.until(lambda: next((m for m in ana.messages() if "run.cancel" in actions(m)), None))
    await ana.click(root, "run.cancel")
    root = await ana.finished()

    assert "Cancelled" in root["text"]
    assert told(sandbox) == ["n"]
    assert await sandbox.cluster.quiet()


async def test_a_connection_that_is_cut_is_told_on_the_card(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    sandbox.cluster.cut(NODE)
    root = await ana.finished()

    assert not uploads(sandbox)
    assert "Not uploaded" in root["text"]
    record = next(reply for reply in ana.thread(root) if reply["ts"] == card["ts"])
    assert actions(record) == ["flare.again"]


async def test_a_bot_that_is_stopped_says_so_before_it_goes(sandbox: World, ana: Driver) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    await sandbox.bot.stop()

    root = ana.messages()[0]
    assert "csm was stopped" in root["text"]
    record = next(reply for reply in ana.thread(root) if reply["ts"] == card["ts"])
    assert actions(record) == ["flare.again"]
    assert told(sandbox) == ["n"]


async def test_a_bot_that_was_killed_ends_it_when_it_is_back(sandbox: World, ana: Driver, sam: Driver) -> None:
    await ana.type("/csm flare cluster-a/node-0 1234567")
    card = await ana.card()
    await sandbox.bot.kill()
    await sandbox.bot.start()
    root = await ana.finished()
    await ana.click(card, "flare.again")
    again = await ana.card(number=1)
    await sam.click(again, "flare.approve")
    await ana.finished(number=1)

    assert "is gone" in root["text"]
    (upload,) = uploads(sandbox)
    assert upload["sha256"] in str(again)


async def test_an_agent_that_cannot_build_is_told_in_words(sandbox: World, ana: Driver) -> None:
    sandbox.cluster.pods[NODE].phase = "Pending"
    await ana.type("/csm flare cluster-a/node-0 1234567")
    root = await ana.finished()

    assert "No archive was built" in root["text"]
    assert "What to do" in str(root)


def _typed(host: str) -> Mapping[str, Any]:
    return {"host": {"flare.host": {"type": "plain_text_input", "value": host}}}


def _files(sandbox: World) -> Mapping[str, bytes]:
    """What was put into Slack, by name."""
    workspace = sandbox.slack.workspace
    return {file["name"]: workspace.contents[id_] for id_, file in workspace.files.items() if id_ in workspace.contents}


def _form(sandbox: World) -> Any:
    """The form, once it has taken the loading view's place."""
    return next((view for view in sandbox.slack.workspace.views.values() if view.get("submit")), None)


def _values(agent: str, case: str, email: str) -> Mapping[str, Any]:
    option = {"text": {"type": "plain_text", "text": agent}, "value": agent}
    return {
        "agent": {"flare.agent": {"type": "static_select", "selected_option": option}},
        "case": {"flare.case": {"type": "plain_text_input", "value": case or None}},
        "email": {"flare.email": {"type": "plain_text_input", "value": email}},
    }
