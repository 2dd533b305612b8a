"""
What Slack refuses of a message, a view or a list of options (docs.slack.dev: reference/block-kit).

Block Kit is declared here once, as small checks put together, and the same judge sits behind every way in:
`chat.*`, `views.*`, `blocks.validate`, response_urls and acknowledgements. It is written apart from the bot's
own size budget (`bot.render.post`), so that one can catch the other. Lengths are in Unicode code points.
"""

from bot.sandbox.slack.blocks.checks import BlockFault
from bot.sandbox.slack.blocks.surfaces import (
    faults_of_attachments,
    faults_of_message,
    faults_of_options,
    faults_of_view,
)

__all__ = ["BlockFault", "faults_of_attachments", "faults_of_message", "faults_of_options", "faults_of_view"]
