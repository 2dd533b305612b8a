"""views.*: modals and the home tab (docs.slack.dev: reference/methods/views.open)."""

from __future__ import annotations

from typing import Any

from bot.sandbox.slack import modals
from bot.sandbox.slack.blocks import BlockFault, faults_of_view
from bot.sandbox.slack.refusal import SlackFault, missing, refuse
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import shown


def _view(call: Call, kind: str) -> dict[str, Any]:
    if "view" not in call.arguments:
        raise missing("view")
    view: Any = call.arguments["view"]
    refuse(faults_of_view(view), "invalid_arguments")
    if view["type"] != kind:
        refuse([BlockFault("must be a valid enum value", "/view/type")], "invalid_arguments")
    return dict(view)


@method("views.open")
async def _open(call: Call) -> Answer:
    view = _view(call, "modal")
    trigger = call.workspace.triggers.valid(call.need("trigger_id"))
    made = modals.made(call.workspace, view, trigger.user)
    trigger.spent = True
    return {"view": shown(modals.opened(call.workspace, made))}


@method("views.push")
async def _push(call: Call) -> Answer:
    view = _view(call, "modal")
    trigger = call.workspace.triggers.valid(call.need("trigger_id"))
    if not trigger.view or trigger.view not in call.workspace.views:
        raise SlackFault("invalid_trigger_id")  # only an action in an open modal may push another modal onto it
    made = modals.pushed(call.workspace, modals.made(call.workspace, view, trigger.user))
    trigger.spent = True
    return {"view": shown(made)}


@method("views.update")
async def _update(call: Call) -> Answer:
    view = _view(call, "modal")
    old = _open_view(call)
    if call.text("hash") and call.text("hash") != old["hash"]:
        raise SlackFault("hash_conflict")
    return {"view": shown(modals.updated(call.workspace, old, view))}


def _open_view(call: Call) -> dict[str, Any]:
    view_id, external_id = call.text("view_id"), call.text("external_id")
    if not view_id and not external_id:
        raise missing("view_id")
    for view in call.workspace.views.values():
        if view["id"] == view_id or (external_id and view["external_id"] == external_id):
            return view
    raise SlackFault("not_found")


@method("views.publish")
async def _publish(call: Call) -> Answer:
    view, user = _view(call, "home"), call.need("user_id")
    if not call.api.app.home_tab:
        raise SlackFault("not_enabled")
    if user not in call.workspace.users:
        raise SlackFault("user_not_found")
    old = call.workspace.homes.get(user)
    if call.text("hash") and old and call.text("hash") != old["hash"]:
        raise SlackFault("hash_conflict")
    return {"view": shown(modals.published(call.workspace, view, user))}
