"""A run of a thousand Agents, and a channel with a long history, seen in a real browser: nothing makes the page wait."""

from __future__ import annotations

import pytest
from playwright.async_api import CDPSession, expect

from bot.sandbox.world import world
from tests.scenarios.browser import browser, send, watched

MEASURE = """() => {
  window.long = [];
  new PerformanceObserver((list) => { for (const each of list.getEntries()) window.long.push(Math.round(each.duration)); }).observe({ type: "longtask" });
}"""
AGENTS = 1000


async def work_s(session: CDPSession) -> float:
    """Seconds of script, style and layout so far, as Chromium counts them."""
    metrics = {each["name"]: each["value"] for each in (await session.send("Performance.getMetrics"))["metrics"]}
    return float(metrics["ScriptDuration"] + metrics["LayoutDuration"] + metrics["RecalcStyleDuration"])


@pytest.mark.needs("chromium")
async def test_a_run_of_a_thousand_agents_stays_smooth() -> None:
    async with world(agents=AGENTS) as made, browser() as found, watched(found, made.slack.url) as page:
        await page.evaluate(MEASURE)
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        before, frame = await work_s(session), await page.locator("#composer").bounding_box()
        await send(page, "/csm selftest cluster-a")
        main = page.get_by_role("main")
        await expect(main.get_by_role("button", name="Run again")).to_be_visible(timeout=90_000)
        assert await page.locator("#composer").bounding_box() == frame, "what one types in does not move"
        await main.get_by_role("button", name="replies").click()
        thread = page.get_by_role("complementary", name="Thread")
        await expect(thread.get_by_role("button", name="report (JSON)")).to_be_visible(timeout=30_000)
        worked, long = await work_s(session) - before, await page.evaluate("long")

        await thread.get_by_role("button", name="report (JSON)").click()
        await expect(page.get_by_role("dialog")).to_contain_text('"schema": "csm.report/1"')
        reading = (await page.evaluate("long"))[len(long) :]
        print(f"\n{AGENTS} Agents: {worked:.2f} s of work, long tasks {long} ms; the report: {reading} ms")

    assert worked < 2.0
    assert sum(long) < 1000, "the browser waited for the page"


@pytest.mark.needs("chromium")
async def test_a_long_history_is_opened_and_scrolled_in_parts() -> None:
    async with world(agents=1, start_bot=False) as made:
        where = made.slack.people.where("#incident-42")
        for number in range(3000):
            made.slack.workspace.post(
                where,
                {"user": "U0SANDANA", "text": f"Message {number} of *many*, `code` and <https://example.com|a link>"},
            )
        async with browser() as found, watched(found, made.slack.url) as page:
            await page.evaluate(MEASURE)
            main = page.get_by_role("main")
            await expect(main.get_by_text("Message 2999")).to_be_in_viewport()
            assert await main.locator("li.message").count() == 100
            await main.get_by_role("button", name="Show earlier messages").click()
            await expect(main.locator("li.message")).to_have_count(200)
            await made.slack.people.say("sam", "#incident-42", "One more")
            await expect(main.get_by_text("One more")).to_be_attached()
            assert sum(await page.evaluate("long")) < 1000
