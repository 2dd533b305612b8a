"""
Short-lived credentials for an app: trigger ids (three seconds, one use), response_urls (thirty minutes, five uses).

Sources: docs.slack.dev: interactivity/handling-user-interaction, reference/methods/views.open.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from bot.sandbox.slack.clock import Clock
from bot.sandbox.slack.refusal import SlackFault

TRIGGER_S = 3.0
RESPONSE_USES, RESPONSE_S = 5, 1800.0


@dataclass
class Trigger:
    """An action of a person for which an app may open a modal."""

    user: str
    made_at: float
    view: str = ""
    """The modal in which the action happened; empty for none."""
    spent: bool = False


class Triggers:
    """All trigger ids that were issued."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, Trigger] = {}

    def make(self, user: str, view: str = "") -> str:
        """Issue a trigger id."""
        key = f"{len(self._known) + 1}.{int(self._clock.now())}.{secrets.token_hex(16)}"
        self._known[key] = Trigger(user, self._clock.now(), view)
        return key

    def valid(self, key: str) -> Trigger:
        """
        Return a trigger that can still be used. Raises `SlackFault`.

        Set `spent` only when the rest of the call is valid: a refused view does not use up its trigger.
        """
        trigger = self._known.get(key)
        if trigger is None:
            raise SlackFault("invalid_trigger_id")
        if trigger.spent:
            raise SlackFault("exchanged_trigger_id")
        if self._clock.now() - trigger.made_at > TRIGGER_S:
            raise SlackFault("expired_trigger_id")
        return trigger


@dataclass
class ResponseUrl:
    """A response_url: an address for answers to one command or interaction."""

    user: str
    channel: str
    made_at: float
    source: str = ""
    """The time stamp of the message in which the action happened."""
    used: int = 0

    def spend(self, now: float) -> None:
        """
        Count one use.

        Raises `SlackFault` when it has expired or is used up. That Slack refuses is documented. The error's text is
        not, and could not be verified.
        """
        if now - self.made_at > RESPONSE_S:
            raise SlackFault("expired_url")
        if self.used >= RESPONSE_USES:
            raise SlackFault("used_url")
        self.used += 1
