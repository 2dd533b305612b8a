"""Slack Web API client with metrics, and the checks of tokens and scopes at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.runtime import metrics, tracing
from handlers.errors import ConfigurationError

MANIFEST = Path(__file__).with_name("manifest.yml")
"""A link to the `manifest.yml` at the top of the source tree; a wheel holds the file itself."""


@dataclass(frozen=True)
class Identity:
    """The bot's team, user id and scopes, from auth.test."""

    team_id: str
    user_id: str
    scopes: frozenset[str]


class InstrumentedClient(AsyncWebClient):
    """Web API client that counts and times its calls, by method and by Slack's answer."""

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        """See `AsyncWebClient.api_call`."""
        answer = "unreachable"
        try:
            with tracing.span("slack", method=api_method), metrics.SLACK_SECONDS.labels(api_method).time():
                response = await super().api_call(api_method, **arguments)
            answer = "ok"
        except SlackApiError as error:
            answer = refusal(error).reason
            raise
        finally:
            metrics.SLACK_CALLS.labels(api_method, answer).inc()
        return response


@dataclass(frozen=True, slots=True)
class Refusal:
    """Slack's response to a call that it refused."""

    status: int
    headers: Mapping[str, str]
    reason: str
    """Slack's error code: `ratelimited`, `channel_not_found`; `not JSON` for a page from a proxy or of an outage."""


def refusal(error: SlackApiError) -> Refusal:
    """Read a `SlackApiError`. The SDK attaches its own response, or aiohttp's when the body is not JSON."""
    answer: Any = error.response
    if isinstance(answer, AsyncSlackResponse):
        # A page from a proxy or of an outage is text, on which the SDK's own `get` fails.
        word = answer.data.get("error") if isinstance(answer.data, dict) else "not JSON"
        return Refusal(answer.status_code, answer.headers, str(word))
    return Refusal(int(getattr(answer, "status", 500)), getattr(answer, "headers", {}), "not JSON")


def create_client(token: str, api_url: str, session: aiohttp.ClientSession) -> AsyncWebClient:
    """
    Create a client on a shared session: a session per call would cost a TLS handshake each.

    It has no retry handlers; the caller decides which calls may be repeated (`bot.slack.messenger`).
    """
    made = InstrumentedClient(token=token, base_url=api_url, session=session, retry_handlers=[])
    if api_url.startswith("http://"):
        made.proxy = None  # the SDK uses a proxy from the environment for loopback addresses too
    return made


async def check_bot(slack: AsyncWebClient, *, required: frozenset[str]) -> Identity:
    """Check the bot token. Raises `ConfigurationError` when it is refused, lacks a scope, or Slack is unreachable."""
    try:
        answer = await slack.auth_test()
    except SlackApiError as error:
        raise ConfigurationError(
            [
                f"SLACK_BOT_TOKEN is refused by Slack: {error.response.get('error')}. Install the app again and copy its Bot User OAuth Token."
            ]
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ConfigurationError(
            [
                f"Slack cannot be reached at {slack.base_url}: {type(error).__name__}. Check the network and SLACK_API_URL."
            ]
        ) from error
    scopes = frozenset(filter(None, str(answer.headers.get("x-oauth-scopes", "")).replace(" ", "").split(",")))
    if scopes and (missing := sorted(required - scopes)):
        raise ConfigurationError(
            [
                f"The Slack app lacks the scopes {', '.join(missing)}. Paste manifest.yml into the app's settings and install it again."
            ]
        )
    return Identity(str(answer["team_id"]), str(answer["user_id"]), scopes)


async def check_app_token(slack: AsyncWebClient, app_token: str) -> None:
    """
    Check the app-level token. Raises `ConfigurationError` when Socket Mode cannot be opened with it.

    The SDK itself would retry a bad token for ever and only log it (measured, slack_sdk 3.47.0).
    """
    try:
        await slack.apps_connections_open(app_token=app_token)
    except SlackApiError as error:
        raise ConfigurationError(
            [
                f"SLACK_APP_TOKEN is refused by Slack: {error.response.get('error')}. Make an app-level token with the scope connections:write, and switch Socket Mode on."
            ]
        ) from error


def required_scopes(manifest: dict[str, Any] | None = None) -> frozenset[str]:
    """The bot scopes that `manifest`, or manifest.yml, declares as required."""
    declared = manifest or yaml.safe_load(MANIFEST.read_text("utf-8"))
    return frozenset(declared["oauth_config"]["scopes"]["bot"])
