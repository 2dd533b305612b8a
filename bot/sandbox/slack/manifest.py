"""The app as its manifest declares it (docs.slack.dev: reference/app-manifest)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class App:
    """The app's commands, shortcuts, scopes, events, and the addresses at which it is reached."""

    name: str
    commands: Mapping[str, Mapping[str, Any]]
    """By name: `/csm`."""
    shortcuts: Mapping[str, Mapping[str, Any]]
    """By callback_id."""
    scopes: frozenset[str]
    events: frozenset[str]
    home_tab: bool
    socket_mode: bool
    events_url: str
    interactivity_url: str
    options_url: str

    def command_url(self, word: str) -> str:
        """The URL to which a command is posted without Socket Mode."""
        return str(self.commands[word].get("url") or self.interactivity_url)


def declared(manifest: Path | Mapping[str, Any], *, optional_scopes: bool = True) -> App:
    """Read a manifest. Its optional scopes are granted by default."""
    content: Mapping[str, Any] = yaml.safe_load(manifest.read_text("utf-8")) if isinstance(manifest, Path) else manifest
    features, settings = content.get("features", {}), content.get("settings", {})
    scopes = content.get("oauth_config", {}).get("scopes", {})
    subscriptions, interactivity = settings.get("event_subscriptions", {}), settings.get("interactivity", {})
    return App(
        name=content["display_information"]["name"],
        commands={each["command"]: each for each in features.get("slash_commands", [])},
        shortcuts={each["callback_id"]: each for each in features.get("shortcuts", [])},
        scopes=frozenset(scopes.get("bot", [])) | frozenset(scopes.get("bot_optional", []) if optional_scopes else []),
        events=frozenset(subscriptions.get("bot_events", [])),
        home_tab=bool(features.get("app_home", {}).get("home_tab_enabled")),
        socket_mode=bool(settings.get("socket_mode_enabled")),
        events_url=str(subscriptions.get("request_url", "")),
        interactivity_url=str(interactivity.get("request_url", "")),
        options_url=str(interactivity.get("message_menu_options_url", "")),
    )
