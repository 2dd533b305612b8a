"""The page while things change under it: nothing is lost, nothing is shown that is no more, and what is clicked is what was pressed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Route, expect

from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from tests.scenarios.browser import browser, watched

CHANNEL = "#incident-42"
TELLS = """(words) => new Promise((told) => {
  const source = new EventSource("/sandbox/events?user=ana&after=0");
  source.onmessage = (event) => { if (event.data.includes(words)) { source.close(); setTimeout(told, 100); } };
})"""
"""Waits until the pages were told of something, and had the time to draw it."""


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(MANIFEST) as slack:
        yield slack


@pytest.fixture
async def page(slack: LocalSlack) -> AsyncIterator[Page]:
    async with browser() as found, watched(found, slack.url) as page:
        yield page


class Held:
    """An answer that the page gets later than the sandbox gave it."""

    def __init__(self) -> None:
        self.given = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, route: Route) -> None:
        answer = await route.fetch()
        self.given.set()
        await self.release.wait()
        await route.fulfill(response=answer)


async def test_a_button_is_clicked_also_when_its_message_changes_while_it_is_pressed(
    slack: LocalSlack, page: Page
) -> None:
    root = await slack.people.say("sam", CHANNEL, "Look")
    await slack.people.say("sam", CHANNEL, "One", root["ts"])
    button = page.get_by_role("button", name="1 reply")
    await button.hover()
    await page.mouse.down()
    await slack.people.say("sam", CHANNEL, "Two", root["ts"])
    await page.evaluate(TELLS, "Two")
    await page.mouse.up()

    await expect(page.get_by_role("complementary", name="Thread")).to_contain_text("Two")
    await expect(page.get_by_role("button", name="2 replies")).to_be_visible()


async def test_a_reply_that_comes_while_its_thread_is_fetched_is_in_it(slack: LocalSlack, page: Page) -> None:
    root = await slack.people.say("sam", CHANNEL, "Look")
    await slack.people.say("sam", CHANNEL, "One", root["ts"])
    held = Held()
    await page.route(re.compile("/sandbox/messages.*thread_ts"), held)
    await page.get_by_role("button", name="1 reply").click()
    await held.given.wait()
    await slack.people.say("sam", CHANNEL, "Two", root["ts"])
    await page.evaluate(TELLS, "Two")
    held.release.set()

    thread = page.get_by_role("complementary", name="Thread")
    await expect(thread).to_contain_text("One")
    await expect(thread).to_contain_text("Two")


async def test_a_message_that_is_deleted_while_its_channel_is_fetched_is_not_in_it(
    slack: LocalSlack, page: Page
) -> None:
    root = await slack.people.say("sam", "#general", "Never mind")
    await slack.people.say("sam", "#general", "This stays")
    held = Held()
    await page.route(re.compile("/sandbox/messages.*C0GENERAL"), held)
    await page.get_by_role("button", name="general").click()
    await held.given.wait()
    slack.workspace.delete(slack.people.where("#general"), root["ts"])
    await page.evaluate(TELLS, "message_deleted")
    held.release.set()

    await expect(page.get_by_role("main")).to_contain_text("This stays")
    await expect(page.get_by_role("main").locator("li.message")).to_have_count(1)


async def test_who_is_chosen_last_is_who_one_is_however_late_the_others_answer_comes(
    slack: LocalSlack, page: Page
) -> None:
    held = Held()
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/sandbox/events" in request.url else None)
    await page.route(re.compile("/sandbox/state.*user=sam"), held)
    await page.keyboard.press("Alt+Shift+2")
    await held.given.wait()
    await page.keyboard.press("Alt+Shift+3")
    await expect(page.get_by_role("radio", name="eve has no rights")).to_be_checked()
    held.release.set()
    await page.unroute_all(behavior="wait")

    # One of eve's own messages is highlighted for her, and is told to her once.
    await slack.people.say("sam", CHANNEL, "@eve, look")
    await expect(page.get_by_role("main").locator("li.message .mention.mine")).to_have_count(1)
    assert ["user=eve" in url for url in streams if "user=ana" not in url] == [True]


async def test_a_reply_that_is_also_sent_to_the_channel_is_shown_there_at_once(slack: LocalSlack, page: Page) -> None:
    root = await slack.people.say("sam", CHANNEL, "Look")
    await expect(page.get_by_role("main").locator("li.message")).to_have_count(1)
    broadcast = {"user": "U0SANDSAM", "text": "Seen", "thread_ts": root["ts"], "subtype": "thread_broadcast"}
    slack.workspace.post(slack.people.where(CHANNEL), broadcast)

    await expect(page.get_by_role("main").locator("li.message")).to_have_count(2)


async def test_a_page_shows_nothing_of_a_sandbox_that_was_ended_once_another_answers_there() -> None:
    async with browser() as found:
        page = await found.new_page()
        async with LocalSlack(MANIFEST) as first:
            url = first.url
            await page.goto(url)
            await first.people.say("sam", CHANNEL, "Of the first")
            await expect(page.get_by_role("main")).to_contain_text("Of the first")
        await expect(page.get_by_text("The sandbox does not answer")).to_be_visible()

        async with LocalSlack(MANIFEST, port=int(url.rpartition(":")[2])) as second:
            await expect(page.get_by_role("main").locator("li.message")).to_have_count(0, timeout=20_000)
            await second.people.say("sam", CHANNEL, "Of the second")
            await expect(page.get_by_role("main")).to_contain_text("Of the second")
