"""Modals and home tabs as Slack stores them (docs.slack.dev: reference/views, surfaces/modals)."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.state import first_values, with_answers
from bot.sandbox.slack.stored import stored_blocks
from bot.sandbox.slack.workspace import APP, BOT_ID, TEAM, Workspace, shown

MOST_IN_STACK = 3
View = dict[str, Any]


def made(workspace: Workspace, view: Mapping[str, Any], user: str) -> View:
    """Create a view of a person, with all that Slack adds. It is not shown yet. Raises `SlackFault`."""
    _external_id_is_free(workspace, view)
    return {"id": workspace.id("V"), "team_id": TEAM, **_kept(workspace, view), "_user": user}


def opened(workspace: Workspace, view: View) -> View:
    """Show a modal instead of all that the person has open."""
    for other in workspace.views_of(view["_user"]):
        del workspace.views[other["id"]]
    return _shown_on_top(workspace, view, previous=None, root=view["id"])


def pushed(workspace: Workspace, view: View) -> View:
    """Show a modal on top of the person's others. Raises `SlackFault` when three are open, or none."""
    stack = workspace.views_of(view["_user"])
    if len(stack) >= MOST_IN_STACK:
        raise SlackFault("push_limit_reached")
    if not stack:
        raise SlackFault("not_found")
    return _shown_on_top(workspace, view, previous=stack[-1]["id"], root=stack[0]["id"])


def updated(workspace: Workspace, old: View, view: Mapping[str, Any]) -> View:
    """Replace the content of an open modal. Entered values stay where block_id and action_id are the same."""
    if view.get("external_id") != old.get("external_id"):
        _external_id_is_free(workspace, view)
    kept = _kept(workspace, view)
    kept["state"] = {"values": with_answers(kept["blocks"], old["state"]["values"])}
    old |= kept
    workspace.tell("view_changed", view=shown(old), only=old["_user"])
    return old


def published(workspace: Workspace, view: Mapping[str, Any], user: str) -> View:
    """Set the content of a person's home tab."""
    old = workspace.homes.get(user)
    made_view = {
        "id": old["id"] if old else workspace.id("V"),
        "team_id": TEAM,
        **_kept(workspace, view),
        "_user": user,
    }
    workspace.homes[user] = made_view | {"root_view_id": made_view["id"], "previous_view_id": None}
    workspace.tell("home_published", view=shown(workspace.homes[user]), only=user)
    return workspace.homes[user]


def closed(workspace: Workspace, view: View) -> None:
    """Close a modal, unless it is closed: it can be closed while the app handles its submission."""
    if workspace.views.pop(view["id"], None) is not None:
        workspace.tell("view_closed", view={"id": view["id"]}, only=view["_user"])


def _shown_on_top(workspace: Workspace, view: View, *, previous: str | None, root: str) -> View:
    view |= {"previous_view_id": previous, "root_view_id": root}
    workspace.views[view["id"]] = view
    workspace.tell("view_opened", view=shown(view), only=view["_user"])
    return view


def _kept(workspace: Workspace, view: Mapping[str, Any]) -> View:
    blocks = stored_blocks(view["blocks"])
    letters = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(8))
    texts = {key: {"emoji": True, **view[key]} if view.get(key) else None for key in ("title", "submit", "close")}
    return {
        "type": view["type"], "blocks": blocks, "private_metadata": view.get("private_metadata", ""), "callback_id": view.get("callback_id", ""),
        "state": {"values": first_values(blocks)}, "hash": f"{int(workspace.clock.now())}.{letters}", **texts,
        "clear_on_close": bool(view.get("clear_on_close")), "notify_on_close": bool(view.get("notify_on_close")),
        "app_id": APP, "external_id": view.get("external_id", ""), "app_installed_team_id": TEAM, "bot_id": BOT_ID,
    }  # fmt: skip


def _external_id_is_free(workspace: Workspace, view: Mapping[str, Any]) -> None:
    taken = {each["external_id"] for each in (*workspace.views.values(), *workspace.homes.values())}
    if view.get("external_id") and view["external_id"] in taken:
        raise SlackFault("duplicate_external_id")
