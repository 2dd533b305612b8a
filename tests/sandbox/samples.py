"""The smallest right one of each thing in Block Kit, and ways to make it wrong."""

from __future__ import annotations

import copy
from typing import Any

Block = dict[str, Any]


def plain(text: str = "x") -> Block:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str = "x") -> Block:
    return {"type": "mrkdwn", "text": text}


def option(value: str = "v") -> Block:
    return {"text": plain(), "value": value}


def options(number: int) -> list[Block]:
    return [option(str(each)) for each in range(number)]


def group(number: int = 1) -> Block:
    return {"label": plain(), "options": options(number)}


def button(action_id: str = "a", **more: Any) -> Block:
    return {"type": "button", "action_id": action_id, "text": plain(), **more}


def confirm(**more: Any) -> Block:
    return {"title": plain(), "text": mrkdwn(), "confirm": plain(), "deny": plain(), **more}


def select(**more: Any) -> Block:
    return {"type": "static_select", "action_id": "a", "options": options(1), **more}


def rich(*elements: Block) -> Block:
    return {"type": "rich_text", "elements": list(elements) or [section_of_text()]}


def section_of_text(text: str = "x") -> Block:
    return {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}


def image(**more: Any) -> Block:
    return {"type": "image", "image_url": "https://example.com/i.png", "alt_text": "x", **more}


def card(**more: Any) -> Block:
    return {"type": "card", "title": mrkdwn(), **more}


def task(task_id: str = "t", **more: Any) -> Block:
    return {"task_id": task_id, "title": "x", "status": "complete", **more}


def point(label: str = "x") -> Block:
    return {"label": label, "value": 1}


def series(name: str = "x", points: int = 1) -> Block:
    return {"name": name, "data": [point(f"p{n}") for n in range(points)]}


def axes(points: int = 1, **more: Any) -> Block:
    return {"categories": [f"p{n}" for n in range(points)], **more}


def cell(text: str = "x") -> Block:
    return {"type": "raw_text", "text": text}


def rows(number: int, columns: int = 1, text: str = "x") -> list[list[Block]]:
    return [[cell(text) for _ in range(columns)] for _ in range(number)]


def section(**more: Any) -> Block:
    return {"type": "section", "text": mrkdwn(), **more}


def actions(*elements: Block) -> Block:
    return {"type": "actions", "elements": list(elements) or [button()]}


def inputs(element: Block | None = None, **more: Any) -> Block:
    return {
        "type": "input",
        "label": plain(),
        "element": element or {"type": "plain_text_input", "action_id": "a"},
        **more,
    }


def video(**more: Any) -> Block:
    return {
        "type": "video", "alt_text": "x", "title": plain(), "video_url": "https://example.com/v", "thumbnail_url": "https://example.com/t", **more
    }  # fmt: skip


def container(**more: Any) -> Block:
    return {"type": "container", "title": plain(), "child_blocks": [section()], **more}


def data_table(**more: Any) -> Block:
    return {"type": "data_table", "caption": "x", "rows": rows(2), **more}


def chart(**more: Any) -> Block:
    pie = {"type": "pie", "segments": [point()]}
    return {"type": "data_visualization", "title": "x", "chart": pie, **more}


def bars(number: int = 1, points: int = 1, **axis: Any) -> Block:
    return chart(
        chart={
            "type": "bar",
            "series": [series(f"s{each}", points) for each in range(number)],
            "axis_config": axes(points, **axis),
        }
    )


def feedback(**more: Any) -> Block:
    one = {"text": plain(), "value": "v"}
    return {"type": "feedback_buttons", "action_id": "a", "positive_button": {**one, **more}, "negative_button": one}


def icon_button(**more: Any) -> Block:
    return {"type": "icon_button", "action_id": "i", "icon": "trash", "text": plain(), **more}


def context_actions(*elements: Block) -> Block:
    return {"type": "context_actions", "elements": list(elements) or [feedback()]}


def modal(*blocks: Block, **more: Any) -> Block:
    return {"type": "modal", "title": plain(), "submit": plain(), "blocks": list(blocks) or [section()], **more}


def home(*blocks: Block, **more: Any) -> Block:
    return {"type": "home", "blocks": list(blocks) or [section()], **more}


def listed(*elements: Block, **more: Any) -> Block:
    return rich(
        {"type": "rich_text_list", "style": "bullet", "elements": list(elements) or [section_of_text()], **more}
    )


EVERY_BLOCK: dict[str, Block] = {
    "section": section(fields=[mrkdwn(), plain()], accessory=button()),
    "header": {"type": "header", "text": plain(), "level": 2},
    "divider": {"type": "divider"},
    "context": {"type": "context", "elements": [mrkdwn(), plain(), image()]},
    "actions": actions(button("a"), select(action_id="b"), {"type": "datepicker", "action_id": "c", "initial_date": "2026-11-24"}),
    "context_actions": context_actions(feedback(), icon_button()),
    "input": inputs(hint=plain(), optional=True),
    "image": image(title=plain()),
    "video": video(description=plain(), author_name="x"),
    "markdown": {"type": "markdown", "text": "# x\n\ny"},
    "rich_text": rich(
        section_of_text(),
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x"}], "border": 0},
        {"type": "rich_text_quote", "elements": [{"type": "user", "user_id": "U1"}]},
        {"type": "rich_text_list", "style": "ordered", "indent": 1, "elements": [section_of_text()]},
    ),
    "table": {"type": "table", "rows": rows(2, 2), "column_settings": [{"align": "right"}, {"is_wrapped": True}]},
    "data_table": data_table(),
    "data_visualization": bars(2, 2),
    "card": card(body=mrkdwn(), actions=[button()]),
    "carousel": {"type": "carousel", "elements": [card(), card()]},
    "container": container(subtitle=mrkdwn(), is_collapsible=True, default_collapsed=True),
    "plan": {"type": "plan", "title": "x", "tasks": [task("a"), task("b", status="pending")]},
    "task_card": {"type": "task_card", **task(), "output": rich()},
    "file": {"type": "file", "external_id": "x", "source": "remote"},
}  # fmt: skip
"""Of the blocks that a message may hold."""


def changed(block: Block, path: str, value: Any) -> Block:
    """A copy with one thing in it changed; `path` as in a JSON pointer."""
    made = copy.deepcopy(block)
    *way, last = path.strip("/").split("/")
    at: Any = made
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return made
