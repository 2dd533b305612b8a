"""The page shows every block and element, tells the app what was chosen in them, and names everything for those who do not see it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bot.sandbox.slack.server import LocalSlack
from tests.sandbox.conftest import CHANNEL, Client, SocketApp
from tests.sandbox.samples import Block, mrkdwn, plain
from tests.scenarios.browser import browser, fair, watched

PICTURES = os.environ.get("CSM_PICTURES_OF_BLOCKS")


def choice(words: str) -> Block:
    return {"text": plain(words), "value": words.lower().replace(" ", "-")}


def rich(kind: str, *words: str, **more: Any) -> Block:
    inside = [{"type": "text", "text": each} for each in words]
    return {"type": "rich_text", "elements": [{"type": kind, "elements": inside, **more}]}


def table_rows(*rows: tuple[str, ...]) -> list[list[Block]]:
    return [[{"type": "raw_text", "text": cell} for cell in row] for row in rows]


LIST = [{"type": "rich_text_section", "elements": [{"type": "text", "text": each}]} for each in ("One", "Two")]
SHOWN: list[Block] = [
    {"type": "header", "text": plain("Flare of cluster-a/node-7")},
    {
        "type": "section",
        "text": mrkdwn("*What it is*: `agent flare`, ~not yet~ _soon_, for <@U0SANDSAM> in <#C0INCIDENT>\n&gt; quoted\n&gt; twice\n<https://docs.datadoghq.com|the docs> :lock: &amp; more"),
        "accessory": {"type": "overflow", "action_id": "more", "options": [choice("Show the files"), choice("Decline")]},
    },
    {"type": "section", "fields": [mrkdwn("*Size*\n14.2 MB"), mrkdwn("*Files*\n212"), mrkdwn("*Site*\ndatadoghq.eu"), mrkdwn("*Case*\n1234567")]},
    {"type": "divider"},
    rich("rich_text_preformatted", "sha256 0123456789abcdef\n  built 10:04 UTC"),
    rich("rich_text_quote", "Nothing was uploaded."),
    {"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "ordered", "elements": LIST}, {"type": "rich_text_list", "style": "bullet", "indent": 1, "elements": LIST}]},
    {"type": "table", "rows": table_rows(("Node", "Program", "Verdict"), ("node-1", "cil_from_netdev", "pass"), ("node-2", "unknown_prog", "warn"))},
    {"type": "image", "image_url": "https://pictures.example/cat.png", "alt_text": "A graph of drops"},
    {"type": "context", "elements": [mrkdwn("Run `r-1`, asked by <@U0SANDANA>"), {"type": "image", "image_url": "https://pictures.example/i.png", "alt_text": "an icon"}]},
    {
        "type": "actions",
        "block_id": "decide",
        "elements": [
            {"type": "button", "action_id": "approve", "text": plain("Approve"), "style": "primary", "value": "1"},
            {"type": "button", "action_id": "decline", "text": plain("Decline"), "style": "danger", "value": "1",
             "confirm": {"title": plain("Decline it?"), "text": mrkdwn("The archive is *deleted*."), "confirm": plain("Decline"), "deny": plain("Keep"), "style": "danger"}},
            {"type": "static_select", "action_id": "agent", "placeholder": plain("Choose an Agent"), "options": [choice(f"node-{n}") for n in range(1, 20)]},
            {"type": "external_select", "action_id": "external", "placeholder": plain("Search"), "min_query_length": 1},
            {"type": "users_select", "action_id": "user", "placeholder": plain("Somebody")},
            {"type": "multi_static_select", "action_id": "many", "placeholder": plain("Several"), "options": [choice("Red"), choice("Green"), choice("Blue")]},
            {"type": "checkboxes", "action_id": "boxes", "options": [choice("Logs"), choice("Config")]},
            {"type": "radio_buttons", "action_id": "radio", "options": [choice("Now"), choice("Later")]},
            {"type": "datepicker", "action_id": "date", "placeholder": plain("A date")},
        ],
    },
]  # fmt: skip
MORE: list[Block] = [
    {"type": "data_table", "caption": "Programs", "page_size": 2, "rows": table_rows(("Name", "Packets"), *((f"prog-{n}", str(n * 7 % 5)) for n in range(5)))},
    {"type": "container", "title": plain("The output"), "is_collapsible": True, "default_collapsed": True, "child_blocks": [{"type": "section", "text": mrkdwn("inside")}]},
    {"type": "plan", "title": "Uploading", "tasks": [{"type": "task_card", "task_id": "a", "title": "Build", "status": "complete"}, {"type": "task_card", "task_id": "b", "title": "Review", "status": "in_progress"}]},
    {"type": "markdown", "text": "# Title\n\n- [x] done\n- **open**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```"},
    {"type": "video", "alt_text": "a video", "title": plain("A video"), "thumbnail_url": "https://v.example/t.png", "video_url": "https://v.example/v"},
]  # fmt: skip


def asked(block_id: str, label: str, element: Block, **more: Any) -> Block:
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        "element": {"action_id": "it", **element},
        **more,
    }


FORM = [
    asked("agent", "Agent", {"type": "static_select", "options": [choice("node-1"), choice("node-2")]}),
    asked("case", "Case", {"type": "plain_text_input", "max_length": 12}, optional=True, hint=plain("As in the support case")),
    asked("email", "E-mail", {"type": "email_text_input"}),
    asked("hours", "Hours", {"type": "number_input", "is_decimal_allowed": False, "initial_value": "2"}),
    asked("link", "Link", {"type": "url_text_input"}, optional=True),
    asked("why", "Why", {"type": "plain_text_input", "multiline": True}, optional=True),
    asked("day", "Day", {"type": "datepicker", "initial_date": "2026-11-24"}),
    asked("time", "Time", {"type": "timepicker", "initial_time": "10:30"}),
    asked("who", "Who", {"type": "multi_users_select"}, optional=True),
    asked("where", "Where", {"type": "conversations_select"}, optional=True),
    asked("how", "How", {"type": "radio_buttons", "options": [choice("Fast"), choice("Careful")]}),
    asked("what", "What", {"type": "checkboxes", "options": [choice("Logs"), choice("Config")]}, optional=True),
    asked("note", "Note", {"type": "rich_text_input"}, optional=True),
    {"type": "alert", "text": plain("It is uploaded only when somebody approves it."), "level": "info"},
]  # fmt: skip


def modal(title: str, *blocks: Block) -> Block:
    return {
        "type": "modal",
        "title": plain(title),
        "submit": plain("Send"),
        "callback_id": "form",
        "blocks": list(blocks),
    }


@pytest.fixture
async def page(slack: LocalSlack) -> AsyncIterator[Page]:
    async with browser() as found, watched(found, slack.url) as page:
        yield page


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png")


async def post(api: Client, *blocks: Block) -> str:
    return str(
        (await api.ok("chat.postMessage", channel=CHANNEL, text="What a screen reader says", blocks=list(blocks)))["ts"]
    )


async def done(app: SocketApp) -> dict[str, Any]:
    """What the app got next of what people do: not the events of its own messages."""
    while (payload := await app.got())["type"] == "event_callback":
        pass
    return payload


async def test_every_block_is_shown_and_has_a_name(page: Page, api: Client) -> None:
    await post(api, *SHOWN)
    main = page.get_by_role("main")
    await expect(main).to_contain_text("Flare of cluster-a/node-7")
    await expect(main.get_by_role("table")).to_contain_text("cil_from_netdev")
    await expect(main.locator("blockquote").first).to_have_text("quoted\ntwice")
    await expect(main.get_by_role("img", name="A graph of drops")).to_be_visible()
    await expect(page.locator(".unsupported")).to_have_count(0)
    await picture(page, "blocks")
    await fair(page)
    await page.emulate_media(color_scheme="dark")
    await picture(page, "blocks-dark")
    await fair(page)
    await page.set_viewport_size({"width": 375, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 375
    await picture(page, "blocks-phone")

    await page.set_viewport_size({"width": 1360, "height": 900})
    await post(api, *MORE)
    await expect(page.locator(".unsupported")).to_have_text(["unsupported: video"])
    await main.get_by_role("button", name="Packets").click()
    await expect(main.get_by_role("rowheader").first).to_have_text("prog-0")
    await main.get_by_role("button", name="Next").click()
    await expect(main).to_contain_text("3–4 of 5")
    await main.get_by_text("The output").click()
    await expect(main.get_by_text("inside")).to_be_visible()
    await picture(page, "blocks-more-dark")
    await fair(page)


async def test_what_is_chosen_reaches_the_app(page: Page, api: Client, app: SocketApp) -> None:
    app.answers["block_suggestion"] = {"options": [choice("node-42")]}
    await post(api, *SHOWN)

    async def action() -> dict[str, Any]:
        payload = await done(app)
        assert payload["type"] == "block_actions", payload
        return dict(payload["actions"][0])

    main = page.get_by_role("main")
    await main.get_by_role("button", name="Approve").click()
    assert (await action())["action_id"] == "approve"
    await main.get_by_role("button", name="Decline").click()
    question = page.get_by_role("dialog", name="Decline it?")
    await question.get_by_role("button", name="Keep").click()
    await main.get_by_role("button", name="Decline").click()
    await question.get_by_role("button", name="Decline").click()
    assert (await action())["action_id"] == "decline"
    await main.get_by_role("button", name="more").click()
    await page.get_by_role("menuitem", name="Show the files").click()
    assert (await action())["selected_option"]["value"] == "show-the-files"
    agent = main.get_by_role("combobox", name="Choose an Agent")
    await agent.fill("node-17")
    await agent.press("Enter")
    assert (await action())["selected_option"]["value"] == "node-17"
    external = main.get_by_role("combobox", name="Search")
    await external.fill("no")
    await expect(page.get_by_role("option", name="node-42")).to_be_visible()
    assert (await done(app))["value"].startswith("n")
    await page.get_by_role("option", name="node-42").click()
    while (payload := await done(app))["type"] == "block_suggestion":
        pass
    assert payload["actions"][0]["selected_option"]["value"] == "node-42"
    several = main.get_by_role("combobox", name="Several")
    await several.click()
    await page.get_by_role("option", name="Green").click()
    assert [each["value"] for each in (await action())["selected_options"]] == ["green"]
    await main.get_by_role("checkbox", name="Config").check()
    assert [each["value"] for each in (await action())["selected_options"]] == ["config"]
    await main.get_by_role("radio", name="Later").check()
    assert (await action())["selected_option"]["value"] == "later"
    await main.get_by_label("A date").fill("2026-12-01")
    assert (await action())["selected_date"] == "2026-12-01"


async def test_a_modal_is_filled_in_corrected_and_goes_on(page: Page, api: Client, app: SocketApp) -> None:
    await post(api, *SHOWN)
    main = page.get_by_role("main")
    await main.get_by_role("button", name="Approve").click()
    trigger = (await done(app))["trigger_id"]
    await api.ok("views.open", trigger_id=trigger, view=modal("A flare", *FORM))
    form = page.get_by_role("dialog", name="A flare")
    await expect(form).to_be_visible()
    await expect(form.locator(".unsupported")).to_have_count(0)
    await picture(page, "modal")
    await fair(page)

    await form.get_by_role("button", name="Send").click()
    await expect(form.get_by_text("Please complete this required field.")).to_have_count(3)
    await form.get_by_role("combobox", name="Agent").fill("node-2")
    await form.get_by_role("combobox", name="Agent").press("Enter")
    await form.get_by_role("textbox", name="E-mail").fill("ana@example.com")
    await form.get_by_role("radio", name="Careful").check()
    await form.get_by_role("textbox", name="Note").fill("Please look")

    app.answers["view_submission"] = {"response_action": "errors", "errors": {"case": "There is no such case."}}
    await form.get_by_role("button", name="Send").click()
    values = (await done(app))["view"]["state"]["values"]
    assert values["agent"]["it"]["selected_option"]["value"] == "node-2"
    assert values["email"]["it"]["value"] == "ana@example.com"
    assert values["hours"]["it"]["value"] == "2"
    assert values["day"]["it"]["selected_date"] == "2026-11-24"
    assert values["time"]["it"]["selected_time"] == "10:30"
    assert values["how"]["it"]["selected_option"]["value"] == "careful"
    assert values["what"]["it"]["selected_options"] == []
    assert values["case"]["it"]["value"] is None
    assert values["note"]["it"]["rich_text_value"]["type"] == "rich_text"
    await expect(form).to_contain_text("There is no such case.")
    await expect(form.get_by_role("textbox", name="Case")).to_be_focused()
    await picture(page, "modal-errors")

    app.answers["view_submission"] = {
        "response_action": "push",
        "view": modal("Sure?", {"type": "section", "text": mrkdwn("*Really*?")}),
    }
    await form.get_by_role("textbox", name="Case").fill("12")
    await form.get_by_role("button", name="Send").click()
    second = page.get_by_role("dialog", name="Sure?")
    await expect(second).to_be_visible()
    await second.get_by_role("button", name="Back").click()
    await expect(form.get_by_role("textbox", name="E-mail")).to_have_value("ana@example.com")
    app.answers["view_submission"] = {
        "response_action": "update",
        "view": modal("Done", {"type": "section", "text": mrkdwn("Thanks.")}),
    }
    await form.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("dialog", name="Done")).to_contain_text("Thanks.")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
