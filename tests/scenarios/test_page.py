"""The sandbox's page in a real browser: `/csm selftest` is typed, watched and read there, by keyboard and at phone width."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from bot.sandbox.driver import Driver
from bot.sandbox.world import World, world
from tests.scenarios.browser import browser, fair, send, watched


@pytest.fixture
async def page(sandbox: World) -> AsyncIterator[Page]:
    async with browser() as found, watched(found, sandbox.slack.url) as page:
        yield page


async def test_a_selftest_is_typed_watched_and_read(page: Page) -> None:
    line = page.get_by_role("textbox", name="Message")
    await line.press_sequentially("/cs")
    completions = page.get_by_role("listbox", name="Completions")
    await expect(completions).to_contain_text("/csm")
    await line.press("Tab")
    await expect(completions).to_contain_text("selftest <target>")
    await line.press_sequentially("self")
    await expect(completions.get_by_role("option")).to_have_count(1)
    await line.press("Tab")
    await expect(completions).to_contain_text("Kubernetes, 12 Agents")
    await line.press("Tab")
    await expect(line).to_have_value("/csm selftest cluster-a")
    await line.press("Enter")

    messages = page.get_by_role("main")
    await expect(messages.get_by_role("button", name="Run again")).to_be_visible(timeout=15_000)
    await expect(messages).to_contain_text("2 fail")
    await messages.get_by_role("button", name="replies").click()
    thread = page.get_by_role("complementary", name="Thread")
    await expect(thread).to_contain_text("node-9")
    await expect(thread).to_contain_text("datadog_agent_cws_self_test_rule_chmod")
    await thread.get_by_role("button", name="report (JSON)").click(timeout=15_000)
    await expect(page.get_by_role("dialog")).to_contain_text('"schema": "csm.report/1"')
    await page.keyboard.press("Escape")
    await thread.get_by_role("button", name="report (text)").click()
    await expect(page.get_by_role("dialog")).to_contain_text("node-5")
    await page.keyboard.press("Escape")
    await expect(page.locator(".unsupported")).to_have_count(0)


async def test_everything_can_be_done_without_a_mouse(page: Page, sandbox: World) -> None:
    await page.keyboard.type("/csm selftest cluster-a/node-5")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Run again")).to_be_visible(timeout=15_000)
    await expect(page.get_by_role("button", name="replies")).to_be_visible()

    await page.keyboard.press("Shift+F6")
    await page.keyboard.press("End")
    await expect(page.locator("#messages .message:focus")).to_contain_text("fail")
    await page.keyboard.press("i")
    await expect(page.get_by_role("dialog")).to_contain_text('"action_id": "run.again"')
    # The message is drawn anew under the dialog, and still has the focus afterwards.
    message = await Driver(sandbox.slack).finished()
    await sandbox.slack.people.say("sam", "#incident-42", "I look at it", message["ts"])
    await expect(
        page.get_by_role("button", name=f"{message['reply_count'] + 1} replies", include_hidden=True)
    ).to_be_attached()
    await page.keyboard.press("Escape")
    await expect(page.locator("#messages .message:focus")).to_contain_text("fail")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="Reply")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("complementary", name="Thread")).to_be_hidden()
    await expect(page.locator("#messages .message:focus")).to_contain_text("fail")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("textbox", name="Message")).to_have_value("/csm selftest cluster-a/node-5")
    await page.keyboard.press("Control+/")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("F6")


async def test_a_run_is_shared_through_its_modal(page: Page) -> None:
    await send(page, "/csm selftest cluster-a/node-1")
    await page.get_by_role("button", name="Share").click(timeout=15_000)
    modal = page.get_by_role("dialog", name="Share this run")
    await modal.get_by_role("button", name="Share").click()
    await expect(modal).to_contain_text("Please complete this required field.")
    channel = modal.get_by_role("combobox", name="Channel")
    await channel.fill("inci")
    await channel.press("Enter")
    await expect(channel).to_have_value("#incident-42")
    await modal.get_by_role("button", name="Share").click()
    await expect(modal).to_be_hidden()
    await expect(page.get_by_role("main").locator("li.message")).to_have_count(2)


async def test_cancelling_is_asked_about_first() -> None:
    # The Agent hangs for long enough to read the question.
    settings = {"limits": {"selftest_deadline": "60s"}}
    async with (
        world(settings=settings) as sandbox,
        browser() as found,
        watched(found, sandbox.slack.url) as page,
    ):
        await sandbox.slack.control.faults.do({"fault": "agent", "agent": "node-3", "is": "hang"})
        await send(page, "/csm selftest cluster-a/node-3")
        await page.get_by_role("button", name="Cancel").click(timeout=15_000)
        question = page.get_by_role("dialog", name="Cancel this run?")
        await question.get_by_role("button", name="Cancel the run").click()
        await expect(page.get_by_role("main")).to_contain_text("cancelled by @ana", timeout=15_000)


async def test_a_stranger_sees_the_refusal_and_nobody_else_does(page: Page) -> None:
    await page.get_by_text("has no rights").click()
    await send(page, "/csm selftest cluster-a")
    await expect(page.get_by_role("main")).to_contain_text("Only visible to you")
    await page.get_by_text("on call: may run everything").click()
    await expect(page.get_by_role("main").locator("li.message")).to_have_count(0)


async def test_what_is_broken_is_shown_and_healed(page: Page, sandbox: World) -> None:
    panel = page.get_by_role("region", name="What is broken")
    await expect(panel).to_contain_text("node-9: the module's socket does not exist")
    await panel.get_by_role("button", name="Break something").click()
    fault = page.get_by_role("form", name="An Agent misbehaves")
    await fault.locator("[name=agent]").select_option("node-2")
    await fault.locator("[name=is]").select_option("all_failed")
    await fault.get_by_role("button", name="Break").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Done")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="1 broken")).to_be_visible()

    await panel.get_by_role("button", name="Heal all").click()
    await expect(panel).to_contain_text("Nothing is broken.")
    assert not any(pod.behaviour.fault for pod in sandbox.cluster.pods.values())
    await sandbox.bot.kill()
    await expect(panel).to_contain_text("The bot is not running")
    await panel.get_by_role("button", name="Heal: The bot is not running").click()
    await expect(panel).to_contain_text("Nothing is broken.", timeout=30_000)


async def test_it_fits_a_phone(page: Page) -> None:
    await page.set_viewport_size({"width": 375, "height": 740})
    await send(page, "/csm selftest cluster-a")
    await page.get_by_role("button", name="replies").click(timeout=15_000)
    await expect(page.get_by_role("complementary", name="Thread")).to_contain_text("node-9")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 375
    await page.get_by_role("button", name="Close thread").click()
    await page.get_by_role("button", name="Channels and people").click()
    await page.get_by_role("button", name="general").click()
    await expect(page.get_by_role("heading", name="#general").first).to_be_visible()


async def test_a_flare_is_asked_for_and_approved_by_somebody_else(page: Page) -> None:
    await send(page, "/csm flare cluster-a")
    modal = page.get_by_role("dialog", name="Flare of cluster-a")
    await modal.get_by_role("combobox", name="Agent").fill("node-7")
    await modal.get_by_role("combobox", name="Agent").press("Enter")
    await modal.get_by_role("textbox", name="E-mail address").fill("ana@example.com")
    await modal.get_by_role("button", name="Prepare").click()
    main, thread = page.get_by_role("main"), page.get_by_role("complementary", name="Thread")
    await expect(main).to_contain_text("Waiting for approval", timeout=30_000)

    async def approve() -> None:
        await main.get_by_role("button", name="replies").click()
        await expect(thread).to_contain_text("SHA-256")
        await thread.get_by_role("button", name="Approve").click()
        await page.get_by_role("dialog", name="Upload this archive?").get_by_role("button", name="Upload").click()

    await page.keyboard.press("Alt+Shift+3")
    await approve()
    await expect(thread).to_contain_text("may not approve", timeout=15_000)
    await expect(main).not_to_contain_text("may not approve")
    await page.keyboard.press("Alt+Shift+2")
    await approve()

    await expect(main).to_contain_text("Uploaded: Flare of cluster-a/node-7", timeout=30_000)
    await expect(thread.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.locator(".unsupported")).to_have_count(0)


async def test_every_part_of_it_has_names_and_contrast(page: Page) -> None:
    await send(page, "/csm selftest cluster-a")
    await page.get_by_role("main").get_by_role("button", name="replies").click(timeout=15_000)
    await expect(
        page.get_by_role("complementary", name="Thread").get_by_role("button", name="report (JSON)")
    ).to_be_visible()
    await fair(page)
    await page.keyboard.press("Escape")
    await page.keyboard.type("/csm ")
    await expect(page.get_by_role("listbox", name="Completions")).to_be_visible()
    await fair(page)
    await page.keyboard.press("Control+/")
    await fair(page)
    await page.keyboard.press("Escape")
    await page.emulate_media(color_scheme="dark")
    await page.get_by_role("button", name="Break something").click()
    await fair(page)
    await page.keyboard.press("Escape")
    await page.set_viewport_size({"width": 375, "height": 740})
    await page.get_by_role("button", name="Channels and people").click()
    await fair(page)
