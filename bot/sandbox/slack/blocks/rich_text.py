"""Rich text: structured text without markup (docs.slack.dev: reference/block-kit/blocks/rich-text-block)."""

from __future__ import annotations

from bot.sandbox.slack.blocks.checks import Check, array, boolean, by_type, number, one_of, shape, string
from bot.sandbox.slack.blocks.objects import ID

_TEXT_STYLE = shape({}, dict.fromkeys(("bold", "italic", "strike", "code", "underline"), boolean))
_NAME_STYLE = shape({}, dict.fromkeys(("bold", "italic", "strike", "highlight", "client_highlight", "unlink"), boolean))
_STYLED = {"style": _TEXT_STYLE}
_NAMED = {"style": _NAME_STYLE}

INLINE: dict[str, Check] = {
    "text": shape({"text": string()}, _STYLED),
    "link": shape({"url": string()}, {**_STYLED, "text": string(None, 0), "unsafe": boolean}),
    "user": shape({"user_id": string()}, _NAMED),
    "usergroup": shape({"usergroup_id": string()}, _NAMED),
    "channel": shape({"channel_id": string()}, _NAMED),
    "team": shape({"team_id": string()}, _STYLED),
    "emoji": shape(
        {"name": string()}, {**_STYLED, "unicode": string(), "skin_tone": number(1, 6), "display_url": string()}
    ),
    "date": shape({"timestamp": number(), "format": string()}, {**_STYLED, "url": string(), "fallback": string()}),
    "broadcast": shape({"range": one_of("here", "channel", "everyone")}, _STYLED),
    "color": shape({"value": string()}, _STYLED),
}
_ANY_INLINE = array(by_type(INLINE))
_IN_CODE = array(
    by_type(
        {kind: INLINE[kind] for kind in ("text", "link", "user", "usergroup", "channel", "emoji", "broadcast", "date")}
    )
)
_BORDER = {"border": number(0, 1)}

SECTION = shape({"elements": _ANY_INLINE})
_PARTS: dict[str, Check] = {
    "rich_text_section": SECTION,
    "rich_text_preformatted": shape({"elements": _IN_CODE}, {**_BORDER, "language": string()}),
    "rich_text_quote": shape({"elements": _ANY_INLINE}, _BORDER),
    "rich_text_list": shape(
        {"style": one_of("bullet", "ordered"), "elements": array(by_type({"rich_text_section": SECTION}))},
        {**_BORDER, "indent": number(0, 8), "offset": number(0)},
    ),
}
RICH_TEXT = shape({"elements": array(by_type(_PARTS), least=1)}, {"block_id": ID})
