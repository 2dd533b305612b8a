"""The sandbox's page in a real browser: `/csm selftest` is typed, watched and read there."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from bot.sandbox.world import World

CHROMIUM = shutil.which("chromium")
PICTURES = os.environ.get("CSM_PICTURES")


@pytest.fixture
async def page(sandbox: World) -> AsyncIterator[Page]:
    if not CHROMIUM:
        pytest.skip("there is no chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1360, "height": 900})
        asked: list[str] = []
        faults: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        await page.goto(sandbox.slack.url)
        page.set_default_timeout(15_000)
        yield page
        await browser.close()
    assert not faults
    assert all(url.startswith((sandbox.slack.url, "data:")) for url in asked), "no request leaves the machine"


async def test_a_selftest_is_typed_watched_and_read(page: Page) -> None:
    line = page.get_by_role("textbox", name="Message")
    await line.press_sequentially("/cs")
    await expect(page.get_by_role("list", name="Commands")).to_contain_text("/csm")
    await line.press("Tab")
    await line.press_sequentially("selftest cluster-a")
    await line.press("Enter")

    messages = page.get_by_role("main")
    await expect(messages.get_by_role("button", name="Run again")).to_be_visible(timeout=15_000)
    replies = messages.get_by_role("button", name="replies")
    await expect(messages).to_contain_text("2 fail")
    await replies.click()
    thread = page.get_by_role("complementary", name="Thread")
    await expect(thread).to_contain_text("node-9")
    await expect(thread.get_by_role("button", name="report (JSON)")).to_be_visible(timeout=15_000)
    if PICTURES:
        await page.get_by_role("list").nth(2).evaluate("list => list.scrollTop = 0")
        await thread.locator("#thread").evaluate("list => list.scrollTop = 0")
        await page.screenshot(path=Path(PICTURES) / "thread.png")
    await thread.get_by_role("button", name="report (JSON)").click()
    await expect(page.get_by_role("dialog")).to_contain_text('"schema": "csm.report/1"')
    await page.get_by_role("button", name="Close", exact=True).click()
    await expect(page.locator(".unsupported")).to_have_count(0)


async def test_a_run_is_shared_through_its_modal(page: Page) -> None:
    line = page.get_by_role("textbox", name="Message")
    await line.fill("/csm selftest cluster-a/node-1")
    await line.press("Enter")
    await page.get_by_role("button", name="Share").click(timeout=15_000)
    modal = page.get_by_role("dialog")
    await modal.get_by_role("combobox").select_option(label="#incident-42")
    await modal.get_by_role("button", name="Share").click()
    await expect(modal).to_be_hidden()
    await expect(page.get_by_role("main").locator("li.message")).to_have_count(2)


async def test_a_stranger_sees_the_refusal_and_nobody_else_does(page: Page) -> None:
    await page.get_by_role("combobox", name="You are").select_option("eve")
    line = page.get_by_role("textbox", name="Message")
    await line.fill("/csm selftest cluster-a")
    await line.press("Enter")
    await expect(page.get_by_role("main")).to_contain_text("Only visible to you")
    await page.get_by_role("combobox", name="You are").select_option("ana")
    await expect(page.get_by_role("main").locator("li.message")).to_have_count(0)


async def test_it_fits_a_phone(page: Page) -> None:
    await page.set_viewport_size({"width": 375, "height": 740})
    line = page.get_by_role("textbox", name="Message")
    await line.fill("/csm selftest cluster-a")
    await line.press("Enter")
    await page.get_by_role("button", name="replies").click(timeout=15_000)
    await expect(page.get_by_role("complementary", name="Thread")).to_contain_text("node-9")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 375
