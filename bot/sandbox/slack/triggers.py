"""
What an app is given for a short time: trigger ids (three seconds, one use) and response_urls (thirty minutes, five uses).

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
    """A person's doing something that an app may open a modal upon."""

    user: str
    made_at: float
    view: str = ""
    """The modal it was done in."""
    spent: bool = False


class Triggers:
    """All trigger ids that were ever given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, Trigger] = {}

    def make(self, user: str, view: str = "") -> str:
        """A new one."""
        key = f"{len(self._known) + 1}.{int(self._clock.now())}.{secrets.token_hex(16)}"
        self._known[key] = Trigger(user, self._clock.now(), view)
        return key

    def valid(self, key: str) -> Trigger:
        """A trigger that may be used. Spend it when all the rest of the call is right: a refused view spends none."""
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
    """Where answers to one command or click may be sent."""

    user: str
    channel: str
    made_at: float
    source: str = ""
    """The message that was clicked in, by its time stamp."""
    used: int = 0

    def spend(self, now: float) -> None:
        """
        Use it once.

        Raises `SlackFault`. How Slack words it is not documented and could not be verified; that it refuses is.
        """
        if now - self.made_at > RESPONSE_S:
            raise SlackFault("expired_url")
        if self.used >= RESPONSE_USES:
            raise SlackFault("used_url")
        self.used += 1
