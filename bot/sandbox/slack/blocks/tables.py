"""Blocks with data: table, data_table and data_visualization."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.sandbox.slack.blocks.checks import (
    BlockFault,
    Check,
    array,
    boolean,
    by_type,
    number,
    one_of,
    rule,
    shape,
    string,
    unique,
)
from bot.sandbox.slack.blocks.objects import ID
from bot.sandbox.slack.blocks.rich_text import RICH_TEXT

TABLE_CHARACTERS = 10_000
"""Limit of all tables of a message."""
DATA_TABLE_CHARACTERS = 20_000


def characters(value: Any) -> int:
    """Count the characters of all text in cells."""
    if isinstance(value, Mapping):
        return sum(
            len(each) if key == "text" and isinstance(each, str) else characters(each) for key, each in value.items()
        )
    return sum(map(characters, value)) if isinstance(value, list) else 0


def _rows(value: Mapping[str, Any]) -> list[list[Any]]:
    rows = value.get("rows")
    return [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []


def _even(value: Mapping[str, Any]) -> bool:
    return len({len(row) for row in _rows(value)}) <= 1


def _header_is_plain(value: Mapping[str, Any]) -> bool:
    return all(isinstance(cell, dict) and cell.get("type") != "rich_text" for row in _rows(value)[:1] for cell in row)


def _header_column_exists(value: Mapping[str, Any]) -> bool:
    column, rows = value.get("row_header_column_index", 0), _rows(value)
    return not rows or not isinstance(column, int) or column < max(1, len(rows[0]))


def _short_enough(value: Any, at: str) -> Iterator[BlockFault]:
    if characters(value.get("rows")) > DATA_TABLE_CHARACTERS:
        yield BlockFault(f"must be less than {DATA_TABLE_CHARACTERS + 1} characters", f"{at}/rows")


_CELL = by_type(
    {
        "raw_text": shape({"text": string(None, 0)}),
        "raw_number": shape({"value": number(whole=False)}, {"text": string()}),
        "rich_text": RICH_TEXT,
    }
)
_DATA_CELL = by_type(
    {
        "raw_text": shape({"text": string()}),
        "raw_number": shape({"value": number(whole=False)}, {"text": string()}),
        "rich_text": RICH_TEXT,
    }
)
_COLUMN = shape({}, {"align": one_of("left", "center", "right"), "is_wrapped": boolean})
TABLE = shape(
    {"rows": array(array(_CELL, 20, least=1), 100, least=1)},
    {"block_id": ID, "column_settings": array(_COLUMN, 20)},
    rule(_even, "all rows must have the same number of cells"),
)
DATA_TABLE = shape(
    {"rows": array(array(_DATA_CELL, 20, least=1), 201, least=2), "caption": string()},
    {"block_id": ID, "page_size": number(1, 100), "row_header_column_index": number(0)},
    rule(_even, "all rows must have the same number of cells"),
    rule(_header_is_plain, "header cells must not be rich_text"),
    rule(_header_column_exists, "`row_header_column_index` must be a column"),
    _short_enough,
)

_LABEL = string(20)
_SEGMENT = shape({"label": _LABEL, "value": number(whole=False, above=0)})
_POINT = shape({"label": _LABEL, "value": number(whole=False)})
_SERIES = shape({"name": _LABEL, "data": array(_POINT, 20, least=1)})
_AXIS = shape({"categories": array(_LABEL, 20, least=1)}, {"x_label": string(50), "y_label": string(50)})


def _categories(value: Mapping[str, Any]) -> list[Any]:
    axis = value.get("axis_config")
    categories = axis.get("categories") if isinstance(axis, dict) else None
    return categories if isinstance(categories, list) else []


def _each_once(value: Mapping[str, Any]) -> bool:
    categories = _categories(value)
    return all(categories.count(each) == 1 for each in categories)


def _a_point_for_each(value: Mapping[str, Any]) -> bool:
    series, categories = value.get("series"), _categories(value)
    points = [each.get("data") for each in series if isinstance(each, dict)] if isinstance(series, list) else []
    labels = [[p.get("label") for p in data if isinstance(p, dict)] for data in points if isinstance(data, list)]
    return all(len(each) == len(categories) and all(label in each for label in categories) for each in labels)


_AXES: Check = shape(
    {"series": array(_SERIES, 12, least=1), "axis_config": _AXIS},
    None,
    unique("name", "series"),
    rule(_each_once, "`categories` must be different ones"),
    rule(_a_point_for_each, "every series must have one point for every category"),
)
_CHART = by_type({"pie": shape({"segments": array(_SEGMENT, 12, least=1)}), "bar": _AXES, "area": _AXES, "line": _AXES})
DATA_VISUALIZATION = shape({"title": string(50), "chart": _CHART}, {"block_id": ID})
