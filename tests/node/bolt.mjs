// A small app on @slack/bolt, as its documentation shows it; only the address is another.
// With a signing secret it takes requests over HTTP, without one it opens a socket.
import bolt from "@slack/bolt";

const { SLACK_BOT_TOKEN: token, SLACK_APP_TOKEN: appToken, SLACK_SIGNING_SECRET: signingSecret, SLACK_API_URL: slackApiUrl } = process.env;
const way = signingSecret ? { signingSecret } : { appToken, socketMode: true };
const app = new bolt.App({ token, ...way, clientOptions: { slackApiUrl }, logLevel: "error" });

app.command("/probe", async ({ command, ack, respond, client }) => {
  if (command.text === "modal") {
    await ack();
    await client.views.open({ trigger_id: command.trigger_id, view: modal(command.channel_id) });
  } else if (command.text === "file") {
    await ack();
    await client.files.uploadV2({ channel_id: command.channel_id, filename: "notes.txt", title: "Notes", content: "from the app" });
  } else {
    await ack(`heard ${command.text}`);
    await respond({ response_type: "in_channel", text: "a button", blocks: [button()] });
  }
});

app.action("press", async ({ ack, body, client }) => {
  await ack();
  await client.chat.update({ channel: body.channel.id, ts: body.message.ts, text: `pressed by <@${body.user.id}>` });
});

app.view("named", async ({ ack, view, client }) => {
  const name = view.state.values.name.name.value;
  if (name === "bad") return ack({ response_action: "errors", errors: { name: "not that one" } });
  await ack();
  await client.chat.postMessage({ channel: view.private_metadata, text: `named ${name}` });
});

app.event("app_mention", async ({ event, say }) => say({ text: "you called", thread_ts: event.ts }));

const text = (words) => ({ type: "plain_text", text: words });
const button = () => ({ type: "actions", elements: [{ type: "button", action_id: "press", text: text("Press"), value: "1" }] });
const modal = (channel) => ({
  type: "modal", callback_id: "named", private_metadata: channel, title: text("Name"), submit: text("Send"),
  blocks: [{ type: "input", block_id: "name", label: text("Name"), element: { type: "plain_text_input", action_id: "name" } }],
});

const server = await app.start({ port: 0, host: "127.0.0.1" });
console.log(signingSecret ? `ready ${server.address().port}` : "ready");
