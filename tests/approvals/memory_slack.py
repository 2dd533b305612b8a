"""Slack in memory: as much of the Web API as a flare meets, without HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from tests.approvals.memory_agent import Life


class MemorySlack:
    """What is on the screen, whoever put it there."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.ephemeral: list[tuple[str, str]] = []
        """Who was told what."""
        self.views: list[dict[str, Any]] = []
        """Modals, in the order in which they were opened."""
        self.copies: list[str] = []
        """Hashes of the archives that were put into threads."""
        self.numbers = itertools.count(1)
        self.history = True
        """Whether the app has the optional scopes with which it finds its own messages."""

    def cards(self) -> list[Mapping[str, Any]]:
        """Review cards, by when they were posted."""
        return [m for m in self.messages.values() if m["metadata"]["event_payload"]["key"] == "review"]

    def openings(self) -> list[Mapping[str, Any]]:
        """Runs' own messages."""
        return [m for m in self.messages.values() if m["metadata"]["event_payload"]["key"] == "opening"]


def actions(message: Mapping[str, Any]) -> list[str]:
    """What can be clicked in a message."""
    return [e["action_id"] for b in message["blocks"] for e in b.get("elements", []) if "action_id" in e]


def value(message: Mapping[str, Any], action_id: str) -> str:
    """What a button carries."""
    elements = [e for b in message["blocks"] for e in b.get("elements", [])]
    return next(str(e["value"]) for e in elements if e.get("action_id") == action_id)


class MemoryClient:
    """`AsyncWebClient` for one process; a dead process's calls do not arrive."""

    def __init__(self, slack: MemorySlack, life: Life) -> None:
        self._slack = slack
        self._life = life
        self.session = self

    async def chat_postMessage(self, **message: Any) -> Mapping[str, Any]:  # noqa: N802 - Slack's name
        await self._life.check()
        ts = f"{next(self._slack.numbers):06}.000000"
        self._slack.messages[ts] = {"ts": ts, **message}
        return {"channel": message["channel"], "ts": ts}

    async def chat_update(self, *, channel: str, ts: str, text: str, blocks: Any) -> Mapping[str, Any]:
        await self._life.check()
        self._slack.messages[ts] |= {"text": text, "blocks": blocks}
        if "flare.approve" in actions(self._slack.messages[ts]):
            # Somebody's screen may go on showing it.
            self._slack.messages[ts]["approve"] = value(self._slack.messages[ts], "flare.approve")
        return {"channel": channel, "ts": ts}

    async def chat_getPermalink(self, **_: Any) -> Mapping[str, Any]:  # noqa: N802 - Slack's name
        await self._life.check()
        return {"permalink": "https://sandbox.slack.com/archives/C1/p1"}

    async def chat_postEphemeral(self, *, user: str, text: str, **_: Any) -> Mapping[str, Any]:  # noqa: N802 - Slack's name
        await self._life.check()
        self._slack.ephemeral.append((user, text))
        return {}

    async def conversations_history(self, **_: Any) -> Mapping[str, Any]:
        await self._may_look()
        return {"messages": [m for m in self._slack.messages.values() if not m.get("thread_ts")]}

    async def conversations_replies(self, *, ts: str, **_: Any) -> Mapping[str, Any]:
        await self._may_look()
        return {"messages": [m for m in self._slack.messages.values() if ts in (m["ts"], m.get("thread_ts"))]}

    async def _may_look(self) -> None:
        await self._life.check()
        if not self._slack.history:
            answer = {"ok": False, "error": "missing_scope"}
            raise SlackApiError("missing_scope", _response(answer))

    async def views_open(self, *, trigger_id: str, view: Any) -> Mapping[str, Any]:
        await self._life.check()
        self._slack.views.append({"id": f"V{next(self._slack.numbers)}", "trigger_id": trigger_id, **view})
        return {"view": self._slack.views[-1]}

    async def files_getUploadURLExternal(self, *, filename: str, **_: Any) -> Mapping[str, Any]:  # noqa: N802 - Slack's name
        await self._life.check()
        return {"upload_url": f"memory:{filename}", "file_id": f"F{next(self._slack.numbers)}"}

    async def files_completeUploadExternal(self, **_: Any) -> Mapping[str, Any]:  # noqa: N802 - Slack's name
        await self._life.check()
        return {"files": []}

    @contextlib.asynccontextmanager
    async def post(self, url: str, *, data: Any, **_: Any) -> AsyncIterator[Any]:
        """The upload of a file."""
        await self._life.check()
        if url.endswith(".zip"):
            self._slack.copies.append(hashlib.sha256(data).hexdigest())
        yield _Ok()


class _Ok:
    ok = True

    def raise_for_status(self) -> None:
        """It was taken."""


def _response(answer: dict[str, Any]) -> AsyncSlackResponse:
    return AsyncSlackResponse(
        client=None, http_verb="POST", api_url="memory:", req_args={}, data=answer, headers={}, status_code=200
    )
