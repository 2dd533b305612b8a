"""
Block Kit judged by somebody else: `slackblocks`, whose classes refuse what Slack's `blocks.validate` refuses.

It parses only some payloads itself, so that plain blocks are built here with its classes, one for each thing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import slackblocks as sb
from slackblocks import blocks as b
from slackblocks import elements as e
from slackblocks import objects as o
from slackblocks.errors import InvalidUsageError
from slackblocks.rich_text import elements as re
from slackblocks.rich_text import objects as ro

TYPED: Mapping[str, Any] = {
    "actions": b.ActionsBlock, "alert": b.AlertBlock, "card": b.CardBlock, "carousel": b.CarouselBlock, "container": b.ContainerBlock,
    "context": b.ContextBlock, "context_actions": b.ContextActionsBlock, "data_table": b.DataTableBlock,
    "data_visualization": b.DataVisualizationBlock, "divider": b.DividerBlock, "file": b.FileBlock, "header": b.HeaderBlock,
    "input": b.InputBlock, "markdown": b.MarkdownBlock, "plan": b.PlanBlock, "rich_text": b.RichTextBlock, "section": b.SectionBlock,
    "task_card": b.TaskCardBlock, "video": b.VideoBlock,
    "button": e.Button, "checkboxes": e.CheckboxGroup, "datepicker": e.DatePicker, "datetimepicker": e.DateTimePicker,
    "email_text_input": e.EmailInput, "file_input": e.FileInput, "multi_static_select": e.StaticMultiSelectMenu,
    "multi_external_select": e.ExternalMultiSelectMenu, "multi_users_select": e.UserMultiSelectMenu,
    "multi_conversations_select": e.ConversationMultiSelectMenu, "multi_channels_select": e.ChannelMultiSelectMenu,
    "number_input": e.NumberInput, "overflow": e.OverflowMenu, "plain_text_input": e.PlainTextInput, "radio_buttons": e.RadioButtonGroup,
    "static_select": e.StaticSelectMenu, "external_select": e.ExternalSelectMenu, "users_select": e.UserSelectMenu,
    "conversations_select": e.ConversationSelectMenu, "channels_select": e.ChannelSelectMenu, "timepicker": e.TimePicker,
    "url_text_input": e.URLInput, "rich_text_input": e.RichTextInput, "feedback_buttons": e.FeedbackButtons, "icon_button": e.IconButton,
    "raw_text": o.RawText, "raw_number": o.RawNumber, "pie": o.PieChart, "bar": o.BarChart, "area": o.AreaChart, "line": o.LineChart,
    "rich_text_section": ro.RichTextSection, "rich_text_list": ro.RichTextList, "rich_text_preformatted": ro.RichTextCodeBlock,
    "rich_text_quote": ro.RichTextQuote, "text": re.RichText, "link": re.RichTextLink, "user": re.RichTextUser,
    "channel": re.RichTextChannel, "emoji": re.RichTextEmoji, "usergroup": re.RichTextUserGroup,
}  # fmt: skip
NAMED: Mapping[str, Any] = {
    "options": o.Option, "initial_option": o.Option, "initial_options": o.Option, "option_groups": o.OptionGroup,
    "filter": o.ConversationFilter, "dispatch_action_config": o.DispatchActionConfiguration, "slack_file": o.SlackFile,
    "positive_button": e.FeedbackButton, "negative_button": e.FeedbackButton, "segments": o.ChartSegment, "series": o.DataSeries,
    "data": o.DataPoint, "axis_config": o.AxisConfig, "tasks": b.TaskCardBlock, "column_settings": o.ColumnSettings,
}  # fmt: skip
"""Things without a `type`, by the key that they stand under."""
NEWER = {"level", "expand", "language", "date", "broadcast"}
"""What Slack has and slackblocks 3.0.0 does not know."""


def complaints(blocks: Sequence[Mapping[str, Any]], *, surface: str = "message") -> str:
    """Why slackblocks refuses these blocks; empty when it takes them."""
    try:
        made = [built(block) for block in blocks]
        if surface == "message":
            sb.Message(channel="C0", blocks=made).json()
        elif surface == "modal":
            sb.ModalView(title="x", submit="x", blocks=made).to_dict()
        else:
            sb.HomeTabView(blocks=made).to_dict()
    except (InvalidUsageError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def built(value: Any, key: str = "") -> Any:
    """A plain thing as slackblocks' own."""
    if isinstance(value, list):
        return [built(each, key) for each in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("type")
    if kind in {"plain_text", "mrkdwn"}:
        return o.Text(value["text"], o.TextType(kind), value.get("emoji"), value.get("verbatim"))
    if kind == "image":
        make: Any = b.ImageBlock if "title" in value or "block_id" in value or key == "" else e.Image
    elif kind == "table":
        return _table(value)
    elif key == "confirm":
        make = o.ConfirmationDialogue
    else:
        make = TYPED.get(str(kind)) or NAMED[key]
    return _called(make, value)


def _called(make: Callable[..., Any], value: Mapping[str, Any]) -> Any:
    known = inspect.signature(make).parameters
    renamed = {"initial_date_time": "initial_datetime", "usergroup_id": "user_group_id"}
    arguments: dict[str, Any] = dict(value["style"]) if isinstance(value.get("style"), Mapping) else {}
    for key, each in value.items():
        name = renamed.get(key, key)
        if name in known and not isinstance(each, Mapping | list):
            arguments[name] = each
        elif name in known and key != "style":
            # An element's "confirm" is a dialog; the dialog's own "confirm" is a text.
            arguments[name] = built(each, "" if make is o.ConfirmationDialogue else key or "_")
        elif key not in NEWER | {"type", "style"}:
            raise TypeError(f"{make} knows no {key}")
    return make(**arguments)


def _table(value: Mapping[str, Any]) -> Any:
    """Cells of rich text are given to slackblocks without the block around them."""
    rows = [
        [built(cell["elements"][0]) if cell["type"] == "rich_text" else built(cell) for cell in row]
        for row in value["rows"]
    ]
    settings = [o.ColumnSettings(**each) for each in value.get("column_settings", [])] or None
    return b.TableBlock(rows, settings, value.get("block_id"))
