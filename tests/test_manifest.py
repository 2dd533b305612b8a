"""`manifest.yml` declares exactly what the code registers and calls, and no scope more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError, validate

from bot.config.settings import SlackSettings
from bot.sandbox.slack.web_api import METHODS
from tests.manifest_schema import SCHEMA, without_a_way_in
from tests.sandbox.samples import changed

ROOT = Path(__file__).resolve().parent.parent
MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "manifest.yml").read_text())
CALL = re.compile(r"(?:client|slack)\.((?:chat|files|users|usergroups|views|conversations|auth|reactions|pins)_\w+)")


def shortcut(**more: Any) -> dict[str, Any]:
    return {"name": "x", "type": "global", "callback_id": "x", "description": "x", **more}


def methods_called() -> set[str]:
    """The Web API methods that the bot calls, found in its source."""
    parts = [path for path in (ROOT / "bot").rglob("*.py") if "sandbox" not in path.parts]
    found = {name for path in parts for name in CALL.findall(path.read_text())}
    return {name.replace("_", ".", 1) for name in found}


def test_every_method_that_is_called_is_one_that_the_sandbox_knows() -> None:
    assert methods_called() <= METHODS.keys()
    assert "chat.postMessage" in methods_called()


def test_the_scopes_are_those_that_the_calls_need_and_no_more() -> None:
    scopes = MANIFEST["oauth_config"]["scopes"]
    declared = set(scopes["bot"]) | set(scopes["bot_optional"])
    needed = [set(METHODS[name].scopes) for name in methods_called() if METHODS[name].scopes]

    assert all(alternatives & declared for alternatives in needed)
    # The slash command has no method, and posting where the bot is no member is no method of its own.
    assert declared <= set().union(*needed) | {"commands", "chat:write.public", "users:read.email"}


def test_the_slash_command_is_the_one_that_is_listened_to() -> None:
    (command,) = MANIFEST["features"]["slash_commands"]

    assert command["command"] == SlackSettings().command
    assert command["should_escape"] is True
    assert len(command["description"]) <= 2000
    assert len(command["usage_hint"]) <= 1000


def test_no_event_is_subscribed_to_since_none_is_listened_to() -> None:
    listeners = "".join(path.read_text() for path in (ROOT / "bot" / "listeners").glob("*.py"))

    assert "event_subscriptions" not in MANIFEST["settings"]
    assert "app.event" not in listeners


def test_slack_accepts_it() -> None:
    validate(MANIFEST, SCHEMA)
    assert not without_a_way_in(MANIFEST)


LIMITS: dict[str, tuple[str, Any]] = {
    "a name of 36": ("/display_information/name", "x" * 36),
    "a description of 141": ("/display_information/description", "x" * 141),
    "a long description of 174": ("/display_information/long_description", "x" * 174),
    "a long description of 4001": ("/display_information/long_description", "x" * 4001),
    "a colour by name": ("/display_information/background_color", "red"),
    "a bot name of 81": ("/features/bot_user/display_name", "x" * 81),
    "a bot name in capitals": ("/features/bot_user/display_name", "Csm"),
    "a command of 33": ("/features/slash_commands/0/command", "/" + "x" * 32),
    "a command with a space": ("/features/slash_commands/0/command", "/csm now"),
    "a command in capitals": ("/features/slash_commands/0/command", "/CSM"),
    "a command's description of 2001": ("/features/slash_commands/0/description", "x" * 2001),
    "a usage hint of 1001": ("/features/slash_commands/0/usage_hint", "x" * 1001),
    "51 commands": ("/features/slash_commands", [{"command": f"/x{n}", "description": "x"} for n in range(51)]),
    "11 shortcuts": ("/features/shortcuts", [shortcut(callback_id=str(n)) for n in range(11)]),
    "a shortcut's name of 25": ("/features/shortcuts", [shortcut(name="x" * 25)]),
    "a shortcut's description of 151": ("/features/shortcuts", [shortcut(description="x" * 151)]),
    "a callback_id of 256": ("/features/shortcuts", [shortcut(callback_id="x" * 256)]),
    "101 events": ("/settings/event_subscriptions", {"bot_events": [f"e{n}" for n in range(101)]}),
    "256 scopes": ("/oauth_config/scopes/bot", ["a" * n for n in range(1, 257)]),
    "a scope twice": ("/oauth_config/scopes/bot", ["commands", "commands"]),
    "a property of one's own": ("/settings/colour", "red"),
    "a version to come": ("/_metadata/major_version", 3),
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_slack_refuses_of_a_manifest_is_seen(name: str) -> None:
    with pytest.raises(ValidationError):
        validate(changed(MANIFEST, *LIMITS[name]), SCHEMA)


def test_a_manifest_without_a_way_in_is_seen() -> None:
    manifest = changed(MANIFEST, "/settings/socket_mode_enabled", False)
    manifest["settings"]["event_subscriptions"] = {"bot_events": ["app_mention"]}

    assert without_a_way_in(manifest) == [
        "Event Subscription requires either Request URL or Socket Mode Enabled",
        "Interactivity requires a Request URL",
        "/csm requires a Request URL",
    ]
