"""Rate limits per method, workspace and app, in windows of a minute (docs.slack.dev: apis/web-api/rate-limits)."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from bot.sandbox.slack.clock import Clock

WINDOW_S = 60.0
TIER_1, TIER_2, TIER_3, TIER_4 = 1, 20, 50, 100
"""Calls a minute. Slack's numbers are "at least"; here they are strict, so that the app cannot rely on more."""
CONNECTIONS = 30
"""`apps.connections.open` is Tier 1, "1+". Reconnecting SDKs do not meet that limit in Slack, so it is higher here."""
SPECIAL = 300
"""`auth.test` and others for which Slack documents hundreds."""
POST_IN_CHANNEL = 60
"""`chat.postMessage`: one a second per channel, with short bursts."""


class Limited(Exception):
    """Too many calls. `wait_s` is the value of `Retry-After`."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class RateLimits:
    """The calls of the last minute, by limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: dict[str, deque[float]] = defaultdict(deque)

    def spend(self, key: str, per_minute: int) -> None:
        """Count a call. Raises `Limited` when the limit is reached; that call is not counted."""
        now, spent = self._clock.now(), self._spent[key]
        while spent and now - spent[0] >= WINDOW_S:
            spent.popleft()
        if len(spent) >= per_minute:
            raise Limited(max(1, math.ceil(WINDOW_S - (now - spent[0]))))
        spent.append(now)
