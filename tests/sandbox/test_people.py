"""What people do, and what Slack itself does about it before and after the app is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bot.sandbox.slack.people import BadRequest
from bot.sandbox.slack.server import LocalSlack
from tests.sandbox.conftest import CHANNEL, Client, SocketApp
from tests.sandbox.samples import actions, button, home, inputs, modal, options, plain, select

ANA = "U0SANDANA"


def messages(slack: LocalSlack, user: str = ANA) -> list[dict[str, Any]]:
    return slack.workspace.visible(slack.workspace.channels[CHANNEL], user)


def notices(slack: LocalSlack) -> list[str]:
    return [event["text"] for event in slack.workspace.events if event["type"] == "notice"]


async def opened(slack: LocalSlack, api: Client, *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    trigger = slack.workspace.triggers.make(ANA)
    return dict((await api.ok("views.open", trigger_id=trigger, view=modal(*blocks, **more)))["view"])


def entered(value: Any, key: str = "value") -> dict[str, Any]:
    return {"b": {"a": {key: value}}}


# -- commands ---------------------------------------------------------------------------------------------------


async def test_a_command_from_a_thread_or_that_nobody_declared_is_not_sent(slack: LocalSlack, app: SocketApp) -> None:
    await slack.people.command("ana", CHANNEL, "/probe", thread_ts="1.1")
    await slack.people.command("ana", CHANNEL, "/dance")

    assert notices(slack) == [
        "/probe is not supported in threads. Sorry!",
        "/dance is not a valid command. In Slack it would not be sent.",
    ]
    assert app.envelopes.empty()


async def test_an_answer_is_for_its_person_unless_it_says_otherwise(slack: LocalSlack, app: SocketApp) -> None:
    app.answers["slash_commands"] = {"text": "heard"}
    await slack.people.command("ana", CHANNEL, "/probe")
    assert [m["text"] for m in messages(slack)] == ["heard"]
    assert not messages(slack, "U0SANDEVE")

    app.answers["slash_commands"] = {"text": "heard", "response_type": "in_channel"}
    await slack.people.command("ana", CHANNEL, "/probe")
    assert [m["text"] for m in messages(slack, "U0SANDEVE")] == ["/probe", "heard"]

    app.answers["slash_commands"] = {"response_type": "in_channel"}
    await slack.people.command("ana", CHANNEL, "/probe alone")
    assert messages(slack, "U0SANDEVE")[-1]["text"] == "/probe alone"


async def test_an_empty_acknowledgement_shows_nothing(slack: LocalSlack, app: SocketApp) -> None:
    await slack.people.command("ana", CHANNEL, "/probe")

    assert not messages(slack)
    assert not notices(slack)


# -- response_urls ----------------------------------------------------------------------------------------------


async def test_a_later_answer_can_stand_in_a_thread_or_in_the_channel(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    root = (await api.ok("chat.postMessage", channel=CHANNEL, text="root"))["ts"]
    await app.got()
    await slack.people.command("ana", CHANNEL, "/probe")
    url = (await app.got())["response_url"]
    await api.post(url, {"text": "only you"})
    await api.post(url, {"text": "everybody", "response_type": "in_channel"})
    await api.post(url, {"text": "below", "response_type": "in_channel", "thread_ts": root})

    assert [m["text"] for m in messages(slack)] == ["root", "only you", "everybody"]
    assert [m["text"] for m in messages(slack, "U0SANDEVE")] == ["root", "everybody"]
    thread = slack.workspace.visible(slack.workspace.channels[CHANNEL], ANA, root)
    assert [m["text"] for m in thread] == ["root", "below"]


async def test_the_message_that_was_clicked_in_can_be_replaced_and_taken_away(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    for post in ({"method": "chat.postMessage"}, {"method": "chat.postEphemeral", "user": ANA}):
        before = len(messages(slack))
        await api.ok(**post, channel=CHANNEL, text="first", blocks=[actions()])
        ts = messages(slack)[-1]["ts"]
        await slack.people.click("ana", CHANNEL, ts, "a")
        url = (await app.got("block_actions"))["response_url"]

        await api.post(url, {"text": "second", "replace_original": True, "response_type": "in_channel"})
        replaced = messages(slack)[-1]
        assert (replaced["ts"], replaced["text"], "blocks" in replaced) == (ts, "second", False)
        assert bool(replaced.get("is_ephemeral")) == ("user" in post), "who sees it stays as it was"
        await api.post(url, {"delete_original": True})
        assert len(messages(slack)) == before


async def test_what_is_no_message_is_refused_but_has_used_the_address(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    await slack.people.command("ana", CHANNEL, "/probe")
    url = (await app.got())["response_url"]

    assert [(await api.post(url, body)).status for body in (b"{", {"text": ""}, [], {"text": "x"})] == [
        400,
        400,
        400,
        200,
    ]
    assert (await api.post(url.rsplit("/", 1)[0] + "/unknown", {"text": "x"})).status == 404


# -- clicks -----------------------------------------------------------------------------------------------------


async def test_what_nobody_sees_cannot_be_clicked(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    ts = (await api.ok("chat.postEphemeral", channel=CHANNEL, user=ANA, text="x", blocks=[actions()]))["message_ts"]

    with pytest.raises(BadRequest, match="sees no message"):
        await slack.people.click("eve", CHANNEL, ts, "a")
    with pytest.raises(BadRequest, match="nothing to click"):
        await slack.people.click("ana", CHANNEL, ts, "z")
    with pytest.raises(BadRequest, match="no person"):
        await slack.people.click("bob", CHANNEL, ts, "a")
    with pytest.raises(BadRequest, match="no channel"):
        await slack.people.click("ana", "#nowhere", ts, "a")


async def test_equal_action_ids_are_told_apart_by_their_blocks(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    blocks = [{**actions(button("a", value=str(n))), "block_id": f"b{n}"} for n in range(2)]
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x", blocks=blocks))["ts"]
    await app.got()
    await slack.people.click("ana", CHANNEL, ts, "a", block_id="b1")

    assert (await app.got())["actions"][0]["value"] == "1"


async def test_a_message_that_is_updated_under_a_buttons_question_still_takes_the_click(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    asked = {"channel": CHANNEL, "text": "x", "blocks": [actions(button("a", value="1"))]}
    ts = (await api.ok("chat.postMessage", **asked))["ts"]
    (shown,) = [each for each in messages(slack) if each["ts"] == ts]
    await api.ok("chat.update", ts=ts, **asked)
    await slack.people.click("ana", CHANNEL, ts, "a", block_id=shown["blocks"][0]["block_id"])

    click = await app.got("block_actions")
    assert click["actions"][0]["block_id"] == click["message"]["blocks"][0]["block_id"]


async def test_an_app_that_does_not_take_a_click_is_said(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x", blocks=[actions()]))["ts"]
    app.answers["block_actions"] = None
    await slack.people.click("ana", CHANNEL, ts, "a")

    assert notices(slack) == ["This app did not respond. Try again."]


@pytest.mark.parametrize("answer", [{}, {"options": options(101)}, None], ids=["nothing", "too much", "no answer"])
async def test_what_an_app_wrongly_offers_is_said(slack: LocalSlack, api: Client, app: SocketApp, answer: Any) -> None:
    select_ = {"type": "external_select", "action_id": "e"}
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x", blocks=[actions(select_)]))["ts"]
    app.answers["block_suggestion"] = answer

    with pytest.raises(BadRequest, match=r"refuses|in time"):
        await slack.people.suggest("ana", "e", "x", channel=CHANNEL, message_ts=ts)


# -- modals -----------------------------------------------------------------------------------------------------

FIELD = {"type": "plain_text_input", "action_id": "a"}
NUMBER = {"type": "number_input", "action_id": "a", "is_decimal_allowed": False, "min_value": "1", "max_value": "9"}
MULTI = {"type": "multi_static_select", "action_id": "a", "options": options(3), "max_selected_items": 1}


@pytest.mark.parametrize(
    ("element", "values", "words"),
    [
        (FIELD, {}, "required"),
        (FIELD, entered(""), "required"),
        ({**FIELD, "min_length": 3}, entered("ab"), "at least 3"),
        ({**FIELD, "max_length": 3}, entered("abcd"), "at most 3"),
        ({"type": "email_text_input", "action_id": "a"}, entered("ana"), "email"),
        (NUMBER, entered("x"), "a number"),
        (NUMBER, entered("1.5"), "whole"),
        (NUMBER, entered("10"), "between 1 and 9"),
        (select(), entered(None, "selected_option"), "required"),
        (MULTI, entered(options(2), "selected_options"), "at most 1"),
    ],
)  # fmt: skip
async def test_slack_itself_sends_no_form_that_is_not_filled_in_right(
    slack: LocalSlack, api: Client, app: SocketApp, element: dict[str, Any], values: dict[str, Any], words: str
) -> None:
    view = await opened(slack, api, inputs(element, block_id="b"))
    errors = await slack.people.submit("ana", view["id"], values)

    assert words in errors["b"]
    assert app.envelopes.empty()


async def test_a_form_filled_in_right_is_sent_and_closed(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    view = await opened(slack, api, inputs(block_id="b"))

    assert await slack.people.submit("ana", view["id"], entered("typed")) == {}
    assert (await app.got())["view"]["state"]["values"]["b"]["a"] == {"type": "plain_text_input", "value": "typed"}
    assert not slack.workspace.views_of(ANA)


async def test_an_app_can_correct_update_push_and_clear(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    view = await opened(slack, api, inputs(block_id="b"))
    app.answers["view_submission"] = {"response_action": "errors", "errors": {"b": "no"}}
    assert await slack.people.submit("ana", view["id"], entered("x")) == {"b": "no"}

    app.answers["view_submission"] = {
        "response_action": "update",
        "view": modal(inputs(block_id="b"), title=plain("two")),
    }
    assert await slack.people.submit("ana", view["id"], entered("x")) == {}
    (second,) = slack.workspace.views_of(ANA)
    assert (second["id"], second["title"]["text"]) == (view["id"], "two")
    assert second["state"]["values"]["b"]["a"]["value"] == "x"

    app.answers["view_submission"] = {"response_action": "push", "view": modal(title=plain("three"))}
    await slack.people.submit("ana", view["id"], {})
    under, top = slack.workspace.views_of(ANA)
    assert (top["previous_view_id"], top["root_view_id"]) == (under["id"], under["id"])

    app.answers["view_submission"] = {"response_action": "clear"}
    await slack.people.submit("ana", top["id"], {})
    assert not slack.workspace.views_of(ANA)


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"nowhere": "no"}},
        {"response_action": "errors"},
        {"response_action": "update", "view": {"type": "modal"}},
        {"response_action": "push"},
    ],
    ids=["errors nowhere", "no errors", "a bad view", "no view"],
)
async def test_a_wrong_answer_to_a_form_is_said_in_it(
    slack: LocalSlack, api: Client, app: SocketApp, answer: Any
) -> None:
    view = await opened(slack, api, inputs(block_id="b"))
    app.answers["view_submission"] = answer
    errors = await slack.people.submit("ana", view["id"], entered("x"))

    assert "Slack refuses the app's answer" in errors["b"]
    assert slack.workspace.views_of(ANA)


async def test_a_form_that_nobody_takes_stays_open(slack: LocalSlack, api: Client) -> None:
    view = await opened(slack, api, inputs(block_id="b"))

    assert "trouble connecting" in (await slack.people.submit("ana", view["id"], entered("x")))["b"]
    assert slack.workspace.views_of(ANA)


async def test_a_form_sent_twice_at_once_is_closed_once(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    view = await opened(slack, api, inputs(block_id="b"))
    sent = await asyncio.gather(*(slack.people.submit("ana", view["id"], entered("x")) for _ in range(2)))

    assert sent == [{}, {}]
    assert [event["type"] for event in slack.workspace.events].count("view_closed") == 1


async def test_closing_shows_what_lies_under_it_or_clears_all(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    async def stack() -> tuple[str, str]:
        under = (await opened(slack, api, notify_on_close=True))["id"]
        trigger = slack.workspace.triggers.make(ANA, under)
        top = await api.ok("views.push", trigger_id=trigger, view=modal(notify_on_close=True))
        return under, str(top["view"]["id"])

    under, top = await stack()
    await slack.people.close("ana", top)
    assert [view["id"] for view in slack.workspace.views_of(ANA)] == [under]
    assert ((await app.got())["view"]["id"], app.envelopes.qsize()) == (top, 0)
    await slack.people.close("ana", under)
    await app.got()

    _, top = await stack()
    await slack.people.close("ana", top, clear=True)
    assert not slack.workspace.views_of(ANA)
    assert [(await app.got())["is_cleared"] for _ in range(2)] == [True, True]


async def test_a_modal_is_only_its_persons(slack: LocalSlack, api: Client) -> None:
    view = await opened(slack, api)

    with pytest.raises(BadRequest, match="no open view"):
        await slack.people.submit("eve", view["id"], {})
    with pytest.raises(BadRequest, match="no open view"):
        await slack.people.close("eve", view["id"])


async def test_a_click_in_a_modal_or_at_home_tells_the_view_and_no_channel(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    view = await opened(slack, api, actions(button("go")), inputs(block_id="b"))
    await slack.people.view_action("ana", view["id"], "go", state=entered("so far"))
    payload = await app.got()
    assert payload["container"] == {"type": "view", "view_id": view["id"]}
    assert not payload.keys() & {"channel", "message", "response_url"}
    assert payload["view"]["state"]["values"]["b"]["a"]["value"] == "so far"
    pushed = await api.ok("views.push", trigger_id=payload["trigger_id"], view=modal())
    assert pushed["view"]["previous_view_id"] == view["id"]

    at_home = (await api.ok("views.publish", user_id=ANA, view=home(actions(button("go")))))["view"]
    await slack.people.view_action("ana", at_home["id"], "go")
    assert (await app.got())["view"]["type"] == "home"


async def test_a_field_speaks_before_the_form_is_sent_only_if_it_dispatches(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    view = await opened(slack, api, inputs(block_id="b"), inputs(block_id="c", dispatch_action=True))
    await slack.people.view_action("ana", view["id"], "a", {"value": "x"}, block_id="b")
    await slack.people.view_action("ana", view["id"], "a", {"value": "y"}, block_id="c")

    payload = await app.got()
    assert payload["actions"][0]["value"] == "y"
    assert payload["view"]["state"]["values"]["b"]["a"]["value"] == "x"
    assert app.envelopes.empty()


async def test_a_chosen_channel_may_bring_a_response_url(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    element = {"type": "conversations_select", "action_id": "a", "response_url_enabled": True}
    view = await opened(slack, api, inputs(element, block_id="b"))
    await slack.people.submit("ana", view["id"], entered(CHANNEL, "selected_conversation"))
    (url,) = (await app.got())["response_urls"]

    assert (url["block_id"], url["action_id"], url["channel_id"]) == ("b", "a", CHANNEL)
    await api.post(url["response_url"], {"text": "from the form", "response_type": "in_channel"})
    assert messages(slack)[-1]["text"] == "from the form"


async def test_home_is_only_where_the_manifest_has_one(slack: LocalSlack, api: Client) -> None:
    slack.people.app = replace(slack.people.app, home_tab=False)

    with pytest.raises(BadRequest, match="no home tab"):
        await slack.people.open_home("ana")


async def test_shortcuts_are_only_those_of_the_manifest(slack: LocalSlack) -> None:
    for callback, ts in (("dance", ""), ("look", ""), ("begin", "1.1")):
        with pytest.raises(BadRequest, match="no such shortcut"):
            await slack.people.shortcut("ana", callback, CHANNEL, ts)


async def test_only_members_write_in_a_channel(slack: LocalSlack) -> None:
    slack.workspace.channels[CHANNEL].members.remove("U0SANDEVE")

    with pytest.raises(BadRequest, match="is not in"):
        await slack.people.say("eve", CHANNEL, "x")
    with pytest.raises(BadRequest, match="no message"):
        await slack.people.say("ana", CHANNEL, "x", "1.1")
