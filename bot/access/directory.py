"""
Who a Slack user is: in which groups, and whether a guest, a stranger, a bot or gone.

Slack is asked once per person and group and then again after `TTL_S`; many questions at once are one call.
Only the groups that the policy names are ever looked up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.access.policy import Person
from handlers.errors import CsmError

log = structlog.get_logger(__name__)

TTL_S = 60.0
"""How long a change of a group's members may go unnoticed."""


class Unknown(CsmError):
    """Slack does not say who somebody is."""


class SlackDirectory:
    """People and groups of one workspace."""

    def __init__(self, client: AsyncWebClient, *, team_id: str, groups: Collection[str]) -> None:
        self._client = client
        self._team_id = team_id
        self._groups = frozenset(groups)
        self._known: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    async def person(self, user: str) -> Person:
        """
        The person behind a user id. Raises `Unknown` when Slack does not tell, and nobody is let in unknown.

        A group that does not exist counts as one without members.
        """
        try:
            asked = self._remembered(f"user:{user}", lambda: self._user(user))
            members = await _told(self._remembered("groups", self._members))
            info = await _told(asked)
        except (SlackApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("slack.person_unknown", user=user, error=str(error))
            raise Unknown(
                "Slack does not say right now who you are and in which groups. Nothing was started; try again in a moment."
            ) from error
        return Person(
            id=user,
            groups=frozenset(name for name, people in members.items() if user in people),
            stranger=bool(info.get("is_stranger")) or info.get("team_id", self._team_id) != self._team_id,
            guest=bool(info.get("is_restricted") or info.get("is_ultra_restricted")),
            bot=bool(info.get("is_bot")),
            deactivated=bool(info.get("deleted")),
        )

    async def email(self, user: str) -> str:
        """The e-mail address of a person's profile; empty when Slack does not tell (scope users:read.email)."""
        try:
            info = await _told(self._remembered(f"user:{user}", lambda: self._user(user)))
        except (SlackApiError, aiohttp.ClientError, OSError, TimeoutError):
            return ""
        return str((info.get("profile") or {}).get("email") or "")

    async def warm(self) -> None:
        """Look the groups up before anybody waits for it; whoever comes first tries again if that fails."""
        with contextlib.suppress(SlackApiError, aiohttp.ClientError, OSError, TimeoutError):
            await _told(self._remembered("groups", self._members))

    async def _user(self, user: str) -> Mapping[str, Any]:
        answer = await self._client.users_info(user=user)
        return answer["user"]  # type: ignore[no-any-return]

    async def _members(self) -> Mapping[str, Collection[str]]:
        """Members by handle (`@sre`) and by id (`S…`), for the groups that the policy names."""
        if not self._groups:
            return {}
        found: dict[str, Collection[str]] = {}
        # One call for all groups: a call for each would soon meet the limit of 20 a minute.
        for group in (await self._client.usergroups_list(include_users=True))["usergroups"]:
            names = {f"@{group['handle']}", group["id"]} & self._groups
            found |= dict.fromkeys(names, frozenset(group.get("users") or []))
        for missing in self._groups - found.keys():
            log.warning("policy.group_not_found", group=missing)
        return found

    def _remembered(self, key: str, look: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        at, task = self._known.get(key, (0.0, None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or time.monotonic() - at > TTL_S:

            async def asked() -> Any:
                return await look()

            task = asyncio.create_task(asked(), name=f"look up {key}")
            task.add_done_callback(_seen)
            self._known[key] = (time.monotonic(), task)
        return task


async def _told(task: asyncio.Task[Any]) -> Any:
    """What was found. Whoever waits may give up; the others who wait did not."""
    return task.result() if task.done() else await asyncio.shield(task)


def _seen(task: asyncio.Task[Any]) -> None:
    """That a look-up failed is told to those who ask; nobody may, when another one failed first."""
    if not task.cancelled():
        task.exception()
