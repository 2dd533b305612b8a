"""The Bolt app with metrics: how long Slack waits for each acknowledgement."""

from __future__ import annotations

from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.runtime import metrics
from bot.runtime.ack_gate import AckGate

KINDS = frozenset({"block_actions", "block_suggestion", "view_submission", "view_closed", "event_callback"})


class InstrumentedApp(AsyncApp):
    """Bolt app that times each acknowledgement, and counts the unacknowledged requests in the ack gate."""

    def __init__(self, *, ack_gate: AckGate, **options: Any) -> None:
        super().__init__(**options)
        self._ack_gate = ack_gate

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """See `AsyncApp.async_dispatch`. Returns when the request is acknowledged."""
        kind = _kind(req.body)
        with metrics.ACKS.labels(kind).time(), self._ack_gate.waiting():
            response = await super().async_dispatch(req)
        if response.status != 200:
            metrics.UNACKNOWLEDGED.labels(kind).inc()
        return response


def _kind(body: dict[str, Any]) -> str:
    # HTTP requests are counted before their signature is checked, so their content must not create new labels.
    kind = str(body.get("type"))
    return "command" if "command" in body else kind if kind in KINDS else "other"
