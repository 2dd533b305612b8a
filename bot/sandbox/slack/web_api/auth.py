"""api.test, auth.test and apps.connections.open."""

from __future__ import annotations

from bot.sandbox.slack.limits import CONNECTIONS, SPECIAL
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_ID, BOT_USER, DOMAIN, TEAM


@method("api.test", token="none")  # noqa: S106 - a kind of token
async def _api_test(call: Call) -> Answer:
    if error := call.text("error"):
        raise SlackFault(error, args=dict(call.arguments))
    return {"args": {key: value for key, value in call.arguments.items() if key != "token"}}


@method("auth.test", per_minute=SPECIAL)
async def _auth_test(call: Call) -> Answer:
    return {
        "url": f"{call.api.base}/", "team": DOMAIN, "user": call.workspace.users[BOT_USER].name, "team_id": TEAM, "user_id": BOT_USER,
        "bot_id": BOT_ID, "is_enterprise_install": False,
    }  # fmt: skip


@method("apps.connections.open", per_minute=CONNECTIONS, token="app")  # noqa: S106 - a kind of token
async def _connections_open(call: Call) -> Answer:
    return {"url": call.api.open_ticket(short=call.flag("debug_reconnects"))}
