// The same app without Bolt: @slack/socket-mode for what comes, @slack/web-api for what goes.
import { SocketModeClient } from "@slack/socket-mode";
import { WebClient } from "@slack/web-api";

const { SLACK_BOT_TOKEN: token, SLACK_APP_TOKEN: appToken, SLACK_API_URL: slackApiUrl } = process.env;
const web = new WebClient(token, { slackApiUrl });
const socket = new SocketModeClient({ appToken, clientOptions: { slackApiUrl }, logLevel: "error" });

socket.on("slash_commands", async ({ ack, body }) => {
  if (body.text === "modal") {
    await ack();
    await web.views.open({ trigger_id: body.trigger_id, view: modal(body.channel_id) });
  } else if (body.text === "file") {
    await ack();
    await web.filesUploadV2({ channel_id: body.channel_id, filename: "notes.txt", title: "Notes", content: "from the app" });
  } else {
    await ack({ text: `heard ${body.text}` });
    await web.chat.postMessage({ channel: body.channel_id, text: "a button", blocks: [button()] });
  }
});

socket.on("interactive", async ({ ack, body }) => {
  if (body.type === "block_actions") {
    await ack();
    await web.chat.update({ channel: body.channel.id, ts: body.message.ts, text: `pressed by <@${body.user.id}>` });
  } else if (body.type === "view_submission") {
    const name = body.view.state.values.name.name.value;
    if (name === "bad") return ack({ response_action: "errors", errors: { name: "not that one" } });
    await ack();
    await web.chat.postMessage({ channel: body.view.private_metadata, text: `named ${name}` });
  }
});

socket.on("app_mention", async ({ ack, event }) => {
  await ack();
  await web.chat.postMessage({ channel: event.channel, thread_ts: event.ts, text: "you called" });
});

const text = (words) => ({ type: "plain_text", text: words });
const button = () => ({ type: "actions", elements: [{ type: "button", action_id: "press", text: text("Press"), value: "1" }] });
const modal = (channel) => ({
  type: "modal", callback_id: "named", private_metadata: channel, title: text("Name"), submit: text("Send"),
  blocks: [{ type: "input", block_id: "name", label: text("Name"), element: { type: "plain_text_input", action_id: "name" } }],
});

await socket.start();
console.log("ready");
