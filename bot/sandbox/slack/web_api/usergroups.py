"""usergroups.*: user groups, which a policy may name (docs.slack.dev: reference/methods/usergroups.list)."""

from __future__ import annotations

from bot.sandbox.slack.limits import TIER_2
from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import MADE_AT, TEAM


@method("usergroups.list", "usergroups:read", per_minute=TIER_2)
async def _list(call: Call) -> Answer:
    return {
        "usergroups": [
            {
                "id": id_, "team_id": TEAM, "is_usergroup": True, "is_subteam": True, "name": handle, "description": "", "handle": handle,
                "is_external": False, "date_create": MADE_AT, "date_update": MADE_AT, "date_delete": 0, "auto_type": None, "auto_provision": False,
                "enterprise_subteam_id": "", "created_by": "U0SANDANA", "updated_by": "U0SANDANA", "deleted_by": None,
                "prefs": {"channels": [], "groups": []}, "channel_count": 0,
                **({"user_count": len(users)} if call.flag("include_count") else {}), **({"users": list(users)} if call.flag("include_users") else {}),
            }
            for id_, (handle, users) in call.workspace.groups.items()
        ]
    }  # fmt: skip


@method("usergroups.users.list", "usergroups:read", per_minute=TIER_2)
async def _users(call: Call) -> Answer:
    group = call.workspace.groups.get(call.need("usergroup"))
    if group is None:
        raise SlackFault("no_such_subteam")
    return {"users": list(group[1])}
