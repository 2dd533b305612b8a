"""A small app on slack_bolt, as its documentation shows it; only the address is another."""

from __future__ import annotations

import os
from threading import Event
from typing import Any

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

from tests.sdk.shapes import BUTTON, modal

app = App(client=WebClient(os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"]))


@app.command("/probe")
def probe(command: dict[str, Any], ack: Any, respond: Any, client: WebClient) -> None:
    channel = command["channel_id"]
    if command["text"] == "modal":
        ack()
        client.views_open(trigger_id=command["trigger_id"], view=modal(channel))
    elif command["text"] == "file":
        ack()
        client.files_upload_v2(channel=channel, filename="notes.txt", title="Notes", content="from the app")
    else:
        ack(f"heard {command['text']}")
        respond(response_type="in_channel", text="a button", blocks=[BUTTON])


@app.action("press")
def pressed(ack: Any, body: dict[str, Any], client: WebClient) -> None:
    ack()
    text = f"pressed by <@{body['user']['id']}>"
    client.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text=text)


@app.view("named")
def named(ack: Any, view: dict[str, Any], client: WebClient) -> None:
    name = view["state"]["values"]["name"]["name"]["value"]
    if name == "bad":
        ack(response_action="errors", errors={"name": "not that one"})
        return
    ack()
    client.chat_postMessage(channel=view["private_metadata"], text=f"named {name}")


@app.event("app_mention")
def mentioned(event: dict[str, Any], say: Any) -> None:
    say(text="you called", thread_ts=event["ts"])


if __name__ == "__main__":
    SocketModeHandler(app, os.environ["SLACK_APP_TOKEN"]).connect()
    print("ready", flush=True)
    Event().wait()
