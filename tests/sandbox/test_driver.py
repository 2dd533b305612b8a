"""Using the sandbox from a program, as a person does."""

from __future__ import annotations

import pytest

from bot.sandbox.driver import Driver
from bot.sandbox.slack.server import LocalSlack
from tests.sandbox.conftest import CHANNEL, Client, SocketApp
from tests.sandbox.samples import mrkdwn, plain

OPTIONS = [{"text": plain(words), "value": words.lower()} for words in ("Show", "Decline")]
BLOCKS = [
    {
        "type": "section",
        "text": mrkdwn("For <@U0SANDANA>"),
        "accessory": {"type": "overflow", "action_id": "more", "options": OPTIONS},
    },
    {"type": "actions", "elements": [{"type": "button", "action_id": "open", "text": plain("Open")}]},
]


async def test_what_is_offered_is_chosen_by_its_words(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    await api.ok("chat.postMessage", channel=CHANNEL, text="An offer", blocks=BLOCKS)
    ana = Driver(slack)
    (message,) = ana.messages()

    with pytest.raises(LookupError, match="'Burn' is not offered; there are Show, Decline"):
        await ana.choose(message, "more", "Burn")
    await ana.choose(message, "more", "Decline")

    while (payload := await app.got())["type"] == "event_callback":
        pass
    assert payload["actions"][0]["selected_option"]["value"] == "decline"


async def test_the_screen_is_read_as_text(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    answer = await api.ok("chat.postMessage", channel=CHANNEL, text="An offer", blocks=BLOCKS)
    await api.ok("chat.postMessage", channel=CHANNEL, text="A reply", thread_ts=answer["ts"])
    app.answers["slash_commands"] = {"text": "Only for you"}
    ana, eve = Driver(slack), Driver(slack, user="eve")

    await ana.type("/probe something")

    assert "For @ana" in ana.read()
    assert "[Open]" in ana.read()
    assert "Only for you" in ana.read()
    assert "Only for you" not in eve.read()
    assert "A reply" in ana.read(ana.messages()[0])


async def test_a_modal_is_waited_for_and_submitted(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    await api.ok("chat.postMessage", channel=CHANNEL, text="An offer", blocks=BLOCKS)
    ana = Driver(slack)
    await ana.click(ana.messages()[0], "open")
    while (payload := await app.got())["type"] == "event_callback":
        pass
    view = {
        "type": "modal",
        "title": plain("A form"),
        "submit": plain("Send"),
        "blocks": [{"type": "section", "text": mrkdwn("Sure?")}],
    }
    await api.ok("views.open", trigger_id=payload["trigger_id"], view=view)

    assert (await ana.view())["title"]["text"] == "A form"
    assert await ana.submit({}) == {}
    assert ana.views() == []
