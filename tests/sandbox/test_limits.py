"""
Every limit that Slack sets, at it and one beyond it: what Slack takes is taken, what it refuses is refused.

The limits are those of docs.slack.dev: reference/block-kit, reference/views, reference/methods; the exact
message is in the table where Slack is known to say it so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox.slack.blocks import (
    faults_of_attachments,
    faults_of_message,
    faults_of_options,
    faults_of_view,
)
from bot.sandbox.slack.clock import HandClock
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.workspace import Channel
from tests.sandbox.conftest import CHANNEL, MANIFEST, Client, SocketApp
from tests.sandbox.samples import (
    EVERY_BLOCK,
    actions,
    axes,
    bars,
    button,
    card,
    changed,
    chart,
    confirm,
    container,
    context_actions,
    data_table,
    feedback,
    group,
    home,
    icon_button,
    image,
    inputs,
    listed,
    modal,
    mrkdwn,
    option,
    options,
    plain,
    point,
    rows,
    section,
    select,
    series,
    task,
    video,
)

Make = Callable[[int], dict[str, Any]]


def x(number: int) -> str:
    """So many code points, each outside the basic plane, where UTF-16 would count two."""
    return "\N{PILE OF POO}" * number


def in_actions(element: dict[str, Any]) -> dict[str, Any]:
    return actions({"action_id": "a", **element})


def in_input(element: dict[str, Any]) -> dict[str, Any]:
    return inputs({"action_id": "a", **element})


PLAIN_INPUT = {"type": "plain_text_input"}

AT_MOST: dict[str, tuple[int, Make]] = {
    "section.text": (3000, lambda n: section(text=mrkdwn(x(n)))),
    "section.fields": (10, lambda n: section(fields=[mrkdwn()] * n)),
    "section.fields.item": (2000, lambda n: section(fields=[mrkdwn(x(n))])),
    "header.text": (150, lambda n: {"type": "header", "text": plain(x(n))}),
    "header.level": (4, lambda n: {"type": "header", "text": plain(), "level": n}),
    "context.elements": (10, lambda n: {"type": "context", "elements": [mrkdwn()] * n}),
    "actions.elements": (25, lambda n: actions(*(button(str(each)) for each in range(n)))),
    "context_actions.elements": (5, lambda n: context_actions(*(icon_button(action_id=str(each)) for each in range(n)))),
    "block_id": (255, lambda n: section(block_id=x(n))),
    "action_id": (255, lambda n: actions(button(x(n)))),
    "button.text": (75, lambda n: actions(button(text=plain(x(n))))),
    "button.value": (2000, lambda n: actions(button(value=x(n)))),
    "button.url": (3000, lambda n: actions(button(url=x(n)))),
    "button.accessibility_label": (75, lambda n: actions(button(accessibility_label=x(n)))),
    "button.agent_prompt": (4000, lambda n: actions(button(agent_prompt=x(n)))),
    "confirm.title": (100, lambda n: actions(button(confirm=confirm(title=plain(x(n)))))),
    "confirm.text": (300, lambda n: actions(button(confirm=confirm(text=mrkdwn(x(n)))))),
    "confirm.confirm": (30, lambda n: actions(button(confirm=confirm(confirm=plain(x(n)))))),
    "confirm.deny": (30, lambda n: actions(button(confirm=confirm(deny=plain(x(n)))))),
    "option.text": (75, lambda n: in_actions(select(options=[{**option(), "text": plain(x(n))}]))),
    "option.value": (150, lambda n: in_actions(select(options=[option(x(n))]))),
    "option.description": (75, lambda n: in_actions(select(options=[{**option(), "description": plain(x(n))}]))),
    "option.url": (3000, lambda n: in_actions({"type": "overflow", "options": [{**option(), "url": x(n)}]})),
    "static_select.options": (100, lambda n: in_actions(select(options=options(n)))),
    "static_select.option_groups": (100, lambda n: in_actions({"type": "static_select", "option_groups": [group()] * n})),
    "option_group.label": (75, lambda n: in_actions({"type": "static_select", "option_groups": [{**group(), "label": plain(x(n))}]})),
    "option_group.options": (100, lambda n: in_actions({"type": "static_select", "option_groups": [group(n)]})),
    "select.placeholder": (150, lambda n: in_actions(select(placeholder=plain(x(n))))),
    "overflow.options": (5, lambda n: in_actions({"type": "overflow", "options": options(n)})),
    "checkboxes.options": (10, lambda n: in_actions({"type": "checkboxes", "options": options(n)})),
    "radio_buttons.options": (10, lambda n: in_actions({"type": "radio_buttons", "options": options(n)})),
    "plain_text_input.min_length": (3000, lambda n: in_input({**PLAIN_INPUT, "min_length": n})),
    "plain_text_input.max_length": (3000, lambda n: in_input({**PLAIN_INPUT, "max_length": n})),
    "plain_text_input.placeholder": (150, lambda n: in_input({**PLAIN_INPUT, "placeholder": plain(x(n))})),
    "rich_text_input.min_lines": (100, lambda n: in_input({"type": "rich_text_input", "min_lines": n})),
    "rich_text_input.max_lines": (100, lambda n: in_input({"type": "rich_text_input", "max_lines": n})),
    "file_input.max_files": (10, lambda n: in_input({"type": "file_input", "max_files": n})),
    "input.label": (2000, lambda n: inputs(label=plain(x(n)))),
    "input.hint": (2000, lambda n: inputs(hint=plain(x(n)))),
    "image.image_url": (3000, lambda n: image(image_url=x(n))),
    "image.alt_text": (2000, lambda n: image(alt_text=x(n))),
    "image.title": (2000, lambda n: image(title=plain(x(n)))),
    "video.title": (200, lambda n: video(title=plain(x(n)))),
    "video.description": (200, lambda n: video(description=plain(x(n)))),
    "video.author_name": (50, lambda n: video(author_name=x(n))),
    "video.provider_name": (50, lambda n: video(provider_name=x(n))),
    "markdown.text": (12_000, lambda n: {"type": "markdown", "text": x(n)}),
    "rich_text_list.indent": (8, lambda n: listed(indent=n)),
    "rich_text_list.border": (1, lambda n: listed(border=n)),
    "table.rows": (100, lambda n: {"type": "table", "rows": rows(n)}),
    "table.columns": (20, lambda n: {"type": "table", "rows": rows(1, n)}),
    "table.column_settings": (20, lambda n: {"type": "table", "rows": rows(1, 20), "column_settings": [{}] * n}),
    "table.characters": (10_000, lambda n: {"type": "table", "rows": rows(1, 1, x(n))}),
    "data_table.rows": (201, lambda n: data_table(rows=rows(n))),
    "data_table.columns": (20, lambda n: data_table(rows=rows(2, n))),
    "data_table.page_size": (100, lambda n: data_table(page_size=n)),
    "data_table.characters": (20_000, lambda n: data_table(rows=[rows(1, 1, "x")[0], rows(1, 1, x(n - 1))[0]])),
    "data_visualization.title": (50, lambda n: chart(title=x(n))),
    "data_visualization.segments": (12, lambda n: chart(chart={"type": "pie", "segments": [point()] * n})),
    "data_visualization.segment.label": (20, lambda n: chart(chart={"type": "pie", "segments": [point(x(n))]})),
    "data_visualization.series": (12, bars),
    "data_visualization.points": (20, lambda n: bars(1, n)),
    "data_visualization.series.name": (
        20,
        lambda n: chart(chart={"type": "line", "series": [series(x(n))], "axis_config": axes(1)}),
    ),
    "data_visualization.point.label": (
        20,
        lambda n: chart(
            chart={"type": "bar", "series": [{"name": "x", "data": [point(x(n))]}], "axis_config": {"categories": [x(n)]}}
        ),
    ),
    "data_visualization.categories": (
        20,
        lambda n: bars(2, n),
    ),
    "data_visualization.axis_label": (50, lambda n: bars(x_label=x(n))),
    "card.title": (150, lambda n: card(title=mrkdwn(x(n)))),
    "card.subtitle": (150, lambda n: card(subtitle=mrkdwn(x(n)))),
    "card.body": (200, lambda n: card(body=mrkdwn(x(n)))),
    "card.subtext": (200, lambda n: card(subtext=mrkdwn(x(n)))),
    "card.actions": (3, lambda n: card(actions=[button(str(each)) for each in range(n)])),
    "carousel.elements": (10, lambda n: {"type": "carousel", "elements": [card()] * n}),
    "container.title": (150, lambda n: container(title=plain(x(n)))),
    "container.subtitle": (150, lambda n: container(subtitle=mrkdwn(x(n)))),
    "container.child_blocks": (10, lambda n: container(child_blocks=[section()] * n)),
    "plan.tasks": (50, lambda n: {"type": "plan", "title": "x", "tasks": [task(str(each)) for each in range(n)]}),
    "feedback_button.text": (75, lambda n: context_actions(feedback(text=plain(x(n))))),
    "feedback_button.value": (2000, lambda n: context_actions(feedback(value=x(n)))),
    "feedback_button.accessibility_label": (75, lambda n: context_actions(feedback(accessibility_label=x(n)))),
    "icon_button.value": (2000, lambda n: context_actions(icon_button(value=x(n)))),
    "icon_button.visible_to_user_ids": (10, lambda n: context_actions(icon_button(visible_to_user_ids=["U1"] * n))),
}  # fmt: skip

AT_LEAST: dict[str, tuple[int, Make]] = {
    "text": (1, lambda n: section(text=mrkdwn(x(n)))),
    "header.text": (1, lambda n: {"type": "header", "text": plain(x(n))}),
    "section.fields": (1, lambda n: section(fields=[mrkdwn()] * n)),
    "context.elements": (1, lambda n: {"type": "context", "elements": [mrkdwn()] * n}),
    "actions.elements": (1, lambda n: {"type": "actions", "elements": [button()] * n}),
    "static_select.options": (1, lambda n: in_actions(select(options=options(n)))),
    "overflow.options": (1, lambda n: in_actions({"type": "overflow", "options": options(n)})),
    "checkboxes.options": (1, lambda n: in_actions({"type": "checkboxes", "options": options(n)})),
    "radio_buttons.options": (1, lambda n: in_actions({"type": "radio_buttons", "options": options(n)})),
    "option_group.options": (1, lambda n: in_actions({"type": "static_select", "option_groups": [group(n)]})),
    "multi_select.max_selected_items": (
        1,
        lambda n: in_actions({"type": "multi_static_select", "options": options(1), "max_selected_items": n}),
    ),
    "external_select.min_query_length": (0, lambda n: in_actions({"type": "external_select", "min_query_length": n})),
    "plain_text_input.min_length": (0, lambda n: in_input({**PLAIN_INPUT, "min_length": n})),
    "plain_text_input.max_length": (1, lambda n: in_input({**PLAIN_INPUT, "max_length": n})),
    "rich_text_input.min_lines": (1, lambda n: in_input({"type": "rich_text_input", "min_lines": n})),
    "file_input.max_files": (1, lambda n: in_input({"type": "file_input", "max_files": n})),
    "rich_text_list.indent": (0, lambda n: listed(indent=n)),
    "rich_text_list.offset": (0, lambda n: listed(offset=n)),
    "markdown.text": (1, lambda n: {"type": "markdown", "text": "x" * n}),
    "table.rows": (1, lambda n: {"type": "table", "rows": rows(n)}),
    "data_table.rows": (2, lambda n: data_table(rows=rows(n))),
    "data_table.columns": (1, lambda n: data_table(rows=rows(2, n))),
    "data_table.cell": (1, lambda n: data_table(rows=rows(2, 1, "x" * n))),
    "data_table.page_size": (1, lambda n: data_table(page_size=n)),
    "data_visualization.segments": (1, lambda n: chart(chart={"type": "pie", "segments": [point()] * n})),
    "carousel.elements": (1, lambda n: {"type": "carousel", "elements": [card()] * n}),
    "container.child_blocks": (1, lambda n: container(child_blocks=[section()] * n)),
    "plan.tasks": (1, lambda n: {"type": "plan", "title": "x", "tasks": [task()] * n}),
}  # fmt: skip

NEVER: dict[str, tuple[dict[str, Any], str]] = {
    "neither text nor fields": ({"type": "section"}, "must define either `text` or `fields` [json-pointer:/blocks/0]"),
    "an unknown block": ({"type": "banner"}, "unsupported type: banner [json-pointer:/blocks/0/type]"),
    "an unknown element": (actions({"type": "lever"}), "unsupported type: lever [json-pointer:/blocks/0/elements/0/type]"),
    "an unknown property": (section(colour="red"), "invalid additional property: colour [json-pointer:/blocks/0]"),
    "a header in mrkdwn": ({"type": "header", "text": mrkdwn()}, "failed to match all allowed schemas [json-pointer:/blocks/0/text]"),
    "a button in mrkdwn": (
        actions(button(text=mrkdwn())),
        "failed to match all allowed schemas [json-pointer:/blocks/0/elements/0/text]",
    ),
    "a style of one's own": (actions(button(style="warning")), "must be a valid enum value [json-pointer:/blocks/0/elements/0/style]"),
    "a dialog's style of one's own": (actions(button(confirm=confirm(style="warning"))), "must be a valid enum value"),
    "a code block in two languages": (
        {"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [], "language": ["a", "b"]}]},
        "must be a string",
    ),
    "an action twice": (
        actions(button("a"), button("a")),
        '`action_id` "a" already exists [json-pointer:/blocks/0/elements/1/action_id]',
    ),
    "an image without words": (
        {"type": "image", "image_url": "https://example.com/i.png"},
        "missing required field: alt_text [json-pointer:/blocks/0]",
    ),
    "an image from two places": (image(slack_file={"id": "F0123456789"}), "must define either `image_url` or `slack_file`"),
    "a file id that is none": ({"type": "image", "alt_text": "x", "slack_file": {"id": "x"}}, "must match pattern"),
    "options and groups": (in_actions(select(option_groups=[group()])), "must define either `options` or `option_groups`"),
    "an initial option from elsewhere": (in_actions(select(initial_option=option("z"))), "must be among the options"),
    "an upside-down number": (
        in_input({"type": "number_input", "is_decimal_allowed": True, "min_value": "5", "max_value": "1"}),
        "must not be greater than",
    ),
    "a number that does not say whether decimals": (in_input({"type": "number_input"}), "missing required field: is_decimal_allowed"),
    "upside-down lengths": (in_input({**PLAIN_INPUT, "min_length": 5, "max_length": 1}), "must not be greater than"),
    "a button in an input": (inputs(button()), "unsupported type: button"),
    "a text field in actions": (in_actions(PLAIN_INPUT), "unsupported type: plain_text_input"),
    "a date that is none": (in_actions({"type": "datepicker", "initial_date": "24.11.2026"}), "must match pattern"),
    "an alert in a message": ({"type": "alert", "text": mrkdwn()}, "unsupported type: alert"),
    "a pending task by itself": ({"type": "task_card", **task(status="pending")}, "must be a valid enum value"),
    "a task twice": ({"type": "plan", "title": "x", "tasks": [task(), task()]}, '`task_id` "t" already exists'),
    "uneven rows": ({"type": "table", "rows": [*rows(1, 1), *rows(1, 2)]}, "the same number of cells"),
    "a header cell of rich text": (
        data_table(rows=[[{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]}], *rows(1)]),
        "header cells must not be rich_text",
    ),
    "a data table without a caption": ({"type": "data_table", "rows": rows(2)}, "missing required field: caption"),
    "a segment of nothing": (
        chart(chart={"type": "pie", "segments": [{"label": "x", "value": 0}]}),
        "must be greater than 0",
    ),
    "a series twice": (
        chart(chart={"type": "bar", "series": [series(points=1)] * 2, "axis_config": axes(1)}),
        '`name` "x" already exists',
    ),
    "a category without a point": (
        chart(chart={"type": "area", "series": [series(points=1)], "axis_config": axes(2)}),
        "one point for every category",
    ),
    "a category twice": (
        chart(chart={"type": "area", "series": [series(points=2)], "axis_config": {"categories": ["p0", "p0"]}}),
        "must be different ones",
    ),
    "a container in a container": (container(child_blocks=[container()]), "unsupported type: container"),
    "a container that opens closed but never opens": (container(default_collapsed=True), "needs `is_collapsible`"),
    "an empty card": ({"type": "card", "subtitle": mrkdwn()}, "must define one of"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_MOST)
def test_one_more_than_slack_takes_is_refused(name: str) -> None:
    most, make = AT_MOST[name]

    assert not faults_of_message([make(most)])
    assert faults_of_message([make(most + 1)])


@pytest.mark.parametrize("name", AT_LEAST)
def test_one_less_than_slack_takes_is_refused(name: str) -> None:
    least, make = AT_LEAST[name]

    assert not faults_of_message([make(least)])
    assert faults_of_message([make(least - 1)])


@pytest.mark.parametrize("name", NEVER)
def test_what_slack_never_takes_is_refused_in_its_words(name: str) -> None:
    block, words = NEVER[name]

    assert any(words in str(fault) for fault in faults_of_message([block])), faults_of_message([block])


@pytest.mark.parametrize("kind", EVERY_BLOCK)
def test_every_kind_of_block_is_taken_when_it_is_right(kind: str) -> None:
    assert not faults_of_message([EVERY_BLOCK[kind]])


@pytest.mark.parametrize(
    "kind",
    [
        "markdown",
        "plan",
        "task_card",
        "context_actions",
        "table",
        "container",
        "carousel",
        "data_table",
        "data_visualization",
    ],
)
def test_a_modal_holds_only_some_kinds(kind: str) -> None:
    (fault,) = [each for each in faults_of_view(modal(EVERY_BLOCK[kind])) if "unsupported" in str(each)]

    assert str(fault) == f"unsupported type: {kind} [json-pointer:/view/blocks/0/type]"


def test_an_alert_stands_in_a_modal_and_says_at_most_two_hundred_characters() -> None:
    assert not faults_of_view(modal({"type": "alert", "text": mrkdwn(x(200))}))
    assert faults_of_view(modal({"type": "alert", "text": mrkdwn(x(201))}))


@pytest.mark.parametrize("kind", ["markdown", "plan", "task_card", "context_actions", "file"])
def test_a_home_tab_holds_only_some_kinds(kind: str) -> None:
    assert faults_of_view(home(EVERY_BLOCK[kind]))


VIEWS: dict[str, tuple[int, Make]] = {
    "blocks": (100, lambda n: modal(*[section()] * n)),
    "title": (24, lambda n: modal(title=plain(x(n)))),
    "submit": (24, lambda n: modal(submit=plain(x(n)))),
    "close": (24, lambda n: modal(close=plain(x(n)))),
    "private_metadata": (3000, lambda n: modal(private_metadata=x(n))),
    "callback_id": (255, lambda n: modal(callback_id=x(n))),
    "external_id": (255, lambda n: modal(external_id=x(n))),
    "home.blocks": (100, lambda n: home(*[section()] * n)),
    "home.private_metadata": (3000, lambda n: home(private_metadata=x(n))),
}


@pytest.mark.parametrize("name", VIEWS)
def test_one_more_than_a_view_takes_is_refused(name: str) -> None:
    most, make = VIEWS[name]

    assert not faults_of_view(make(most))
    assert faults_of_view(make(most + 1))


def test_a_view_says_what_is_wrong_as_slack_does() -> None:
    words = [str(fault) for fault in faults_of_view(modal(title=plain("x" * 25), private_metadata="x" * 3001))]

    assert "must be less than 25 characters [json-pointer:/view/title/text]" in words
    assert "must be less than 3001 characters [json-pointer:/view/private_metadata]" in words


@pytest.mark.parametrize(
    "view",
    [
        {"type": "modal", "blocks": [section()]},
        {"type": "modal", "title": plain()},
        {"type": "dialog", "title": plain(), "blocks": []},
        {"type": "modal", "title": plain(), "blocks": [inputs()]},
        modal(section(block_id="a"), section(block_id="a")),
        modal(title=mrkdwn()),
        modal(colour="red"),
        home(title=plain()),
        [],
        modal(*[section(text=mrkdwn("x" * 2900))] * 90),
    ],
    ids=["no title", "no blocks", "no such type", "an input without submit", "a block_id twice", "a title in mrkdwn",
         "a property of one's own", "a title at home", "no object", "more than 250 kB"],
)  # fmt: skip
def test_a_view_that_slack_never_takes_is_refused(view: Any) -> None:
    assert faults_of_view(view)


def test_fifty_blocks_are_a_message_and_fifty_one_are_none() -> None:
    assert not faults_of_message([{"type": "divider"}] * 50)
    (fault,) = faults_of_message([{"type": "divider"}] * 51)
    assert str(fault) == "no more than 50 items allowed [json-pointer:/blocks]"


def test_a_markdown_block_counts_as_what_slack_makes_of_it() -> None:
    headings = "\n\n".join(f"# {n}\n\ntext" for n in range(25))

    assert not faults_of_message([{"type": "markdown", "text": headings}])
    assert faults_of_message([{"type": "markdown", "text": f"{headings}\n\n---"}])


def test_markdown_is_limited_in_all_its_blocks_together() -> None:
    half = {"type": "markdown", "text": "x" * 6000}

    assert not faults_of_message([half, half])
    assert faults_of_message([half, {**half, "text": "x" * 6001}])


def test_a_message_has_one_table_and_two_charts() -> None:
    table = EVERY_BLOCK["table"]

    assert [fault.error for fault in faults_of_message([table, table])] == ["only_one_table_allowed"]
    assert [fault.error for fault in faults_of_message([table, data_table()])] == ["only_one_table_allowed"]
    assert not faults_of_message([chart(), chart()])
    assert faults_of_message([chart(), chart(), chart()])


def test_a_block_id_stands_once_in_a_message() -> None:
    (fault,) = faults_of_message([section(block_id="a"), section(block_id="a")])

    assert str(fault) == '`block_id` "a" already exists [json-pointer:/blocks/1/block_id]'


def test_a_whole_message_has_a_limit_that_no_block_of_it_breaks() -> None:
    blocks = [section(text=mrkdwn("x" * 2900)) for _ in range(4)]

    assert not faults_of_message(blocks, "x" * 1600)
    assert [fault.error for fault in faults_of_message(blocks, "x" * 1601)] == ["msg_blocks_too_long"]


def test_attachments_are_a_hundred_and_their_blocks_are_judged() -> None:
    assert not faults_of_attachments([{"text": "x"}] * 100)
    assert faults_of_attachments([{"text": "x"}] * 101)
    (fault,) = faults_of_attachments([{"blocks": [changed(section(), "/text/text", "")]}])
    assert (fault.pointer, fault.error) == ("/attachments/0/blocks/0/text/text", "invalid_attachments")


def test_an_external_select_is_offered_a_hundred_options() -> None:
    assert not faults_of_options({"options": options(100)})
    assert faults_of_options({"options": options(101)})
    assert faults_of_options({"option_groups": [group(101)]})
    assert faults_of_options({})


# -- what the methods refuse of a call as a whole ---------------------------------------------------------------


async def test_a_text_over_forty_thousand_is_cut_and_warned_of(api: Client) -> None:
    whole = await api.ok("chat.postMessage", channel=CHANNEL, text="x" * 40_000)
    cut = await api.ok("chat.postMessage", channel=CHANNEL, text="x" * 40_001)

    assert "message_truncated" not in str(whole)
    assert len(cut["message"]["text"]) == 40_000
    assert "message_truncated" in cut["response_metadata"]["warnings"]


async def test_an_update_takes_four_thousand_characters(api: Client) -> None:
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x"))["ts"]

    await api.ok("chat.update", channel=CHANNEL, ts=ts, text="x" * 4000)
    assert await api.error("chat.update", channel=CHANNEL, ts=ts, text="x" * 4001) == "msg_too_long"


async def test_markdown_text_is_limited_and_stands_alone(api: Client) -> None:
    await api.ok("chat.postMessage", channel=CHANNEL, markdown_text="x" * 12_000)
    assert await api.error("chat.postMessage", channel=CHANNEL, markdown_text="x" * 12_001) == "msg_too_long"
    assert await api.error("chat.postMessage", channel=CHANNEL, markdown_text="x", text="x") == "markdown_text_conflict"


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.postEphemeral", "chat.scheduleMessage", "chat.update"])
async def test_bad_blocks_are_refused_whichever_way_they_come(slack: LocalSlack, api: Client, method: str) -> None:
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x"))["ts"]
    more = {"channel": CHANNEL, "user": "U0SANDANA", "ts": ts, "post_at": int(slack.workspace.clock.now()) + 60}
    answer = await api(method, **more, text="x", blocks=[section(text=mrkdwn("x" * 3001))])

    words = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert answer["error"] == "invalid_blocks"
    assert answer["errors"] == [words]
    assert answer["response_metadata"]["messages"] == [f"[ERROR] {words}"]


async def test_bad_blocks_in_an_acknowledgement_and_at_a_response_url_are_refused_too(
    slack: LocalSlack, api: Client, app: SocketApp
) -> None:
    app.answers["slash_commands"] = {"text": "x", "blocks": [{"type": "banner"}]}
    await slack.people.command("ana", CHANNEL, "/probe")
    payload = await app.got()

    assert any("invalid_blocks" in str(event.get("text")) for event in slack.workspace.events)
    async with await api.post(payload["response_url"], {"text": "x", "blocks": [{"type": "banner"}]}) as refused:
        assert refused.status == 400
        assert (await refused.json())["error"] == "invalid_blocks"
    assert not slack.workspace.channels[CHANNEL].messages


async def test_bad_views_are_invalid_arguments(slack: LocalSlack, api: Client) -> None:
    trigger = slack.workspace.triggers.make("U0SANDANA")
    answer = await api("views.open", trigger_id=trigger, view=modal(title=plain("x" * 25)))

    assert answer["error"] == "invalid_arguments"
    assert "errors" not in answer
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"
    ]


async def test_a_view_too_large_has_an_error_of_its_own(slack: LocalSlack, api: Client) -> None:
    view = modal(*[section(text=mrkdwn("x" * 2900))] * 90)

    assert (
        await api.error("views.open", trigger_id=slack.workspace.triggers.make("U0SANDANA"), view=view)
        == "view_too_large"
    )


async def test_a_stack_has_three_modals(slack: LocalSlack, api: Client) -> None:
    top = (await api.ok("views.open", trigger_id=slack.workspace.triggers.make("U0SANDANA"), view=modal()))["view"][
        "id"
    ]
    for _ in range(2):
        trigger = slack.workspace.triggers.make("U0SANDANA", top)
        top = (await api.ok("views.push", trigger_id=trigger, view=modal()))["view"]["id"]

    trigger = slack.workspace.triggers.make("U0SANDANA", top)
    assert await api.error("views.push", trigger_id=trigger, view=modal()) == "push_limit_reached"


async def test_a_trigger_is_good_for_three_seconds_and_one_view(
    slack: LocalSlack, clock: HandClock, api: Client
) -> None:
    trigger = slack.workspace.triggers.make("U0SANDANA")
    assert await api.error("views.open", trigger_id=trigger, view={"type": "modal"}) == "invalid_arguments"
    clock.move(3)
    await api.ok("views.open", trigger_id=trigger, view=modal())
    assert await api.error("views.open", trigger_id=trigger, view=modal()) == "exchanged_trigger_id"

    late = slack.workspace.triggers.make("U0SANDANA")
    clock.move(3.1)
    assert await api.error("views.open", trigger_id=late, view=modal()) == "expired_trigger_id"
    assert await api.error("views.open", trigger_id="1.2.x", view=modal()) == "invalid_trigger_id"


async def test_a_response_url_is_good_for_five_answers(slack: LocalSlack, api: Client, app: SocketApp) -> None:
    await slack.people.command("ana", CHANNEL, "/probe")
    url = (await app.got())["response_url"]

    statuses = [(await api.post(url, {"text": str(number)})).status for number in range(6)]
    assert statuses == [200, 200, 200, 200, 200, 404]


async def test_a_response_url_is_good_for_half_an_hour(
    slack: LocalSlack, clock: HandClock, api: Client, app: SocketApp
) -> None:
    await slack.people.command("ana", CHANNEL, "/probe")
    url = (await app.got())["response_url"]

    clock.move(1800)
    assert (await api.post(url, {"text": "x"})).status == 200
    clock.move(1)
    assert (await api.post(url, {"text": "x"})).status == 404


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"filename": "x", "length": 0}, "missing_argument"),
        ({"length": 1}, "missing_argument"),
        ({"filename": "x", "length": 1, "snippet_type": "klingon"}, "unknown_snippet_type"),
        ({"filename": "x", "length": 1024 * 1024 + 1, "snippet_type": "text"}, "snippet_too_large"),
        ({"filename": "x", "length": 1, "alt_txt": "x" * 1001}, "alt_txt_too_large"),
    ],
)
async def test_a_slot_for_a_file_has_its_limits(api: Client, arguments: dict[str, Any], error: str) -> None:
    await api.ok(
        "files.getUploadURLExternal", filename="x", length=1024 * 1024, snippet_type="text", alt_txt="x" * 1000
    )
    assert await api.error("files.getUploadURLExternal", **arguments) == error


async def test_a_file_is_shared_in_a_hundred_channels(api: Client) -> None:
    slot = await api.ok("files.getUploadURLExternal", filename="x", length=1)
    assert (await api.post(slot["upload_url"], b"x")).status == 200
    channels = ",".join([CHANNEL] * 101)

    assert (
        await api.error("files.completeUploadExternal", files=[{"id": slot["file_id"]}], channels=channels)
        == "channels_limit_exceeded"
    )


@pytest.mark.parametrize(
    ("method", "per_minute"),
    [
        ("auth.test", 300),
        ("chat.postMessage", 60),
        ("chat.update", 50),
        ("chat.delete", 50),
        ("chat.scheduleMessage", 50),
        ("chat.postEphemeral", 100),
        ("chat.getPermalink", 300),
        ("users.info", 100),
        ("users.list", 20),
        ("users.lookupByEmail", 50),
        ("usergroups.list", 20),
        ("usergroups.users.list", 20),
        ("reactions.add", 50),
        ("reactions.remove", 20),
        ("views.open", 100),
        ("views.push", 100),
        ("views.update", 100),
        ("views.publish", 100),
        ("files.getUploadURLExternal", 100),
        ("files.completeUploadExternal", 100),
        ("files.info", 100),
        ("conversations.info", 50),
        ("conversations.history", 50),
        ("conversations.replies", 50),
        ("conversations.open", 50),
        ("conversations.join", 50),
        ("conversations.list", 20),
        ("conversations.members", 100),
    ],
)
async def test_a_minute_has_so_many_calls_of_a_method(
    clock: HandClock, api: Client, method: str, per_minute: int
) -> None:
    refused = [await api(method) for _ in range(per_minute)]
    assert not [answer for answer in refused if answer.get("error") == "ratelimited"]

    async with await api.raw(method, json={}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
        assert await answer.json() == {"ok": False, "error": "ratelimited"}
    clock.move(59)
    assert await api.error(method) == "ratelimited"
    clock.move(1)
    assert (await api(method)).get("error") != "ratelimited"


async def test_a_workspace_has_so_many_posts_a_minute_whatever_their_channels(slack: LocalSlack, api: Client) -> None:
    for number in range(6):
        slack.workspace.channels[f"C{number}"] = Channel(f"C{number}", f"c{number}", {"U0CSM"})
    answers = [await api("chat.postMessage", channel=f"C{number % 6}", text="x") for number in range(301)]

    assert [answer["ok"] for answer in answers] == [True] * 300 + [False]
    assert answers[-1]["error"] == "ratelimited"


@pytest.mark.parametrize("over_http", [False, True], ids=["socket", "http"])
async def test_an_app_has_three_seconds(over_http: bool, session: Any) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with LocalSlack(MANIFEST) as slack, await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        if over_http:
            slack.delivery.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        else:
            url = (await Client(slack, session).ok("apps.connections.open", token=slack.app_token))["url"]
            await session.ws_connect(url)
        began = time.monotonic()
        await slack.people.command("ana", CHANNEL, "/probe")

        assert 3.0 <= time.monotonic() - began < 4.5
        assert slack.workspace.events[-1]["text"] == "/probe failed with the error operation_timeout"


async def test_an_app_has_ten_connections(slack: LocalSlack, api: Client, session: Any) -> None:
    async def connect() -> Any:
        url = (await api.ok("apps.connections.open", token=slack.app_token))["url"]
        return await session.ws_connect(url)

    sockets = [await connect() for _ in range(10)]
    assert [(await socket.receive_json())["num_connections"] for socket in sockets] == list(range(1, 11))
    one_more = await connect()
    refusal = await one_more.receive_json()
    assert (refusal["type"], refusal["reason"]) == ("disconnect", "too_many_websockets")
    await asyncio.gather(*(socket.close() for socket in [*sockets, one_more]))
