"""Debian's chromium on the sandbox's page. Whatever a test does there, no request may leave the machine, and no error be logged."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from tests.programs import find, need

TAGS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
CHROMIUM = find("chromium")


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    need("chromium")
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        await found.close()


@contextlib.asynccontextmanager
async def watched(found: Browser, url: str, **options: Any) -> AsyncIterator[Page]:
    """A page at that address; fails when it asked for anything elsewhere, or logged an error."""
    page = await found.new_page(**{"viewport": {"width": 1360, "height": 900}, **options})
    page.set_default_timeout(15_000)
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    await page.goto(url)
    yield page
    await page.close()
    assert not faults
    assert all(each.startswith((url, "data:")) for each in asked), "no request leaves the machine"


async def send(page: Page, line: str) -> None:
    """Type a line into the channel's message field."""
    field = page.get_by_role("textbox", name="Message")
    await field.fill(line)
    await field.press("Enter")


async def fair(page: Page) -> None:
    """Everything has a name, enough contrast and a sound structure, as far as axe can tell."""
    found = await Axe().run(page, options=TAGS)
    assert not found.response["violations"], found.generate_report()
