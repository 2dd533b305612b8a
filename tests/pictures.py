"""`make pictures`: the README's pictures of the sandbox's page, taken in Chromium at the real thing and kept small."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Page, expect

from bot.sandbox.world import world
from tests.scenarios.browser import browser, send, watched

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WAIT_MS = 60_000
SIZE = {"width": 1240, "height": 780}


async def main() -> None:
    """Run the three commands and take a picture of what each is about."""
    async with world() as made, browser() as found, watched(found, made.slack.url, viewport=SIZE) as page:
        page.set_default_timeout(WAIT_MS)
        await _selftest(page)
        await _dark(page)
        await _phone(page)
        await _flare(page)


async def _selftest(page: Page) -> None:
    await send(page, "/csm selftest cluster-a")
    await page.get_by_role("main").get_by_role("button", name="replies").click()
    await expect(page.get_by_role("button", name="report (JSON)")).to_be_visible()
    await _take(page, "thread", thread_at="fail: Self-test")


async def _dark(page: Page) -> None:
    await page.emulate_media(color_scheme="dark")
    await _take(page, "dark", thread_at="fail: Self-test")
    await page.emulate_media(color_scheme="light")


async def _phone(page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 780})
    await _take(page, "phone", thread_at="selftest.rule_failed")
    await page.set_viewport_size({"width": 1240, "height": 780})
    await page.get_by_role("button", name="Close thread").click()


async def _flare(page: Page) -> None:
    await send(page, "/csm flare cluster-a")
    modal = page.get_by_role("dialog", name="Flare of cluster-a")
    await expect(modal).to_be_visible()
    await _take(page, "modal")
    await modal.get_by_role("combobox", name="Agent").fill("node-7")
    await modal.get_by_role("combobox", name="Agent").press("Enter")
    await modal.get_by_role("textbox", name="Support case").fill("1234567")
    await modal.get_by_role("textbox", name="E-mail").fill("ana@example.com")
    await modal.get_by_role("button", name="Prepare").click()
    await expect(page.get_by_role("main")).to_contain_text("Waiting for approval")
    await page.get_by_text("may approve").click()
    await page.get_by_role("main").get_by_role("button", name="replies").last.click()
    await expect(page.get_by_role("complementary", name="Thread").get_by_role("button", name="Approve")).to_be_visible()
    await _take(page, "approval")


async def _take(page: Page, name: str, *, thread_at: str = "") -> None:
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.blur()")
    if thread_at:
        await (
            page.locator("#thread")
            .get_by_text(thread_at)
            .first.evaluate("node => node.closest('.message').scrollIntoView()")
        )
    await page.screenshot(path=PICTURES / f"{name}.png", scale="css", animations="disabled")


if __name__ == "__main__":
    asyncio.run(main())
