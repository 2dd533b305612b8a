"""
HTTP delivery to an app: signed requests to its own address.

Sources: docs.slack.dev: apis/events-api/using-http-request-urls, authentication/verifying-requests-from-slack.

No request leaves this machine: an address that is not loopback is refused before a connection is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp

ANSWER_S = 3.0
MOST_REDIRECTS = 2
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


class NotDelivered(Exception):
    """The app did not get the request, or not in time. `reason` is Slack's word in `X-Slack-Retry-Reason`."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        """The app asked for no retries (`X-Slack-No-Retry`)."""


@dataclass(frozen=True)
class Answer:
    """The app's answer."""

    status: int
    body: Any
    """Its JSON, else its text; `None` when it is empty."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`X-Slack-Signature`: HMAC-SHA256 of `v0:{timestamp}:{body}`."""
    basis = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), basis, hashlib.sha256).hexdigest()


class RequestUrl:
    """Posts to the app's addresses."""

    def __init__(self, signing_secret: str, *, answer_s: float = ANSWER_S) -> None:
        self.signing_secret = signing_secret
        self.answer_s = answer_s

    async def post_form(self, url: str, fields: Mapping[str, Any]) -> Answer:
        """Post a slash command, or an interaction (one field, `payload`). Raises `NotDelivered`."""
        return await self._post(url, urlencode(fields).encode(), FORM, {})

    async def post_json(self, url: str, content: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """Post an event. Raises `NotDelivered`."""
        return await self._post(url, json.dumps(content).encode(), JSON, headers)

    async def verify(self, url: str, challenge: str, token: str) -> bool:
        """The handshake before events are sent: whether the app returned the challenge, in any of three formats."""
        try:
            answer = await self.post_json(url, {"token": token, "challenge": challenge, "type": "url_verification"}, {})
        except NotDelivered:
            return False
        return challenge in (answer.body, isinstance(answer.body, dict) and answer.body.get("challenge"))

    async def _post(self, url: str, body: bytes, kind: str, more: Mapping[str, str]) -> Answer:
        try:
            async with asyncio.timeout(self.answer_s), aiohttp.ClientSession(trust_env=False) as session:
                return await self._follow(session, url, body, {**self._headers(body, kind), **more})
        except TimeoutError as error:
            raise NotDelivered("http_timeout") from error
        except (ssl.SSLError, aiohttp.ClientSSLError) as error:
            raise NotDelivered("ssl_error") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise NotDelivered("connection_failed") from error

    async def _follow(
        self, session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        for _ in range(MOST_REDIRECTS + 1):
            _only_this_machine(url)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if response.status in {301, 302, 303, 307, 308} and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                if not response.ok:
                    raise NotDelivered("http_error", final=response.headers.get("X-Slack-No-Retry") == "1")
                return Answer(response.status, _body(await response.text()))
        raise NotDelivered("too_many_redirects")

    def _headers(self, body: bytes, kind: str) -> dict[str, str]:
        stamp = str(int(time.time()))  # the real time: the app compares it with its own clock
        return {
            "Content-Type": kind,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": signature(self.signing_secret, stamp, body),
        }


def _body(text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        return text.removeprefix("challenge=")


def _only_this_machine(url: str) -> None:
    host = urlsplit(url).hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise NotDelivered("connection_failed")
