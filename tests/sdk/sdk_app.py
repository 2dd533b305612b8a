"""The same app without Bolt: slack_sdk's Socket Mode client for what comes, its web client for what goes."""

from __future__ import annotations

import os
from threading import Event
from typing import Any

from slack_sdk import WebClient
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from tests.sdk.shapes import BUTTON, modal

web = WebClient(os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"])


def listen(client: Any, request: SocketModeRequest) -> None:
    def ack(payload: dict[str, Any] | None = None) -> None:
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload=payload))

    body = request.payload
    match request.type, body.get("type"):
        case "slash_commands", _:
            command(body, ack)
        case "interactive", "block_actions":
            ack()
            text = f"pressed by <@{body['user']['id']}>"
            web.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text=text)
        case "interactive", "view_submission":
            submitted(body["view"], ack)
        case "events_api", _:
            ack()
            if body["event"]["type"] == "app_mention":
                event = body["event"]
                web.chat_postMessage(channel=event["channel"], thread_ts=event["ts"], text="you called")


def command(body: dict[str, Any], ack: Any) -> None:
    if body["text"] == "modal":
        ack()
        web.views_open(trigger_id=body["trigger_id"], view=modal(body["channel_id"]))
    elif body["text"] == "file":
        ack()
        web.files_upload_v2(channel=body["channel_id"], filename="notes.txt", title="Notes", content="from the app")
    else:
        ack({"text": f"heard {body['text']}"})
        web.chat_postMessage(channel=body["channel_id"], text="a button", blocks=[BUTTON])


def submitted(view: dict[str, Any], ack: Any) -> None:
    name = view["state"]["values"]["name"]["name"]["value"]
    if name == "bad":
        ack({"response_action": "errors", "errors": {"name": "not that one"}})
        return
    ack()
    web.chat_postMessage(channel=view["private_metadata"], text=f"named {name}")


if __name__ == "__main__":
    socket = SocketModeClient(os.environ["SLACK_APP_TOKEN"], web_client=web)
    socket.socket_mode_request_listeners.append(listen)
    socket.connect()
    print("ready", flush=True)
    Event().wait()
