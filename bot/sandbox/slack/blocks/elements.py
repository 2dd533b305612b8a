"""Interactive elements: buttons, selects, pickers, inputs (docs.slack.dev: reference/block-kit/block-elements)."""

from __future__ import annotations

from bot.sandbox.slack.blocks.checks import (
    Check,
    anything,
    array,
    boolean,
    by_type,
    exactly_one,
    in_order,
    number,
    one_of,
    rule,
    shape,
    string,
)
from bot.sandbox.slack.blocks.objects import (
    CONFIRM,
    DISPATCH,
    FILTER,
    ID,
    IMAGE,
    LINK_OPTION,
    OPTION_GROUP,
    PLAIN_OPTION,
    RICH_OPTION,
    plain,
)
from bot.sandbox.slack.blocks.rich_text import RICH_TEXT

_COMMON = {"action_id": ID, "confirm": CONFIRM, "focus_on_load": boolean}
_PLACEHOLDER = {"placeholder": plain(150)}
_STYLE = one_of("primary", "danger")
_LABEL = {"accessibility_label": string(75)}
_CHOICES = exactly_one("options", "option_groups")
_STATIC = {"options": array(PLAIN_OPTION, 100, least=1), "option_groups": array(OPTION_GROUP, 100, least=1)}
_INITIAL = anything  # an initial value must be among the options: see the rules
_QUERY = {"min_query_length": number(0)}
_URL = {"response_url_enabled": boolean}
_DATE = string(like=r"\d{4}-\d{2}-\d{2}")
_DECIMAL = string(like=r"-?\d+(\.\d+)?")


def _chosen_is_offered(key: str) -> Check:
    def holds(value: dict[str, object]) -> bool:
        options = value.get("options")
        groups = value.get("option_groups")
        offered = options if isinstance(options, list) else []
        if isinstance(groups, list):
            offered = [option for group in groups if isinstance(group, dict) for option in group.get("options", [])]
        chosen = value.get(key, [])
        return all(each in offered for each in (chosen if isinstance(chosen, list) else [chosen]))

    return rule(holds, f"`{key}` must be among the options")


def _select(more: dict[str, Check], *rules: Check) -> Check:
    return shape({}, {**_COMMON, **_PLACEHOLDER, **more}, *rules)


def _multi(more: dict[str, Check], *rules: Check) -> Check:
    return _select({"max_selected_items": number(1), **more}, *rules)


def _typed(more: dict[str, Check], *rules: Check, required: dict[str, Check] | None = None) -> Check:
    """An input field."""
    optional = {**_PLACEHOLDER, "action_id": ID, "dispatch_action_config": DISPATCH, "focus_on_load": boolean}
    return shape(required or {}, {**optional, **more}, *rules)


BUTTON = shape(
    {"text": plain(75)},
    {
        **_COMMON,
        **_LABEL,
        "value": string(2000, 0),
        "url": string(3000, 0),
        "style": _STYLE,
        "agent_prompt": string(4000),
    },
)
STATIC_SELECT = _select({**_STATIC, "initial_option": _INITIAL}, _CHOICES, _chosen_is_offered("initial_option"))
MULTI_STATIC_SELECT = _multi({**_STATIC, "initial_options": _INITIAL}, _CHOICES, _chosen_is_offered("initial_options"))

SELECTS = {
    "static_select": STATIC_SELECT,
    "external_select": _select({**_QUERY, "initial_option": PLAIN_OPTION}),
    "users_select": _select({"initial_user": string()}),
    "conversations_select": _select(
        {**_URL, "initial_conversation": string(), "default_to_current_conversation": boolean, "filter": FILTER}
    ),
    "channels_select": _select({**_URL, "initial_channel": string()}),
    "multi_static_select": MULTI_STATIC_SELECT,
    "multi_external_select": _multi({**_QUERY, "initial_options": array(PLAIN_OPTION, least=1)}),
    "multi_users_select": _multi({"initial_users": array(string(), least=1)}),
    "multi_conversations_select": _multi(
        {
            "initial_conversations": array(string(), least=1),
            "default_to_current_conversation": boolean,
            "filter": FILTER,
        }
    ),
    "multi_channels_select": _multi({"initial_channels": array(string(), least=1)}),
}
PICKERS = {
    "checkboxes": shape(
        {"options": array(RICH_OPTION, 10, least=1)},
        {**_COMMON, "initial_options": _INITIAL},
        _chosen_is_offered("initial_options"),
    ),
    "radio_buttons": shape(
        {"options": array(RICH_OPTION, 10, least=1)},
        {**_COMMON, "initial_option": _INITIAL},
        _chosen_is_offered("initial_option"),
    ),
    "datepicker": _select({"initial_date": _DATE}),
    "timepicker": _select({"initial_time": string(like=r"([01]\d|2[0-3]):[0-5]\d"), "timezone": string()}),
    "datetimepicker": shape({}, {**_COMMON, "initial_date_time": number(1_000_000_000, 9_999_999_999)}),
}
FIELDS = {
    "plain_text_input": _typed(
        {
            "initial_value": string(3000, 0),
            "multiline": boolean,
            "min_length": number(0, 3000),
            "max_length": number(1, 3000),
        },
        in_order("min_length", "max_length"),
    ),
    "email_text_input": _typed({"initial_value": string(None, 0)}),
    "url_text_input": _typed({"initial_value": string(None, 0)}),
    "number_input": _typed(
        {"initial_value": _DECIMAL, "min_value": _DECIMAL, "max_value": _DECIMAL},
        in_order("min_value", "max_value"),
        required={"is_decimal_allowed": boolean},
    ),
    "rich_text_input": _typed(
        {"initial_value": RICH_TEXT, "min_lines": number(1, 100), "max_lines": number(1, 100)},
        in_order("min_lines", "max_lines"),
    ),
    "file_input": shape({}, {"action_id": ID, "filetypes": array(string(), least=1), "max_files": number(1, 10)}),
}
OVERFLOW = shape({"options": array(LINK_OPTION, 5, least=1)}, {"action_id": ID, "confirm": CONFIRM})
_PARAMETER = shape({"name": string(), "value": string()})
_TRIGGER = shape({"url": string()}, {"customizable_input_parameters": array(_PARAMETER)})
WORKFLOW_BUTTON = shape(
    {"text": plain(75), "workflow": shape({"trigger": _TRIGGER})}, {**_COMMON, **_LABEL, "style": _STYLE}
)
_FEEDBACK = shape({"text": plain(75), "value": string(2000)}, _LABEL)
FEEDBACK_BUTTONS = shape({"positive_button": _FEEDBACK, "negative_button": _FEEDBACK}, {"action_id": ID})
ICON_BUTTON = shape(
    {"text": plain(3000), "icon": one_of("trash")},
    {**_COMMON, **_LABEL, "value": string(2000, 0), "visible_to_user_ids": array(string(), 10)},
)

IN_ACTIONS = by_type({"button": BUTTON, "overflow": OVERFLOW, "workflow_button": WORKFLOW_BUTTON, **SELECTS, **PICKERS})
IN_SECTIONS = by_type(
    {"button": BUTTON, "overflow": OVERFLOW, "workflow_button": WORKFLOW_BUTTON, "image": IMAGE, **SELECTS, **PICKERS}
)
IN_INPUTS = by_type({**SELECTS, **PICKERS, **FIELDS})
IN_CONTEXT_ACTIONS = by_type({"feedback_buttons": FEEDBACK_BUTTONS, "icon_button": ICON_BUTTON})
