"""
The Web API's methods that a bot like csm uses: a module per family, a function per method.

Arguments are accepted as Slack accepts them (GET or POST; query, form, multipart or JSON; the token as a header or an
argument). Errors are Slack's, with HTTP 200; only rate limits are 429. A method that is not implemented is
`unknown_method`.
"""

from bot.sandbox.slack.refusal import SlackFault
from bot.sandbox.slack.web_api import (  # noqa: F401 - each registers its methods
    auth,
    blocks,
    bookmarks,
    chat,
    conversations,
    files,
    pins,
    reactions,
    schedule,
    team,
    usergroups,
    users,
    views,
)
from bot.sandbox.slack.web_api.api import WebApi
from bot.sandbox.slack.web_api.method import METHODS

__all__ = ["METHODS", "SlackFault", "WebApi"]
