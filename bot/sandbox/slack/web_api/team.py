"""team.info and bots.info."""

from __future__ import annotations

from bot.sandbox.slack.limits import TIER_3
from bot.sandbox.slack.messages import from_app
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_ID, DOMAIN, TEAM


@method("team.info", "team:read", per_minute=TIER_3)
async def _team(call: Call) -> Answer:
    if call.text("team", TEAM) != TEAM:
        raise SlackFault("team_not_found")
    team = {"id": TEAM, "name": DOMAIN, "url": f"https://{DOMAIN}.slack.com/", "domain": DOMAIN, "email_domain": ""}
    return {"team": {**team, "icon": {"image_default": True}, "avatar_base_url": "", "is_verified": False}}


@method("bots.info", "users:read", per_minute=TIER_3)
async def _bot(call: Call) -> Answer:
    if call.text("bot", BOT_ID) != BOT_ID:
        raise SlackFault("bot_not_found")
    profile = from_app(call.api.app.name)["bot_profile"]
    return {"bot": {key: value for key, value in profile.items() if key != "team_id"}}
