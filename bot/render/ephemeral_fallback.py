"""The message to the requester when csm cannot post in the channel."""

from __future__ import annotations

from bot.render.formatting import mrkdwn
from bot.render.post import Post, fit, section

_WHY = {
    "not_in_channel": "csm is not a member of this channel. Invite it with `/invite @csm`, then ask again.",
    "channel_not_found": "csm cannot see this channel. If it is private, invite it with `/invite @csm`; in a direct "
    "message between people it cannot post at all. Then ask again.",
    "is_archived": "This channel is archived. Ask in another one.",
    "restricted_action": "The settings of this workspace keep csm from posting here. Ask in another channel.",
}


def not_posted(where: str, error: str) -> Post:
    """Say that nothing was run, and why. `error` is Slack's code for the refused message (chat.postMessage, errors)."""
    why = _WHY.get(error, f"Slack refused csm's message here: {mrkdwn(error, 100)}.")
    said = f"⚠️ {mrkdwn(where, 200)} was not asked, since the answer could not be posted. {why}"
    return fit(Post("not posted", said, (section(said),)))
