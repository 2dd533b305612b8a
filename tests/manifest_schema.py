"""
What Slack accepts as an app manifest, as a JSON schema.

Written from the facts of docs.slack.dev: reference/app-manifest and slackapi/manifest-schema v0.5.0 (the
limits, the required fields, no property beside those known); the original is not fetched.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

FLAG: Schema = {"type": "boolean"}
URL: Schema = {"type": "string", "pattern": "^https://"}


def text(most: int, least: int = 1, **more: Any) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": most, **more}


def listed(of: Schema, most: int) -> Schema:
    return {"type": "array", "items": of, "maxItems": most, "uniqueItems": True}


def shape(required: dict[str, Schema], optional: dict[str, Schema] | None = None, **more: Any) -> Schema:
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


SCOPES = listed(text(255, pattern=r"^[a-z]+([._]?[a-z]+)*(:[a-z._]+)*$"), 255)
COMMAND = shape(
    {"command": text(32, 2, pattern=r"^/[^\sA-Z]+$"), "description": text(2000)},
    {"usage_hint": text(1000), "should_escape": FLAG, "url": URL},
)
SHORTCUT = shape(
    {
        "name": text(24),
        "type": {"enum": ["message", "global"]},
        "callback_id": text(255),
        "description": text(150),
    }
)
SCHEMA = shape(
    {
        "display_information": shape(
            {"name": text(35)},
            {
                "description": text(140),
                "long_description": text(4000, 175),
                "background_color": {"type": "string", "pattern": "^#([0-9a-fA-F]{3}){1,2}$"},
            },
        )
    },
    {
        "_metadata": shape({}, {"major_version": {"enum": [1, 2]}, "minor_version": {"type": "integer", "minimum": 0}}),
        "features": shape(
            {},
            {
                "app_home": shape(
                    {},
                    {
                        "home_tab_enabled": FLAG,
                        "messages_tab_enabled": FLAG,
                        "messages_tab_read_only_enabled": FLAG,
                    },
                ),
                "bot_user": shape({"display_name": text(80, pattern="^[a-z0-9._-]+$")}, {"always_online": FLAG}),
                "slash_commands": listed(COMMAND, 50),
                "shortcuts": listed(SHORTCUT, 10),
                "unfurl_domains": listed(text(255), 5),
            },
        ),
        "oauth_config": shape(
            {},
            {
                "redirect_urls": listed(URL, 1000),
                "scopes": shape({}, dict.fromkeys(("bot", "user", "bot_optional", "user_optional"), SCOPES)),
            },
        ),
        "settings": shape(
            {},
            {
                "event_subscriptions": shape(
                    {},
                    {"request_url": URL, "bot_events": listed(text(255), 100), "user_events": listed(text(255), 100)},
                ),
                "interactivity": shape({"is_enabled": FLAG}, {"request_url": URL, "message_menu_options_url": URL}),
                "allowed_ip_address_ranges": listed(text(255), 10),
                "org_deploy_enabled": FLAG,
                "socket_mode_enabled": FLAG,
                "token_rotation_enabled": FLAG,
                "is_hosted": FLAG,
                "is_mcp_enabled": FLAG,
            },
        ),
    },
)


def without_a_way_in(manifest: dict[str, Any]) -> list[str]:
    """What Slack says of a manifest that declares something to be sent, and nowhere to send it."""
    settings = manifest.get("settings", {})
    if settings.get("socket_mode_enabled"):
        return []
    found = []
    if "event_subscriptions" in settings and "request_url" not in settings["event_subscriptions"]:
        found.append("Event Subscription requires either Request URL or Socket Mode Enabled")
    interactivity = settings.get("interactivity", {})
    if interactivity.get("is_enabled") and "request_url" not in interactivity:
        found.append("Interactivity requires a Request URL")
    commands = manifest.get("features", {}).get("slash_commands", [])
    found += [f"{each['command']} requires a Request URL" for each in commands if "url" not in each]
    return found
