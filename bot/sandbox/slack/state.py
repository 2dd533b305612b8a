"""
Values that people have entered but not submitted: `state.values` of a message or a view.

Source: docs.slack.dev: reference/interaction-payloads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.sandbox.slack.stored import elements_of

Values = dict[str, dict[str, dict[str, Any]]]

_HELD: Mapping[str, tuple[str, str, Any]] = {
    "static_select": ("selected_option", "initial_option", None),
    "external_select": ("selected_option", "initial_option", None),
    "radio_buttons": ("selected_option", "initial_option", None),
    "users_select": ("selected_user", "initial_user", None),
    "conversations_select": ("selected_conversation", "initial_conversation", None),
    "channels_select": ("selected_channel", "initial_channel", None),
    "multi_static_select": ("selected_options", "initial_options", []),
    "multi_external_select": ("selected_options", "initial_options", []),
    "checkboxes": ("selected_options", "initial_options", []),
    "multi_users_select": ("selected_users", "initial_users", []),
    "multi_conversations_select": ("selected_conversations", "initial_conversations", []),
    "multi_channels_select": ("selected_channels", "initial_channels", []),
    "datepicker": ("selected_date", "initial_date", None),
    "timepicker": ("selected_time", "initial_time", None),
    "datetimepicker": ("selected_date_time", "initial_date_time", None),
    "plain_text_input": ("value", "initial_value", None),
    "email_text_input": ("value", "initial_value", None),
    "url_text_input": ("value", "initial_value", None),
    "number_input": ("value", "initial_value", None),
    "rich_text_input": ("rich_text_value", "initial_value", None),
    "file_input": ("files", "", []),
}
"""By element type: the key of its value, the key of its initial value, and its value when empty."""


def first_values(blocks: Sequence[Mapping[str, Any]]) -> Values:
    """The initial values of a message or a view."""
    values: Values = {}
    for block, element in elements_of(blocks):
        if (held := _HELD.get(element["type"])) is not None:
            name, initial, empty = held
            one = {"type": element["type"], name: element.get(initial, empty)}
            values.setdefault(block["block_id"], {})[element["action_id"]] = one
    return values


def with_answers(blocks: Sequence[Mapping[str, Any]], answers: Mapping[str, Any]) -> Values:
    """The initial values, updated with a person's input. Input for unknown elements is left out."""
    values = first_values(blocks)
    for block_id, actions in values.items():
        for action_id, value in actions.items():
            given = (answers.get(block_id) or {}).get(action_id)
            if isinstance(given, Mapping):
                actions[action_id] = {**value, **given, "type": value["type"]}
    return values


def is_empty(value: Mapping[str, Any]) -> bool:
    """Whether no value was entered."""
    return not any(each for key, each in value.items() if key != "type")


def complaints(blocks: Sequence[Mapping[str, Any]], values: Values) -> dict[str, str]:
    """The errors that Slack's own client shows before it submits a form, by block id."""
    found: dict[str, str] = {}
    for block, element in elements_of(blocks):
        if block["type"] != "input":
            continue
        value = values.get(block["block_id"], {}).get(element["action_id"], {})
        words = _complaint(element, value, optional=bool(block.get("optional")))
        if words:
            found[block["block_id"]] = words
    return found


def _complaint(element: Mapping[str, Any], value: Mapping[str, Any], *, optional: bool) -> str:
    if is_empty(value):
        return "" if optional else "Please complete this required field."
    typed = value.get("value")
    if not isinstance(typed, str):
        most = element.get("max_selected_items")
        chosen = next((each for each in value.values() if isinstance(each, list)), [])
        return f"Choose at most {most}." if most and len(chosen) > most else ""
    if len(typed) < element.get("min_length", 0):
        return f"Please enter at least {element['min_length']} characters."
    if len(typed) > element.get("max_length", 3000):
        return f"Please enter at most {element.get('max_length', 3000)} characters."
    if element["type"] == "email_text_input" and "@" not in typed:
        return "Please enter a valid email address."
    return _number_complaint(element, typed) if element["type"] == "number_input" else ""


def _number_complaint(element: Mapping[str, Any], typed: str) -> str:
    try:
        number = float(typed)
    except ValueError:
        return "Please enter a number."
    if not element["is_decimal_allowed"] and not number.is_integer():
        return "Please enter a whole number."
    if number < float(element.get("min_value", "-inf")) or number > float(element.get("max_value", "inf")):
        return f"Please enter a number between {element.get('min_value', '')} and {element.get('max_value', '')}."
    return ""
