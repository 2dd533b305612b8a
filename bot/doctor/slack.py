"""Checks Slack: tokens, scopes, Socket Mode, and whether the users, groups and channels of the policy exist."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import yaml
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.config.settings import Secrets, Settings
from bot.doctor.check_result import Check, failed, passed, skipped, unknown, warned
from bot.slack import client as connection
from bot.slack.client import MANIFEST, refusal

INSTALL = "Paste manifest.yml into the app's settings (App Manifest) and install the app again."
SKEW_S = 60.0
"""Maximum clock difference in seconds. Signed requests are refused at five minutes; self-tests are judged by age."""
HELLO_S = 10.0
_OUTAGE = (aiohttp.ClientError, TimeoutError, OSError)


async def look(settings: Settings, secrets: Secrets) -> AsyncGenerator[Check]:
    """Run all checks of Slack."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
        client = connection.create_client(secrets.bot_token.get_secret_value(), secrets.api_url, session)
        scopes: frozenset[str] | None = None
        async for check, found in _bot_token(client):
            scopes = found
            yield check
        if settings.slack.transport == "socket":
            yield await _socket(client, secrets.app_token.get_secret_value(), session)
        else:
            yield skipped("slack.socket_mode", "Slack reaches csm over HTTP; Socket Mode is not used.")
        if scopes is None:
            yield skipped("policy.people", "Not looked at, since Slack does not take the bot's token.")
            return
        for check in _scopes(scopes):
            yield check
        async for check in _policy(client, settings):
            yield check


async def _bot_token(client: AsyncWebClient) -> AsyncGenerator[tuple[Check, frozenset[str] | None]]:
    name = "slack.bot_token"
    try:
        answer = await client.auth_test()
    except SlackApiError as error:
        mend = "Install the app again, and copy its Bot User OAuth Token (OAuth & Permissions) to SLACK_BOT_TOKEN."
        yield failed(name, f"Slack refuses the bot's token: {refusal(error).reason}.", mend), None
        return
    except _OUTAGE as error:
        mend = "Check the network, its proxy and DNS from where csm runs."
        yield failed(name, f"Slack cannot be reached at {client.base_url}: {type(error).__name__}.", mend), None
        return
    scopes = frozenset(filter(None, str(answer.headers.get("x-oauth-scopes", "")).replace(" ", "").split(",")))
    yield passed(name, f"Slack takes it: {answer.get('user')} in {answer.get('team')}."), scopes
    yield _clock(str(answer.headers.get("Date", ""))), scopes


def _clock(date: str) -> Check:
    name = "slack.clock"
    try:
        skew = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError):
        return unknown(name, "Slack's answer has no time.", "Look whether a proxy changes Slack's answers.")
    if abs(skew) > SKEW_S:
        said = f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Slack's."
        return failed(
            name, said, "Set the clock by NTP: requests would be refused, and old results taken for new ones."
        )
    return passed(name, "This machine's clock agrees with Slack's.")


def _scopes(granted: frozenset[str]) -> Iterator[Check]:
    declared = yaml.safe_load(MANIFEST.read_text("utf-8"))["oauth_config"]["scopes"]
    required, optional = frozenset(declared["bot"]), frozenset(declared.get("bot_optional") or [])
    name = "slack.scopes"
    if not granted:
        yield unknown(
            name, "Slack does not say which scopes were granted.", "Look whether a proxy removes x-oauth-scopes."
        )
        return
    if missing := sorted(required - granted):
        yield failed(name, f"The app lacks {', '.join(missing)}.", INSTALL)
    if missing := sorted(optional - granted):
        said = f"Optional scopes were not granted: {', '.join(missing)}. manifest.yml says what each is for."
        yield warned(name, said, f"Leave it so, or: {INSTALL}")
    if more := sorted(granted - required - optional):
        yield warned(name, f"The app has more than it needs: {', '.join(more)}.", f"Take them away. {INSTALL}")
    if granted == required | optional:
        yield passed(name, f"Exactly the {len(granted)} scopes of manifest.yml are granted.")


async def _socket(client: AsyncWebClient, app_token: str, session: aiohttp.ClientSession) -> Check:
    """Open a connection, wait for Slack's hello, and close it at once: nothing is taken from the running bot."""
    name = "slack.socket_mode"
    try:
        url = (await client.apps_connections_open(app_token=app_token))["url"]
    except SlackApiError as error:
        mend = "Make an app-level token with the scope connections:write (Basic Information), set it as SLACK_APP_TOKEN, and switch Socket Mode on."
        return failed(name, f"Slack refuses the app's token: {refusal(error).reason}.", mend)
    except _OUTAGE as error:
        return unknown(
            name, f"Slack cannot be reached: {type(error).__name__}.", "Check the network, its proxy and DNS."
        )
    try:
        async with asyncio.timeout(HELLO_S), session.ws_connect(url, proxy=client.proxy) as socket:
            hello = json.loads((await socket.receive()).data)
    except (*_OUTAGE, ValueError, TypeError) as error:
        mend = "Let csm open websockets to *.slack.com, port 443; a proxy must let them through."
        return failed(name, f"The websocket does not open: {type(error).__name__}.", mend)
    number = int(hello.get("num_connections") or 1)
    others = f"; {number - 1} others are open, of other replicas or of another bot" if number > 1 else ""
    return passed(name, f"Socket Mode opens{others}.")


async def _policy(client: AsyncWebClient, settings: Settings) -> AsyncGenerator[Check]:
    named = [who for rule in settings.policy for who in rule.who] + list(settings.approvals.flare.by)
    groups = sorted({who for who in named if who.startswith(("@", "S"))})
    if groups:
        for check in await _groups(client, groups):
            yield check
    for user in sorted({who for who in named if who.startswith(("U", "W"))}):
        yield await _user(client, user)
    for channel in sorted({channel for rule in settings.policy for channel in rule.in_} - {"*"}):
        yield await _channel(client, channel)


async def _groups(client: AsyncWebClient, named: Sequence[str]) -> Sequence[Check]:
    try:
        found = (await client.usergroups_list(include_users=True, include_disabled=True))["usergroups"]
    except (SlackApiError, *_OUTAGE) as error:
        return [_not_found_out("policy.groups", error)]
    by_name = {name: group for group in found for name in (f"@{group['handle']}", group["id"])}
    return [_group(name, by_name.get(name)) for name in named]


def _group(named: str, group: Mapping[str, Any] | None) -> Check:
    name = f"policy.group.{named}"
    if group is None:
        return failed(name, f"There is no user group {named}.", "Make it in Slack, or correct the policy.")
    if group.get("date_delete"):
        return failed(name, f"The user group {named} is disabled.", "Enable it in Slack, or correct the policy.")
    people = len(group.get("users") or [])
    if not people:
        return warned(name, f"The user group {named} has no members.", "Add those who should have its rights.")
    return passed(name, f"{named} has {people} members." if people > 1 else f"{named} has one member.")


async def _user(client: AsyncWebClient, user: str) -> Check:
    name = f"policy.user.{user}"
    try:
        info = (await client.users_info(user=user))["user"]
    except SlackApiError as error:
        if refusal(error).reason in {"user_not_found", "user_not_visible"}:
            return failed(name, f"There is no user {user}.", "Correct the policy; ids are in a person's profile.")
        return _not_found_out(name, error)
    except _OUTAGE as error:
        return _not_found_out(name, error)
    barred = {
        "deleted": "deactivated",
        "is_bot": "a bot",
        "is_restricted": "a guest",
        "is_stranger": "of another workspace",
    }
    if why := next((words for key, words in barred.items() if info.get(key)), ""):
        return failed(name, f"{user} is {why}, and csm does nothing for them.", "Take them out of the policy.")
    return passed(name, f"{user} is {info.get('real_name') or info.get('name')}.")


async def _channel(client: AsyncWebClient, channel: str) -> Check:
    name = f"policy.channel.{channel}"
    try:
        info = (await client.conversations_info(channel=channel))["channel"]
    except SlackApiError as error:
        reason = refusal(error).reason
        if reason == "missing_scope":
            mend = "Look yourself, or grant the optional scopes channels:read and groups:read."
            return warned(name, f"Whether {channel} exists was not found out: the app lacks the scope.", mend)
        if reason == "channel_not_found":
            said = f"There is no channel {channel}, or it is private and csm is not in it."
            return failed(name, said, "Correct the policy, or invite csm to that channel.")
        return _not_found_out(name, error)
    except _OUTAGE as error:
        return _not_found_out(name, error)
    if info.get("is_archived"):
        return failed(name, f"#{info.get('name')} is archived.", "Correct the policy, or take it out of the archive.")
    return passed(name, f"{channel} is #{info.get('name')}.")


def _not_found_out(name: str, error: Exception) -> Check:
    reason = refusal(error).reason if isinstance(error, SlackApiError) else type(error).__name__
    return unknown(name, f"Slack does not say: {reason}.", "Try again; check the scopes if it stays so.")
