"""`manifest.yml` declares exactly what the code registers and calls, and no scope more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bot.sandbox.slack.web_api import METHODS
from bot.settings import SlackSettings

ROOT = Path(__file__).resolve().parent.parent
MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "manifest.yml").read_text())
CALL = re.compile(r"(?:client|slack)\.((?:chat|files|users|usergroups|views|conversations|auth|reactions|pins)_\w+)")


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
