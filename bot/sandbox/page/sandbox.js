// The sandbox's page: state comes from /sandbox/*, changes are told by server-sent events.
import { blocks, values } from "/blocks.js";
import { el, mrkdwn, text } from "/text.js";

const $ = (id) => document.getElementById(id);
const here = { user: new URLSearchParams(location.search).get("user") ?? "ana", channel: "", thread: "" };
let state, names, source, shownView = "", queued = false;

async function get(path, query) {
  const answer = await fetch(`/sandbox/${path}?` + new URLSearchParams(query));
  return answer.json();
}
async function post(path, body) {
  const answer = await (await fetch(`/sandbox/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
  if (!answer.ok) notice(answer.error);
  return answer;
}
function notice(words) { $("messages").append(el("li", { class: "notice", role: "alert" }, words)); bottom($("messages")); }
const bottom = (list) => { list.scrollTop = list.scrollHeight; };
const place = () => ({ user: here.user, channel: here.channel });

async function refresh() {
  state = await get("state", { user: here.user });
  names = { users: Object.fromEntries(state.users.map((u) => [u.id, u.name])), channels: Object.fromEntries(state.channels.map((c) => [c.id, c.name])) };
  if (!names.channels[here.channel]) here.channel = state.channels[0].id;
  $("title").textContent = "#" + names.channels[here.channel];
  $("line").placeholder = `Message #${names.channels[here.channel]}`;
  $("channels").replaceChildren(...state.channels.map((c) => el("li", {}, el("button", { "aria-current": c.id === here.channel && "true", onclick: () => open(c.id) }, (c.is_private ? "🔒 " : "# ") + c.name))));
  if (!$("user").options.length) {
    $("user").append(...state.users.filter((u) => !u.is_bot).map((u) => el("option", { value: u.name }, u.real_name)));
    $("user").value = here.user;
    $("faults").elements.fault.append(...state.faults.map((f) => el("option", {}, f.name)));
  }
  show($("messages"), (await get("messages", place())).messages, true);
  if (here.thread) show($("thread"), (await get("messages", { ...place(), thread_ts: here.thread })).messages, false);
  $("side").hidden = !here.thread;
  view();
}
// Many events at once (a run of a thousand Agents) are one refresh.
function soon() {
  if (queued) return;
  queued = true;
  setTimeout(async () => { queued = false; await refresh(); }, 30);
}

function show(list, messages, roots) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const old = new Map([...list.querySelectorAll(":scope > li[data-ts]")].map((node) => [node.dataset.ts, node]));
  const nodes = messages.map((message) => {
    const signature = JSON.stringify(message);
    const known = old.get(message.ts);
    if (known?.signature === signature) return known;  // keeps the focus where it is
    const node = item(message, roots);
    node.signature = signature;
    return node;
  });
  const notices = [...list.querySelectorAll(":scope > .notice")];
  if (nodes.length !== list.children.length - notices.length || nodes.some((node, index) => node !== list.children[index])) {
    list.replaceChildren(...nodes, ...notices);
    if (atEnd) bottom(list);
  }
}

function item(message, roots) {
  const act = (spec, value) => confirmed(spec.confirm, () => post("clicks", { ...place(), message_ts: message.ts, action_id: spec.action_id, ...value }));
  const at = new Date(Number(message.ts) * 1000);
  return el("li", { class: "message", "data-ts": message.ts },
    message.is_ephemeral && el("div", { class: "only" }, "Only visible to you"),
    el("header", {}, el("b", {}, names.users[message.user] ?? message.user), names.users[message.user] === "csm" ? el("span", { class: "badge" }, "APP") : null,
      el("time", { datetime: at.toISOString() }, at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
      el("button", { class: "inspect", type: "button", "aria-label": "Show the message's JSON", onclick: () => inspect(message) }, "{ }")),
    ...(message.blocks?.length ? blocks(message.blocks, { names, act }) : [el("div", { class: "text" }, ...mrkdwn(message.text ?? "", names))]),
    ...(message.files ?? []).map((file) => el("button", { class: "file", type: "button", onclick: () => read(file) }, `📄 ${file.title || file.name}`)),
    roots && message.reply_count ? el("button", { class: "replies", type: "button", onclick: () => thread(message.ts) }, message.reply_count === 1 ? "1 reply" : `${message.reply_count} replies`) : null);
}

function dialog(title, ...content) {
  $("dialog").replaceChildren(el("h2", { id: "dialog-title" }, title), ...content);
  $("dialog").setAttribute("aria-labelledby", "dialog-title");
  if (!$("dialog").open) $("dialog").showModal();
}
const closing = (label = "Close") => el("button", { type: "button", onclick: () => $("dialog").close() }, label);
const inspect = (message) => dialog("Message", el("pre", { tabindex: 0 }, JSON.stringify(message, null, 2)), closing());
async function read(file) {
  const content = await (await fetch(`/sandbox/files/${file.id}`)).text();
  dialog(file.name, el("pre", { tabindex: 0 }, content), closing());
}
function confirmed(confirm, act) {
  if (!confirm) return act();
  dialog(confirm.title.text, el("p", { class: "text" }, ...text(confirm.text, names)), el("div", { class: "actions" },
    el("button", { type: "button", class: confirm.style ?? "primary", onclick: () => { $("dialog").close(); act(); } }, confirm.confirm.text), closing(confirm.deny.text)));
}

function view() {
  const open = state.views.at(-1);
  if (!open) { if (shownView) { shownView = ""; $("dialog").close(); } return; }
  if (shownView === open.id + open.hash) return;
  shownView = open.id + open.hash;
  const form = el("form", {}, ...blocks(open.blocks, { names, act: () => {} }), el("div", { class: "actions" },
    open.submit ? el("button", { class: "primary" }, open.submit.text) : null, el("button", { type: "button", onclick: () => dismiss(open) }, open.close?.text ?? "Cancel")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await post("submissions", { user: here.user, view_id: open.id, values: values(open.blocks, form) });
    for (const place of form.querySelectorAll("[data-error]")) place.textContent = answer.errors?.[place.dataset.error] ?? "";
    soon();
  });
  dialog(open.title.text, form);
}
async function dismiss(open) { await post("closes", { user: here.user, view_id: open.id }); soon(); }
$("dialog").addEventListener("cancel", (event) => { if (shownView) { event.preventDefault(); dismiss(state.views.at(-1)); } });

function open(channel) { Object.assign(here, { channel, thread: "" }); $("messages").replaceChildren(); refresh(); $("line").focus(); }
function thread(ts) { here.thread = ts; $("thread").replaceChildren(); refresh().then(() => bottom($("thread"))); }
$("close-thread").onclick = () => { here.thread = ""; refresh(); $("line").focus(); };

function hints() {
  const line = $("line").value;
  const found = line.startsWith("/") ? state.commands.filter((c) => line.startsWith(c.command) || c.command.startsWith(line)) : [];
  $("hints").hidden = !found.length;
  $("hints").replaceChildren(...found.map((c) => el("li", {}, el("b", {}, c.command), " ", el("code", {}, c.usage_hint ?? ""), " ", el("span", { class: "quiet" }, c.description))));
  return found;
}
const sent = [];
$("line").addEventListener("input", hints);
$("line").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("composer").requestSubmit(); }
  else if (event.key === "Tab" && $("line").value.startsWith("/") && !$("line").value.includes(" ") && hints().length) { event.preventDefault(); $("line").value = hints()[0].command + " "; hints(); }
  else if (event.key === "ArrowUp" && !$("line").value && sent.length) { event.preventDefault(); $("line").value = sent.at(-1); }
  else if (event.key === "Escape") $("hints").hidden = true;
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = $("line").value.trim();
  if (!line) return;
  sent.push(line);
  $("line").value = "";
  hints();
  post(line.startsWith("/") ? "commands" : "messages", { ...place(), text: line });
});
const reply = $("reply").querySelector("textarea");
reply.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("reply").requestSubmit(); } });
$("reply").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = reply.value.trim();
  reply.value = "";
  if (line.startsWith("/")) notice("Slack sends no slash command from a thread. Type it in the channel.");
  else if (line) post("messages", { ...place(), text: line, thread_ts: here.thread });
});
$("user").addEventListener("change", () => { here.user = $("user").value; here.thread = ""; $("messages").replaceChildren(); connect(); });
$("faults").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target.elements;
  let extra = {};
  try { extra = JSON.parse(form.with.value || "{}"); } catch { event.target.querySelector("output").textContent = "That is not JSON."; return; }
  const answer = await post("faults", { fault: form.fault.value, ...extra });
  event.target.querySelector("output").textContent = answer.ok ? "Done." : answer.error;
});

async function connect() {
  source?.close();
  await refresh();
  source = new EventSource(`/sandbox/events?user=${here.user}&after=${state.last_event}`);
  source.onopen = () => { $("link").textContent = ""; };
  source.onerror = () => { $("link").textContent = "The sandbox does not answer."; };
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.type === "notice" && told.channel === here.channel) notice(told.text);
    soon();
  };
}
connect();
