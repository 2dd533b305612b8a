"""What the sandbox sends and answers has the keys that Slack's own has: none missing, none made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bot.sandbox.slack.server import LocalSlack
from tests.sandbox.conftest import CHANNEL, Client, SocketApp
from tests.sandbox.recorded import DOCUMENTED, EVER, LIVE
from tests.sandbox.samples import actions, button, home, inputs, modal, mrkdwn, plain, section, select

ANA = "U0SANDANA"


def like(name: str, ours: Mapping[str, Any]) -> None:
    """Raises when a key is missing that Slack sends, or is there that Slack never sends."""
    nothing: frozenset[str] = frozenset()
    live = LIVE.get(name, nothing)
    allowed = live | EVER.get(name, nothing) | DOCUMENTED.get(name, nothing)
    assert live <= ours.keys(), f"{name} lacks {sorted(live - ours.keys())}"
    assert ours.keys() <= allowed, f"{name} has {sorted(ours.keys() - allowed)}"


@pytest.fixture
async def clicked(slack: LocalSlack, api: Client, app: SocketApp) -> str:
    """A message with a button and two selects, in a thread."""
    root = await api.ok("chat.postMessage", channel=CHANNEL, text="x")
    external = {"type": "external_select", "action_id": "e", "min_query_length": 0}
    blocks = [actions(button("a", value="1", style="primary")), actions(select(action_id="s"), external)]
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x", thread_ts=root["ts"], blocks=blocks))["ts"]
    for _ in range(2):
        assert (await app.got())["event"]["type"] == "message"
    return str(ts)


async def test_a_command(slack: LocalSlack, app: SocketApp) -> None:
    await slack.people.command("ana", CHANNEL, "/probe a <b> @sam #general @sre https://example.com ana@example.com")
    payload = await app.got()

    like("command", payload)
    assert "thread_ts" not in payload
    assert payload["is_enterprise_install"] == "false"
    assert payload["text"] == (
        "a &lt;b&gt; <@U0SANDSAM> <#C0GENERAL|general> <!subteam^S0SRE|@sre> <https://example.com> <mailto:ana@example.com|ana@example.com>"
    )
    await slack.people.command("ana", CHANNEL, "/plain <b> @sam https://example.com")
    assert (await app.got())["text"] == "&lt;b&gt; @sam https://example.com"


async def test_names_of_private_places_are_not_told(slack: LocalSlack, app: SocketApp) -> None:
    await slack.people.command("ana", "#private", "/probe")
    assert (await app.got())["channel_name"] == "privategroup"
    await slack.people.command("ana", slack.workspace.direct(ANA).id, "/probe")
    assert (await app.got())["channel_name"] == "directmessage"


async def test_a_click(slack: LocalSlack, app: SocketApp, clicked: str) -> None:
    await slack.people.click("ana", CHANNEL, clicked, "a")
    payload = await app.got()

    like("block_actions", payload)
    like("block_actions.container", payload["container"])
    like("block_actions.action", payload["actions"][0])
    like("user", payload["user"])
    block = payload["message"]["blocks"][1]["block_id"]
    assert payload["state"]["values"] == {
        block: {
            "s": {"type": "static_select", "selected_option": None},
            "e": {"type": "external_select", "selected_option": None},
        }
    }
    assert payload["container"]["thread_ts"]
    assert payload["container"]["is_ephemeral"] is False


async def test_a_click_in_what_only_one_person_sees_carries_no_message(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    ts = (await api.ok("chat.postEphemeral", channel=CHANNEL, user=ANA, text="x", blocks=[actions()]))["message_ts"]
    await slack.people.click("ana", CHANNEL, ts, "a")
    payload = await app.got()

    assert "message" not in payload
    assert payload["container"]["is_ephemeral"] is True


async def test_a_choice_is_in_the_action_and_stays_in_the_state(
    slack: LocalSlack, app: SocketApp, clicked: str
) -> None:
    chosen = {"text": plain(), "value": "0"}
    await slack.people.click("ana", CHANNEL, clicked, "s", {"selected_option": chosen})
    assert (await app.got())["actions"][0]["selected_option"] == chosen
    await slack.people.click("ana", CHANNEL, clicked, "a")
    (values,) = (await app.got())["state"]["values"].values()
    assert values["s"]["selected_option"] == chosen
    await slack.people.click("sam", CHANNEL, clicked, "a")
    (values,) = (await app.got())["state"]["values"].values()
    assert values["s"]["selected_option"] is None, "what one person chose is not another's"


async def test_a_suggestion(slack: LocalSlack, app: SocketApp, clicked: str) -> None:
    app.answers["block_suggestion"] = {"options": [{"text": plain("one"), "value": "1"}]}
    offered = await slack.people.suggest("ana", "e", "on", channel=CHANNEL, message_ts=clicked)
    payload = await app.got()

    like("block_suggestion", payload)
    assert (payload["value"], payload["action_id"]) == ("on", "e")
    assert "trigger_id" not in payload
    assert offered["options"][0]["value"] == "1"


async def opened(slack: LocalSlack, api: Client, **more: Any) -> dict[str, Any]:
    view = modal(section(), inputs(block_id="b", optional=True), **more)
    return dict((await api.ok("views.open", trigger_id=slack.workspace.triggers.make(ANA), view=view))["view"])


async def test_a_submission(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    view = await opened(slack, api)
    like("view", view)
    await slack.people.submit("ana", view["id"], {})
    payload = await app.got()

    like("view_submission", payload)
    like("view", payload["view"])
    assert payload["view"]["state"]["values"] == {"b": {"a": {"type": "plain_text_input", "value": None}}}
    assert payload["view"]["external_id"] == ""
    assert payload["response_urls"] == []


async def test_a_closed_modal_is_told_only_if_it_asks(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    await slack.people.close("ana", (await opened(slack, api))["id"])
    await slack.people.close("ana", (await opened(slack, api, notify_on_close=True))["id"])
    payload = await app.got()

    like("view_closed", payload)
    assert payload["is_cleared"] is False
    assert app.envelopes.empty()


async def test_shortcuts(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    await slack.people.shortcut("ana", "begin")
    like("shortcut", await app.got())
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x"))["ts"]
    await app.got()
    await slack.people.shortcut("ana", "look", CHANNEL, ts)
    like("message_action", await app.got())


async def test_events_of_messages(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    said = await slack.people.say("ana", CHANNEL, "hello <@U0CSM>")
    got = {payload["event"]["type"]: payload for payload in [await app.got(), await app.got()]}

    like("event", got["message"])
    like("event.authorization", got["message"]["authorizations"][0])
    like("message", got["message"]["event"])
    like("app_mention", got["app_mention"]["event"])
    (block,) = said["blocks"]
    assert block["elements"][0]["elements"][1] == {"type": "user", "user_id": "U0CSM"}
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x"))["ts"]
    await app.got()
    await api.ok("chat.update", channel=CHANNEL, ts=ts, text="y")
    like("message_changed", (await app.got())["event"])


async def test_direct_messages_are_events_without_a_mention(slack: LocalSlack, app: SocketApp) -> None:
    await slack.people.say("ana", slack.workspace.direct(ANA).id, "hello <@U0CSM>")
    event = (await app.got())["event"]

    assert (event["type"], event["channel_type"]) == ("message", "im")
    assert app.envelopes.empty()


async def test_other_events(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    message = await slack.people.say("ana", CHANNEL, "x")
    await app.got()
    await slack.people.react("ana", CHANNEL, message["ts"], "eyes")
    like("reaction_added", (await app.got())["event"])
    assert await slack.people.open_home("ana") is None
    like("app_home_opened", (await app.got())["event"])
    await api.ok("views.publish", user_id=ANA, view=home())
    await slack.people.open_home("ana")
    assert (await app.got())["event"]["view"]["type"] == "home"
    await api.ok("conversations.join", channel="C0GENERAL")
    like("member_joined_channel", (await app.got())["event"])


async def test_nothing_is_told_that_is_not_subscribed_to(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    slack.workspace.channels["C0PRIVATE"].members.add("U0CSM")
    await slack.people.say("ana", "#private", "x")  # message.groups is not in the manifest
    await slack.people.say("ana", "#general", "<@U0CSM>")  # and here the app is no member

    assert app.envelopes.empty()


async def test_answers_of_methods(slack: LocalSlack, api: Client) -> None:
    posted = await api.ok("chat.postMessage", channel=CHANNEL, text="x", blocks=[section(text=mrkdwn())])
    like("chat.postMessage", posted)
    like("chat.postMessage.message", posted["message"])
    like("bot_profile", posted["message"]["bot_profile"])
    await api.ok("chat.postMessage", channel=CHANNEL, text="x", thread_ts=posted["ts"])
    await api.ok("reactions.add", channel=CHANNEL, timestamp=posted["ts"], name="eyes")
    replies = await api.ok("conversations.replies", channel=CHANNEL, ts=posted["ts"])
    like("conversations.replies", replies)
    like("thread_root", replies["messages"][0])
    like("conversations.history", await api.ok("conversations.history", channel=CHANNEL))
    like("conversations.members", await api.ok("conversations.members", channel=CHANNEL))
    like("channel", (await api.ok("conversations.info", channel=CHANNEL))["channel"])
    like("auth.test", await api.ok("auth.test"))
    like("users.info", (await api.ok("users.info", user=ANA))["user"])
    like("usergroups.list", (await api.ok("usergroups.list", include_users=True, include_count=True))["usergroups"][0])
    like("team", (await api.ok("team.info"))["team"])
    like("bots.info", (await api.ok("bots.info"))["bot"])
    bookmark = {"channel_id": CHANNEL, "title": "x", "type": "link", "link": "https://example.com"}
    like("bookmark", (await api.ok("bookmarks.add", **bookmark))["bookmark"])
    later = await api.ok(
        "chat.scheduleMessage", channel=CHANNEL, text="x", post_at=int(slack.workspace.clock.now()) + 60
    )
    like("chat.scheduleMessage", later)
    like("scheduled", (await api.ok("chat.scheduledMessages.list"))["scheduled_messages"][0])


async def test_a_file(api: Client) -> None:
    slot = await api.ok("files.getUploadURLExternal", filename="a.txt", length=1, snippet_type="text")
    await (await api.post(slot["upload_url"], b"x")).read()
    shared = await api.ok("files.completeUploadExternal", files=[{"id": slot["file_id"]}], channel_id=CHANNEL)

    like("file", shared["files"][0])


async def test_nothing_is_told_that_the_app_has_no_scope_for(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    known = slack.delivery.app
    slack.delivery.app = replace(known, scopes=known.scopes - {"app_mentions:read"})
    await slack.people.say("ana", CHANNEL, "<@U0CSM>")

    assert (await app.got())["event"]["type"] == "message"
    assert app.envelopes.empty()
