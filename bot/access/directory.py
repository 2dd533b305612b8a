"""
Looks up Slack users: their user groups, and whether they are a guest, of another workspace, a bot or deactivated.

Each lookup is cached for `TTL_S`, and concurrent lookups of the same key share one API call. Only groups that the
policy names are looked up.
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
"""How long a lookup is cached, in seconds. A change of a group's members may go unnoticed for this long."""


class Unknown(CsmError):
    """Slack could not be asked for a user or for the user groups."""


class SlackDirectory:
    """Users and user groups of one workspace, cached."""

    def __init__(self, client: AsyncWebClient, *, team_id: str, groups: Collection[str]) -> None:
        self._client = client
        self._team_id = team_id
        self._groups = frozenset(groups)
        self._known: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    async def person(self, user: str) -> Person:
        """
        Look up a user by id. Raises `Unknown` when the lookup fails: a user who is not known is never let in.

        A group that does not exist counts as a group without members.
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
        """Return the e-mail address of a user's profile; empty when Slack does not give it (scope users:read.email)."""
        try:
            info = await _told(self._remembered(f"user:{user}", lambda: self._user(user)))
        except (SlackApiError, aiohttp.ClientError, OSError, TimeoutError):
            return ""
        return str((info.get("profile") or {}).get("email") or "")

    async def warm(self) -> None:
        """Look up the groups before the first command needs them. A failure is ignored: the next lookup tries again."""
        with contextlib.suppress(SlackApiError, aiohttp.ClientError, OSError, TimeoutError):
            await _told(self._remembered("groups", self._members))

    async def _user(self, user: str) -> Mapping[str, Any]:
        answer = await self._client.users_info(user=user)
        return answer["user"]  # type: ignore[no-any-return]

    async def _members(self) -> Mapping[str, Collection[str]]:
        """Return the members of the groups that the policy names, by handle (`@sre`) and by id (`S…`)."""
        if not self._groups:
            return {}
        found: dict[str, Collection[str]] = {}
        # One call for all groups: one call per group would soon reach the limit of 20 calls a minute.
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
    """Return the lookup's result. Shielded: cancelling one caller does not cancel the lookup for the others."""
    return task.result() if task.done() else await asyncio.shield(task)


def _seen(task: asyncio.Task[Any]) -> None:
    """
    Mark the exception of a failed lookup as retrieved, so that asyncio does not report it.

    Callers that await the lookup get the exception; there is no such caller when another lookup failed first.
    """
    if not task.cancelled():
        task.exception()
