"""
Validates messages, views and lists of options as Slack does (docs.slack.dev: reference/block-kit).

Block Kit is declared here once, as a composition of small checks. The same validation serves every entry point:
`chat.*`, `views.*`, `blocks.validate`, response_urls and acknowledgements. It is independent of the bot's own size
budget (`bot.render.post`), so that each can reveal errors in the other. Lengths are in Unicode code points.
"""

from bot.sandbox.slack.blocks.checks import BlockFault
from bot.sandbox.slack.blocks.surfaces import (
    faults_of_attachments,
    faults_of_message,
    faults_of_options,
    faults_of_view,
)

__all__ = ["BlockFault", "faults_of_attachments", "faults_of_message", "faults_of_options", "faults_of_view"]
