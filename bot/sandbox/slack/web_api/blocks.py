"""
blocks.validate: validates blocks, a message or a view without sending it.

Source: docs.slack.dev: reference/methods/blocks.validate.
"""

from __future__ import annotations

from bot.sandbox.slack.blocks import BlockFault, faults_of_attachments, faults_of_message, faults_of_view
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method


@method("blocks.validate", token="none")  # noqa: S106 - a kind of token
async def _validate(call: Call) -> Answer:
    given = [key for key in ("blocks", "view", "message") if key in call.arguments]
    if len(given) != 1:
        raise SlackFault("invalid_arguments")
    value = call.arguments[given[0]]
    if given[0] == "blocks":
        faults = faults_of_message(value)
    elif given[0] == "view":
        faults = faults_of_view(value)
    elif isinstance(value, dict):
        faults = faults_of_message(value.get("blocks", []), str(value.get("text", "")), at="/message/blocks")
        faults += faults_of_attachments(value.get("attachments", []))
    else:
        faults = [BlockFault("must be an object", "/message")]
    if faults:
        raise SlackFault(f"invalid_{given[0]}", errors=[_as_json(fault) for fault in faults])
    return {}


def _as_json(fault: BlockFault) -> dict[str, str]:
    field = fault.pointer.rsplit("/", 1)[-1]
    return {
        "code": fault.error or "invalid_block",
        "message": fault.message,
        "field": field,
        "pointer": fault.pointer,
        "constraint": fault.message,
    }
