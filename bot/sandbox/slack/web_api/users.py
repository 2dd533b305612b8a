"""users.*: the people of the workspace (docs.slack.dev: reference/methods/users.info)."""

from __future__ import annotations

from bot.sandbox.slack.limits import TIER_2, TIER_3, TIER_4
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import User


def _user(call: Call) -> User:
    user = call.workspace.users.get(call.need("user"))
    if user is None:
        raise SlackFault("user_not_found")
    return user


def _sees_addresses(call: Call) -> bool:
    return "users:read.email" in call.api.scopes


@method("users.info", "users:read", per_minute=TIER_4)
async def _info(call: Call) -> Answer:
    return {"user": _user(call).as_json(email=_sees_addresses(call))}


@method("users.list", "users:read", per_minute=TIER_2)
async def _list(call: Call) -> Answer:
    people = [user.as_json(email=_sees_addresses(call)) for user in call.workspace.users.values()]
    items, cursor = call.page(people)
    return {
        "members": items,
        "cache_ts": int(call.workspace.clock.now()),
        "response_metadata": {"next_cursor": cursor},
    }


@method("users.lookupByEmail", "users:read.email", per_minute=TIER_3)
async def _by_email(call: Call) -> Answer:
    wanted = call.need("email").lower()
    user = next(
        (each for each in call.workspace.users.values() if each.email.lower() == wanted and not each.deleted), None
    )
    if user is None:
        raise SlackFault("users_not_found")
    return {"user": user.as_json()}


@method("users.profile.get", "users.profile:read", per_minute=TIER_4)
async def _profile(call: Call) -> Answer:
    return {"profile": _user(call).profile(email=_sees_addresses(call))}
