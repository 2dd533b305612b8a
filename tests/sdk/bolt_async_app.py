"""The same app on slack_bolt's asyncio half. With a signing secret it takes requests over HTTP, without one it opens a socket."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.sdk.shapes import BUTTON, modal

SECRET = os.environ.get("SLACK_SIGNING_SECRET")
web_client = AsyncWebClient(os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"])
app = AsyncApp(client=web_client, signing_secret=SECRET)


@app.command("/probe")
async def probe(command: dict[str, Any], ack: Any, respond: Any, client: AsyncWebClient) -> None:
    channel = command["channel_id"]
    if command["text"] == "modal":
        await ack()
        await client.views_open(trigger_id=command["trigger_id"], view=modal(channel))
    elif command["text"] == "file":
        await ack()
        await client.files_upload_v2(channel=channel, filename="notes.txt", title="Notes", content="from the app")
    else:
        await ack(f"heard {command['text']}")
        await respond(response_type="in_channel", text="a button", blocks=[BUTTON])


@app.action("press")
async def pressed(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
    await ack()
    text = f"pressed by <@{body['user']['id']}>"
    await client.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text=text)


@app.view("named")
async def named(ack: Any, view: dict[str, Any], client: AsyncWebClient) -> None:
    name = view["state"]["values"]["name"]["name"]["value"]
    if name == "bad":
        await ack(response_action="errors", errors={"name": "not that one"})
        return
    await ack()
    await client.chat_postMessage(channel=view["private_metadata"], text=f"named {name}")


@app.event("app_mention")
async def mentioned(event: dict[str, Any], say: Any) -> None:
    await say(text="you called", thread_ts=event["ts"])


async def main() -> None:
    if SECRET:
        runner = web.AppRunner(app.web_app("/slack/events"))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"ready {runner.addresses[0][1]}", flush=True)
    else:
        await AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"]).connect_async()
        print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
