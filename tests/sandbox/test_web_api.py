"""The Web API: how calls may be made, what is answered, and which errors say why not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.sandbox.slack.clock import HandClock
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.web_api import METHODS
from tests.sandbox.conftest import CHANNEL, FOREIGN, MANIFEST, PRIVATE, Client
from tests.sandbox.samples import changed, home, inputs, modal, section

ROOT = Path(__file__).resolve().parents[2]
ANA, BOT = "U0SANDANA", "U0CSM"


async def posted(api: Client, text: str = "x", **more: Any) -> str:
    return str((await api.ok("chat.postMessage", channel=CHANNEL, text=text, **more))["ts"])


# -- calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["json", "form", "query", "multipart", "get"])
async def test_arguments_come_in_every_way_that_slack_takes(
    slack: LocalSlack, session: aiohttp.ClientSession, way: str
) -> None:
    blocks = json.dumps([section(block_id="b")])
    arguments = {"token": slack.bot_token, "channel": CHANNEL, "text": "x", "blocks": blocks}
    url, bearer = slack.api_url + "chat.postMessage", {"Authorization": f"Bearer {slack.bot_token}"}
    form = aiohttp.FormData(arguments)
    form.add_field("nothing", b"", filename="nothing")  # a file makes it multipart
    request: dict[str, Any] = {
        "json": {"json": arguments, "headers": bearer},
        "form": {"data": arguments},
        "query": {"params": arguments},
        "multipart": {"data": form},
        "get": {"params": arguments},
    }[way]
    async with session.request("GET" if way == "get" else "POST", url, **request) as response:
        answer = await response.json()

    assert answer["ok"], answer
    assert answer["message"]["blocks"][0]["block_id"] == "b"


async def test_json_without_a_charset_is_warned_of(slack: LocalSlack, api: Client) -> None:
    headers = {"Content-Type": "application/json"}
    async with await api.raw("auth.test", data=b"{}", headers=headers) as bare:
        assert (await bare.json())["response_metadata"]["warnings"] == ["missing_charset"]
    async with await api.raw(
        "auth.test", data=b"{}", headers={"Content-Type": "application/json; charset=utf-8"}
    ) as whole:
        assert "warning" not in await whole.json()


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"{", "application/json", "invalid_json"),
        (b"[]", "application/json", "json_not_object"),
        (b"channel=C&blocks=%7B", "application/x-www-form-urlencoded", "invalid_blocks_format"),
        (b"channel=C&attachments=%7B", "application/x-www-form-urlencoded", "invalid_attachments_format"),
        (b"channel=C&metadata=%7B", "application/x-www-form-urlencoded", "invalid_metadata_format"),
    ],
)
async def test_what_cannot_be_read_is_said(api: Client, body: bytes, kind: str, error: str) -> None:
    async with await api.raw("chat.postMessage", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == 200
        assert (await answer.json())["error"] == error


def test_the_document_lists_the_methods_that_there_are() -> None:
    part = (ROOT / "docs" / "sandbox.md").read_text("utf-8").partition("- Web API:")[2].partition("Any other")[0]

    assert set(re.findall(r"`([\w.]+)`", part)) == METHODS.keys()


async def test_what_is_not_implemented_is_an_error_and_never_ok(api: Client) -> None:
    assert await api("chat.dance") == {"ok": False, "error": "unknown_method", "req_method": "chat.dance"}


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        ("", "auth.test", "not_authed"),
        ("xoxb-wrong", "auth.test", "invalid_auth"),
        ("app", "auth.test", "not_allowed_token_type"),
        ("bot", "apps.connections.open", "not_allowed_token_type"),
    ],
)
async def test_a_wrong_token_is_named(slack: LocalSlack, api: Client, token: str, method: str, error: str) -> None:
    real = {"app": slack.app_token, "bot": slack.bot_token}.get(token, token)

    assert await api.error(method, token=real) == error


async def test_a_token_in_the_body_of_json_is_none(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    async with session.post(slack.api_url + "auth.test", json={"token": slack.bot_token}) as answer:
        assert (await answer.json())["error"] == "not_authed"


@pytest.mark.parametrize("word", ["token_revoked", "account_inactive"])
async def test_a_revoked_token_is_refused(slack: LocalSlack, api: Client, word: str) -> None:
    slack.api.revoked[slack.bot_token] = word

    assert await api.error("auth.test") == word


async def test_answers_carry_slacks_headers(api: Client) -> None:
    async with await api.raw("auth.test") as answer:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Cache-Control"] == "private, no-cache, no-store, must-revalidate"
        assert "chat:write" in answer.headers["x-oauth-scopes"].split(",")
        assert answer.headers["x-slack-req-id"]
        assert answer.headers["x-slack-unique-id"]
        assert "x-slack-failure" not in answer.headers
    async with await api.raw("chat.postMessage", json={"channel": "C0NOWHERE", "text": "x"}) as answer:
        assert answer.status == 200
        assert answer.headers["x-slack-failure"] == "channel_not_found"
        assert answer.headers["x-accepted-oauth-scopes"] == "chat:write"


NEEDED = {
    "chat.postMessage": "chat:write", "chat.update": "chat:write", "chat.delete": "chat:write", "chat.postEphemeral": "chat:write",
    "chat.scheduleMessage": "chat:write", "users.info": "users:read", "users.list": "users:read", "users.lookupByEmail": "users:read.email",
    "users.profile.get": "users.profile:read", "usergroups.list": "usergroups:read", "usergroups.users.list": "usergroups:read",
    "reactions.add": "reactions:write", "reactions.remove": "reactions:write", "reactions.get": "reactions:read", "pins.add": "pins:write",
    "pins.remove": "pins:write", "pins.list": "pins:read", "bookmarks.add": "bookmarks:write", "bookmarks.list": "bookmarks:read",
    "files.getUploadURLExternal": "files:write", "files.completeUploadExternal": "files:write", "files.info": "files:read",
    "files.delete": "files:write", "team.info": "team:read", "bots.info": "users:read", "conversations.join": "channels:join",
    "conversations.info": "channels:read", "conversations.list": "channels:read", "conversations.members": "channels:read",
    "conversations.history": "channels:history", "conversations.replies": "channels:history", "conversations.open": "im:write",
}  # fmt: skip


@pytest.fixture
async def poor() -> AsyncIterator[Client]:
    """An app that was given nothing."""
    manifest = changed(MANIFEST, "/oauth_config/scopes/bot", ["commands"])
    async with LocalSlack(manifest, clock=HandClock()) as slack, aiohttp.ClientSession() as session:
        yield Client(slack, session)


async def test_every_method_wants_its_scope_and_says_which(poor: Client) -> None:
    for method, scope in NEEDED.items():
        answer = await poor(method)
        assert answer["error"] == "missing_scope", method
        assert scope in answer["needed"].split(","), method
        assert answer["provided"] == "commands"


async def test_views_and_tests_need_no_scope(poor: Client) -> None:
    assert (await poor("auth.test"))["ok"]
    assert await poor.error("views.open") == "invalid_arguments"


async def test_the_scope_for_history_is_that_of_the_kind_of_channel(clock: HandClock) -> None:
    manifest = changed(MANIFEST, "/oauth_config/scopes/bot", ["groups:history", "channels:history"])
    async with LocalSlack(manifest, clock=clock) as slack, aiohttp.ClientSession() as session:
        api, direct = Client(slack, session), slack.workspace.direct(ANA)
        await api.ok("conversations.history", channel=CHANNEL)
        answer = await api("conversations.history", channel=direct.id)
    assert (answer["error"], answer["needed"]) == ("missing_scope", "im:history")


# -- messages ---------------------------------------------------------------------------------------------------


async def test_a_message_is_kept_with_what_slack_adds(api: Client) -> None:
    answer = await api.ok("chat.postMessage", channel=CHANNEL, blocks=[section(), inputs()])
    message = answer["message"]
    text, field = message["blocks"]

    assert answer["ts"] == message["ts"]
    assert len(message["ts"].split(".")[1]) == 6
    assert message["text"] == "x x"
    assert message["bot_profile"]["user_id"] == message["user"] == BOT
    assert len(text["block_id"]) == 5
    assert text["text"]["verbatim"] is False
    assert field["label"]["emoji"] is True
    assert (field["optional"], field["dispatch_action"]) == (False, False)
    assert field["element"]["dispatch_action_config"] == {"trigger_actions_on": ["on_enter_pressed"]}


async def test_time_stamps_only_grow(api: Client) -> None:
    stamps = [await posted(api) for _ in range(5)]

    assert stamps == sorted(set(stamps))


async def test_a_message_needs_something_to_show(api: Client) -> None:
    assert await api.error("chat.postMessage", channel=CHANNEL) == "no_text"


@pytest.mark.parametrize(
    ("channel", "error"),
    [("C0NOWHERE", "channel_not_found"), ("incident-42", "channel_not_found"), (PRIVATE, "channel_not_found")],
)
async def test_where_the_app_cannot_see_there_is_no_channel(api: Client, channel: str, error: str) -> None:
    assert await api.error("chat.postMessage", channel=channel, text="x") == error
    assert await api.error("conversations.info", channel=channel) == error
    assert await api.error("conversations.history", channel=channel) == error


async def test_public_channels_are_written_in_from_outside_only_with_the_scope(slack: LocalSlack, api: Client) -> None:
    await api.ok("chat.postMessage", channel=FOREIGN, text="x")
    assert await api.error("conversations.history", channel=FOREIGN) == "not_in_channel"
    slack.api.scopes -= {"chat:write.public"}
    assert await api.error("chat.postMessage", channel=FOREIGN, text="x") == "not_in_channel"


async def test_an_archived_channel_is_closed(slack: LocalSlack, api: Client) -> None:
    slack.workspace.channels[CHANNEL].archived = True

    assert await api.error("chat.postMessage", channel=CHANNEL, text="x") == "is_archived"


async def test_a_persons_id_is_the_direct_messages_with_them(api: Client) -> None:
    answer = await api.ok("chat.postMessage", channel=ANA, text="x")

    assert answer["channel"].startswith("D")
    assert await api.error("chat.update", channel=ANA, ts=answer["ts"], text="y") == "channel_not_found"
    await api.ok("chat.update", channel=answer["channel"], ts=answer["ts"], text="y")


async def test_a_thread_is_counted_in_its_root(slack: LocalSlack, api: Client) -> None:
    root = await posted(api)
    reply = await posted(api, "y", thread_ts=root)
    await slack.people.say("ana", CHANNEL, "z", root)
    messages = (await api.ok("conversations.replies", channel=CHANNEL, ts=root))["messages"]

    assert {key: messages[0][key] for key in ("thread_ts", "reply_count", "reply_users_count", "reply_users", "is_locked", "subscribed")} == {
        "thread_ts": root, "reply_count": 2, "reply_users_count": 2, "reply_users": [BOT, ANA], "is_locked": False, "subscribed": False,
    }  # fmt: skip
    assert messages[0]["latest_reply"] == messages[2]["ts"]
    assert (messages[1]["parent_user_id"], messages[1]["thread_ts"]) == (BOT, root)
    assert [m["ts"] for m in (await api.ok("conversations.history", channel=CHANNEL))["messages"]] == [root]
    # A reply's own time stamp leads to its thread.
    again = await api.ok("chat.postMessage", channel=CHANNEL, text="x", thread_ts=reply)
    assert again["message"]["thread_ts"] == root
    assert await api.error("chat.postMessage", channel=CHANNEL, text="x", thread_ts="1.1") == "thread_not_found"
    await api.ok("chat.delete", channel=CHANNEL, ts=reply)
    (root_now, *_) = (await api.ok("conversations.replies", channel=CHANNEL, ts=root))["messages"]
    assert root_now["reply_count"] == 2


async def test_an_update_takes_away_what_it_does_not_name(api: Client) -> None:
    ts = await posted(api, blocks=[section()])

    async def update(**what: Any) -> dict[str, Any]:
        return dict((await api.ok("chat.update", channel=CHANNEL, ts=ts, **what))["message"])

    assert (await update(blocks=[section()]))["text"] == "x"
    assert "edited" not in await update(text="y", blocks=[section()])
    bare = await update(text="z")
    assert "blocks" not in bare
    assert bare["edited"]["user"] == BOT
    await update(text="z", blocks=[section()])
    assert "blocks" not in await update(blocks=[])


async def test_only_ones_own_messages_can_be_changed(slack: LocalSlack, api: Client) -> None:
    theirs = (await slack.people.say("ana", CHANNEL, "x"))["ts"]
    whisper = (await api.ok("chat.postEphemeral", channel=CHANNEL, user=ANA, text="x"))["message_ts"]

    assert await api.error("chat.update", channel=CHANNEL, ts=theirs, text="y") == "cant_update_message"
    assert await api.error("chat.delete", channel=CHANNEL, ts=theirs) == "cant_delete_message"
    for method in ("chat.update", "chat.delete"):
        assert await api.error(method, channel=CHANNEL, ts="1.1", text="y") == "message_not_found"
        assert await api.error(method, channel=CHANNEL, ts=whisper, text="y") == "message_not_found"


async def test_an_ephemeral_message_is_seen_by_one_and_kept_by_nobody(slack: LocalSlack, api: Client) -> None:
    await api.ok("chat.postEphemeral", channel=CHANNEL, user=ANA, text="x")
    channel = slack.workspace.channels[CHANNEL]

    assert [m["text"] for m in slack.workspace.visible(channel, ANA)] == ["x"]
    assert not slack.workspace.visible(channel, "U0SANDEVE")
    assert not (await api.ok("conversations.history", channel=CHANNEL))["messages"]
    channel.members.remove("U0SANDEVE")
    assert await api.error("chat.postEphemeral", channel=CHANNEL, user="U0SANDEVE", text="x") == "user_not_in_channel"


async def test_a_permalink_leads_to_the_message_in_its_thread(api: Client) -> None:
    root = await posted(api)
    reply = await posted(api, thread_ts=root)

    async def link(ts: str) -> str:
        return str((await api.ok("chat.getPermalink", channel=CHANNEL, message_ts=ts))["permalink"])

    assert await link(root) == f"https://sandbox.slack.com/archives/{CHANNEL}/p{root.replace('.', '')}"
    assert (await link(reply)).endswith(f"p{reply.replace('.', '')}?thread_ts={root}&cid={CHANNEL}")


async def test_a_scheduled_message_comes_at_its_time(slack: LocalSlack, clock: HandClock, api: Client) -> None:
    now = int(clock.now())
    for post_at, error in ((now - 1, "time_in_past"), (now + 121 * 86_400, "time_too_far")):
        assert await api.error("chat.scheduleMessage", channel=CHANNEL, text="x", post_at=post_at) == error
    first, second = [
        await api.ok("chat.scheduleMessage", channel=CHANNEL, text="x", post_at=now + 60) for _ in range(2)
    ]
    assert len((await api.ok("chat.scheduledMessages.list"))["scheduled_messages"]) == 2
    await api.ok("chat.deleteScheduledMessage", channel=CHANNEL, scheduled_message_id=second["scheduled_message_id"])
    assert (
        await api.error("chat.deleteScheduledMessage", channel=CHANNEL, scheduled_message_id="Q1")
        == "invalid_scheduled_message_id"
    )

    changed = slack.workspace.changed
    clock.move(60)
    await asyncio.wait_for(changed.wait(), 5)
    (message,) = (await api.ok("conversations.history", channel=CHANNEL))["messages"]
    assert message["text"] == first["message"]["text"]


async def test_metadata_is_hidden_until_it_is_asked_for(api: Client) -> None:
    await posted(api, metadata={"event_type": "run", "event_payload": {"id": "r-1"}})

    (without,) = (await api.ok("conversations.history", channel=CHANNEL))["messages"]
    (with_it,) = (await api.ok("conversations.history", channel=CHANNEL, include_all_metadata=True))["messages"]
    assert "metadata" not in without
    assert with_it["metadata"]["event_payload"] == {"id": "r-1"}
    assert (
        await api.error("chat.postMessage", channel=CHANNEL, text="x", metadata={"a": 1}) == "invalid_metadata_format"
    )


# -- lists ------------------------------------------------------------------------------------------------------


async def test_history_comes_in_pages_newest_first(api: Client) -> None:
    stamps = [await posted(api) for _ in range(5)]
    first = await api.ok("conversations.history", channel=CHANNEL, limit=3)
    rest = await api.ok(
        "conversations.history", channel=CHANNEL, limit=3, cursor=first["response_metadata"]["next_cursor"]
    )

    assert first["has_more"]
    assert not rest["has_more"]
    assert rest["response_metadata"]["next_cursor"] == ""
    assert [m["ts"] for m in first["messages"] + rest["messages"]] == stamps[::-1]
    between = await api.ok("conversations.history", channel=CHANNEL, oldest=stamps[1], latest=stamps[3])
    assert [m["ts"] for m in between["messages"]] == [stamps[2]]
    inclusive = await api.ok(
        "conversations.history", channel=CHANNEL, oldest=stamps[1], latest=stamps[3], inclusive=True
    )
    assert len(inclusive["messages"]) == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"limit": 1000}, "invalid_limit"), ({"cursor": "x"}, "invalid_cursor"), ({"limit": "x"}, "invalid_arguments")],
)
async def test_a_page_has_its_limits(api: Client, arguments: dict[str, Any], error: str) -> None:
    assert await api.error("conversations.history", channel=CHANNEL, **arguments) == error


async def test_channels_are_listed_by_kind_and_private_ones_only_to_members(slack: LocalSlack, api: Client) -> None:
    public = await api.ok("conversations.list")
    await api.ok("conversations.open", users=ANA)
    direct = await api.ok("conversations.list", types="im,private_channel")

    assert {channel["name"]: channel["is_member"] for channel in public["channels"]} == {
        "incident-42": True,
        "general": False,
    }
    assert [channel["user"] for channel in direct["channels"]] == [ANA]
    assert await api.error("conversations.list", types="secret") == "invalid_types"
    assert BOT in (await api.ok("conversations.members", channel=CHANNEL))["members"]


async def test_an_app_joins_public_channels_itself(api: Client) -> None:
    joined = await api.ok("conversations.join", channel=FOREIGN)
    again = await api.ok("conversations.join", channel=FOREIGN)

    assert joined["channel"]["is_member"]
    assert again["warning"] == "already_in_channel"
    await api.ok("conversations.history", channel=FOREIGN)


async def test_opening_direct_messages_twice_says_so(api: Client) -> None:
    first, second = [await api.ok("conversations.open", users=ANA) for _ in range(2)]

    assert first["channel"]["id"] == second["channel"]["id"]
    assert second["already_open"]
    assert await api.error("conversations.open", users="U0NOBODY") == "user_not_found"


async def test_people_are_found_and_addresses_told_only_with_the_scope(slack: LocalSlack, api: Client) -> None:
    by_email = await api.ok("users.lookupByEmail", email="ANA@example.com")
    assert by_email["user"]["id"] == ANA
    assert await api.error("users.lookupByEmail", email="nobody@example.com") == "users_not_found"
    assert await api.error("users.info", user="U0NOBODY") == "user_not_found"
    assert (await api.ok("users.info", user=ANA))["user"]["profile"]["email"] == "ana@example.com"
    assert (await api.ok("users.profile.get", user=ANA))["profile"]["display_name"] == "ana"
    slack.api.scopes -= {"users:read.email"}
    assert "email" not in (await api.ok("users.info", user=ANA))["user"]["profile"]
    assert len((await api.ok("users.list"))["members"]) == 4


async def test_groups_are_listed_with_their_people_on_request(api: Client) -> None:
    (sre, _) = (await api.ok("usergroups.list", include_users=True))["usergroups"]

    assert (sre["handle"], sre["users"]) == ("sre", [ANA])
    assert "users" not in (await api.ok("usergroups.list"))["usergroups"][0]
    assert (await api.ok("usergroups.users.list", usergroup=sre["id"]))["users"] == [ANA]
    assert await api.error("usergroups.users.list", usergroup="S0NONE") == "no_such_subteam"


async def test_the_team_and_the_bot_tell_who_they_are(api: Client) -> None:
    assert (await api.ok("team.info"))["team"]["id"] == "T0SANDBOX"
    assert (await api.ok("bots.info", bot="B0CSM"))["bot"]["user_id"] == BOT
    assert await api.error("bots.info", bot="B0NONE") == "bot_not_found"
    assert (await api.ok("api.test", token="", foo="bar"))["args"] == {"foo": "bar"}
    assert await api.error("api.test", token="", error="my_error") == "my_error"


# -- on messages ------------------------------------------------------------------------------------------------


async def test_reactions_are_put_on_and_taken_off(api: Client) -> None:
    at = {"channel": CHANNEL, "timestamp": await posted(api)}

    await api.ok("reactions.add", **at, name="eyes")
    assert await api.error("reactions.add", **at, name="eyes") == "already_reacted"
    assert await api.error("reactions.add", **at, name="no such") == "invalid_name"
    assert await api.error("reactions.add", channel=CHANNEL, timestamp="1.1", name="eyes") == "message_not_found"
    message = (await api.ok("reactions.get", **at))["message"]
    assert message["reactions"] == [{"name": "eyes", "users": [BOT], "count": 1}]
    await api.ok("reactions.remove", **at, name="eyes")
    assert await api.error("reactions.remove", **at, name="eyes") == "no_reaction"


async def test_pins_and_bookmarks_are_kept(api: Client) -> None:
    at = {"channel": CHANNEL, "timestamp": await posted(api)}
    await api.ok("pins.add", **at)
    assert await api.error("pins.add", **at) == "already_pinned"
    assert [item["message"]["ts"] for item in (await api.ok("pins.list", channel=CHANNEL))["items"]] == [
        at["timestamp"]
    ]
    await api.ok("pins.remove", **at)
    assert await api.error("pins.remove", **at) == "no_pin"

    where = {"channel_id": CHANNEL}
    bookmark = (await api.ok("bookmarks.add", **where, title="x", type="link", link="https://example.com"))["bookmark"]
    await api.ok("bookmarks.edit", **where, bookmark_id=bookmark["id"], title="y")
    assert [each["title"] for each in (await api.ok("bookmarks.list", **where))["bookmarks"]] == ["y"]
    await api.ok("bookmarks.remove", **where, bookmark_id=bookmark["id"])
    assert await api.error("bookmarks.remove", **where, bookmark_id=bookmark["id"]) == "not_found"
    assert await api.error("bookmarks.add", **where, title="x", type="link", link="ftp://x") == "invalid_link"


# -- files ------------------------------------------------------------------------------------------------------


async def test_a_file_is_announced_sent_and_shared_in_a_thread(
    slack: LocalSlack, api: Client, session: aiohttp.ClientSession
) -> None:
    root = await posted(api)
    slot = await api.ok("files.getUploadURLExternal", filename="a.txt", length=5, snippet_type="text")
    async with await api.post(slot["upload_url"], b"hello") as answer:
        assert (answer.status, await answer.text()) == (200, "OK - 5")
    shared = await api.ok(
        "files.completeUploadExternal",
        files=[{"id": slot["file_id"], "title": "A"}],
        channel_id=CHANNEL,
        thread_ts=root,
        initial_comment="see",
    )
    reply = (await api.ok("conversations.replies", channel=CHANNEL, ts=root))["messages"][1]

    assert [file["title"] for file in shared["files"]] == ["A"]
    assert (reply["subtype"], reply["text"], reply["files"][0]["preview"]) == ("file_share", "see", "hello")
    info = (await api.ok("files.info", file=slot["file_id"]))["file"]
    assert info["shares"]["public"][CHANNEL][0]["thread_ts"] == root
    async with session.get(info["url_private"]) as answer:
        assert answer.status == 401
    async with session.get(info["url_private"], headers={"Authorization": f"Bearer {slack.bot_token}"}) as answer:
        assert await answer.read() == b"hello"
    await api.ok("files.delete", file=slot["file_id"])
    assert await api.error("files.info", file=slot["file_id"]) == "file_not_found"


async def test_a_file_is_taken_as_a_form_too_and_only_as_long_as_it_was_announced(
    api: Client, session: aiohttp.ClientSession
) -> None:
    slot = await api.ok("files.getUploadURLExternal", filename="a.bin", length=3)
    async with await api.post(slot["upload_url"], b"more than that") as answer:
        assert answer.status == 400
    assert (
        await api.error("files.completeUploadExternal", files=[{"id": slot["file_id"]}], channel_id=CHANNEL)
        == "file_not_found"
    )
    form = aiohttp.FormData()
    form.add_field("body", b"abc", filename="a.bin")
    async with session.post(slot["upload_url"], data=form) as answer:
        assert answer.status == 200
    assert (
        await api.error("files.completeUploadExternal", files=[{"id": slot["file_id"]}], channel_id=FOREIGN)
        == "not_in_channel"
    )


async def test_an_upload_is_completed_once_and_a_refused_completion_uses_up_nothing(api: Client) -> None:
    slot = await api.ok("files.getUploadURLExternal", filename="a.bin", length=3)
    async with await api.post(slot["upload_url"], b"abc"):
        pass
    files = [{"id": slot["file_id"]}]

    assert await api.error("files.info", file=slot["file_id"]) == "file_not_found"
    for refused in ({"channel_id": FOREIGN}, {"channel_id": CHANNEL, "thread_ts": "1.1"}, {"thread_ts": "1.1"}):
        assert not (await api("files.completeUploadExternal", files=files, **refused))["ok"]
    await api.ok("files.completeUploadExternal", files=files, channel_id=CHANNEL)
    assert await api.error("files.completeUploadExternal", files=files, channel_id=CHANNEL) == "file_not_found"
    assert [len(m["files"]) for m in (await api.ok("conversations.history", channel=CHANNEL))["messages"]] == [1]
    async with await api.post(slot["upload_url"], b"xyz") as answer:
        assert answer.status == 404


async def test_blocks_beside_a_files_comment_are_not_looked_at(api: Client) -> None:
    slot = await api.ok("files.getUploadURLExternal", filename="a.bin", length=3)
    async with await api.post(slot["upload_url"], b"abc"):
        pass

    await api.ok(
        "files.completeUploadExternal",
        files=[{"id": slot["file_id"]}],
        channel_id=CHANNEL,
        initial_comment="see",
        blocks=[section()],
    )
    (message,) = (await api.ok("conversations.history", channel=CHANNEL))["messages"]

    assert message["text"] == "see"
    assert "blocks" not in message


# -- views ------------------------------------------------------------------------------------------------------


async def test_a_view_is_updated_only_by_who_knows_its_newest_hash(slack: LocalSlack, api: Client) -> None:
    view = (await api.ok("views.open", trigger_id=slack.workspace.triggers.make(ANA), view=modal(external_id="e")))[
        "view"
    ]
    newer = (await api.ok("views.update", view_id=view["id"], hash=view["hash"], view=modal()))["view"]

    assert await api.error("views.update", view_id=view["id"], hash=view["hash"], view=modal()) == "hash_conflict"
    assert newer["hash"] != view["hash"]
    assert await api.error("views.update", view_id="V0NONE", view=modal()) == "not_found"
    assert view["root_view_id"] == view["id"]


async def test_an_external_id_is_given_once(slack: LocalSlack, api: Client) -> None:
    async def opened(user: str) -> dict[str, Any]:
        return await api("views.open", trigger_id=slack.workspace.triggers.make(user), view=modal(external_id="e"))

    assert (await opened(ANA))["ok"]
    assert (await opened("U0SANDSAM"))["error"] == "duplicate_external_id"
    await api.ok("views.update", external_id="e", view=modal(external_id="e"))


async def test_an_update_keeps_what_was_entered_in_fields_that_stay(slack: LocalSlack, api: Client) -> None:
    view = (
        await api.ok("views.open", trigger_id=slack.workspace.triggers.make(ANA), view=modal(inputs(block_id="b")))
    )["view"]
    slack.workspace.views[view["id"]]["state"]["values"]["b"]["a"]["value"] = "typed"
    newer = (
        await api.ok(
            "views.update", view_id=view["id"], view=modal(section(), inputs(block_id="b"), inputs(block_id="c"))
        )
    )["view"]

    assert newer["state"]["values"] == {
        "b": {"a": {"type": "plain_text_input", "value": "typed"}},
        "c": {"a": {"type": "plain_text_input", "value": None}},
    }


async def test_a_home_tab_is_published_where_the_manifest_has_one(api: Client, poor: Client) -> None:
    first = (await api.ok("views.publish", user_id=ANA, view=home()))["view"]
    second = (await api.ok("views.publish", user_id=ANA, view=home(), hash=first["hash"]))["view"]

    assert first["id"] == second["id"]
    assert await api.error("views.publish", user_id=ANA, view=home(), hash=first["hash"]) == "hash_conflict"
    assert await api.error("views.publish", user_id="U0NOBODY", view=home()) == "user_not_found"
    assert await api.error("views.publish", user_id=ANA, view=modal()) == "invalid_arguments"


async def test_a_modal_is_pushed_only_from_a_modal(slack: LocalSlack, api: Client) -> None:
    assert (
        await api.error("views.push", trigger_id=slack.workspace.triggers.make(ANA), view=modal())
        == "invalid_trigger_id"
    )


async def test_blocks_are_judged_before_they_are_sent(api: Client) -> None:
    async with await api.raw("blocks.validate", token="", json={"blocks": [section()]}) as answer:
        assert (await answer.json())["ok"]
    answer = await api("blocks.validate", view=modal(title={"type": "plain_text", "text": "x" * 25}))

    assert answer["error"] == "invalid_view"
    assert answer["errors"][0]["pointer"] == "/view/title/text"
    assert answer["errors"][0]["message"] == "must be less than 25 characters"
    assert await api.error("blocks.validate", message={"blocks": [{"type": "banner"}]}) == "invalid_message"
    assert await api.error("blocks.validate", blocks=[{"type": "banner"}]) == "invalid_blocks"
    assert await api.error("blocks.validate") == "invalid_arguments"
    assert await api.error("blocks.validate", blocks=[], view={}) == "invalid_arguments"
