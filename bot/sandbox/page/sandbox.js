// The page: whose eyes it is seen through, which channel and thread are open, and what the sandbox tells of changes.
import { Composer } from "/composer.js";
import { confirmed, keys } from "/dialogs.js";
import { $, batched, el } from "/dom.js";
import { breakSomething, healAll, showFaults } from "/faults.js";
import { Form } from "/form.js";
import { drawIcons, icon } from "/icons.js";
import { avatar, Messages } from "/messages.js";
import { showViews } from "/modal.js";
import { get, post } from "/server.js";

const ROLES = { ana: "on call: may run everything", sam: "security: may approve", eve: "has no rights" };
const here = { user: new URLSearchParams(location.search).get("user") ?? "ana", channel: "", thread: "" };
const unread = new Set();
const forms = new Map(); // what is chosen in a message's elements, by time stamp
const read = new Map(); // where a thread was scrolled to, by its root's time stamp
let state;
let names;
let users = new Map();
let inChannel = new Map();
let inThread = new Map();
let source;
const asked = new Set(); // what is told while a list is under way, for each

const place = () => ({ user: here.user, channel: here.channel });
const isRoot = (message) => !message.thread_ts || message.thread_ts === message.ts || message.subtype === "thread_broadcast";
const inThreadOf = (message, root) => [message.ts, message.thread_ts].includes(root);

const list = new Messages($("messages"), { context, thread: openThread });
const thread = new Messages($("thread"), { context, thread: null });
let pressed = false; // what is drawn anew between the press and the release of a button would not be clicked
const draw = batched(() => {
  if (pressed) return;
  list.draw([...inChannel.values()]);
  if (here.thread) thread.draw([...inThread.values()]);
});
document.addEventListener("pointerdown", () => { pressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(() => { pressed = false; draw(); }), true);

// -- what a message is drawn with ------------------------------------------------------------------------------------

function context(message) {
  if (!forms.has(message.ts)) forms.set(message.ts, new Form());
  const form = forms.get(message.ts);
  const at = { ...place(), message_ts: message.ts };
  const act = (block, spec, value) => confirmed(spec.confirm, names, async () => {
    const answer = await post("clicks", { ...at, action_id: spec.action_id, block_id: block.block_id, state: { values: form.json() }, ...value });
    if (!answer.ok) complain(answer.error);
  });
  const suggest = (block, spec, value) => post("suggestions", { ...at, block_id: block.block_id, action_id: spec.action_id, value });
  return { names, users, form, act, suggest };
}

// What Slack itself, or the sandbox, says to this person alone; kept with the messages while the page is open.
function complain(words, channel = here.channel) {
  if (channel !== here.channel) return;
  const ts = `${Date.now() / 1000}`;
  inChannel.set(ts, { ts, text: words.replaceAll("&", "&amp;").replaceAll("<", "&lt;"), is_ephemeral: true, notice: true });
  say(words);
  draw();
}

const say = (words) => { $("said").textContent = words; };

// -- what the sandbox tells ----------------------------------------------------------------------------------------------

function told(event) {
  const { type, channel, message } = event;
  for (const meanwhile of asked) meanwhile.push(event);
  if (type === "notice") complain(event.text, channel);
  else if (["message", "message_changed", "ephemeral"].includes(type) && message) changed(event);
  else if (type === "message_deleted") { inChannel.delete(event.ts); inThread.delete(event.ts); draw(); }
  else if (type === "faults") showFaults();
  else again();
}

function changed({ type, channel, message }) {
  if (!names.channels[channel]) return again();
  if (channel !== here.channel) {
    if (type !== "message_changed" && unread.size < unread.add(channel).size) showChannels();
    return;
  }
  if (isRoot(message)) inChannel.set(message.ts, message);
  if (here.thread && inThreadOf(message, here.thread)) inThread.set(message.ts, message);
  if (type !== "message_changed" && message.user !== state.me.id) say(message.text ?? "");
  draw();
}

// A list that was asked for may be older than what was told while it was under way: that is told to it too.
async function messages(query) {
  const meanwhile = [];
  asked.add(meanwhile);
  const answer = await get("messages", query);
  asked.delete(meanwhile);
  const found = new Map((answer.messages ?? []).map((message) => [message.ts, message]));
  for (const { type, channel, message, ts } of meanwhile) {
    if (channel !== query.channel) continue;
    if (type === "message_deleted") found.delete(ts);
    else if (message && (query.thread_ts ? inThreadOf(message, query.thread_ts) : isRoot(message))) found.set(message.ts, message);
  }
  return found;
}

const again = batched(refresh);

async function refresh() {
  const { user } = here;
  const found = await get("state", { user });
  if (!found.users || user !== here.user) return;
  if (state && state.session !== found.session) return location.reload(); // another sandbox, at the same address
  state = found;
  users = new Map(state.users.map((user) => [user.id, user]));
  names = {
    me: state.me.id,
    users: Object.fromEntries(state.users.map((user) => [user.id, user.name])),
    groups: Object.fromEntries((state.groups ?? []).map((group) => [group.id, group.handle])),
    channels: Object.fromEntries(state.channels.map((channel) => [channel.id, channel.id.startsWith("D") ? "csm" : channel.name])),
  };
  if (!names.channels[here.channel]) await openChannel(state.channels[0].id);
  showChannels();
  showPeople();
  showViews(state.views, { user: here.user, names, again, complain, suggest: (body) => post("suggestions", { user: here.user, ...body }) });
}

async function connect() {
  source?.close();
  const { user } = here;
  await refresh();
  if (user !== here.user) return;
  source = new EventSource(`/sandbox/events?user=${user}&after=${state?.last_event ?? 0}`);
  source.onopen = () => { if ($("link").textContent) again(); $("link").textContent = ""; };
  source.onerror = () => { $("link").textContent = "The sandbox does not answer. It may have been ended."; };
  source.onmessage = (event) => told(JSON.parse(event.data));
  showFaults();
}

// -- where one is ------------------------------------------------------------------------------------------------------

async function openChannel(channel) {
  closeThread(false);
  Object.assign(here, { channel });
  unread.delete(channel);
  const found = await messages(place());
  if (here.channel !== channel) return;
  inChannel = found;
  const name = (channel.startsWith("D") ? "" : "#") + names.channels[channel];
  list.clear();
  list.intro = { version: channel, make: () => intro(name) };
  list.draw([...inChannel.values()]);
  list.end();
  $("title").textContent = name;
  $("line").placeholder = `Message ${name}, or / for commands`;
  document.title = `${name}, csm sandbox`;
  document.body.classList.remove("nav-open");
  showChannels();
}

function intro(name) {
  const examples = state.examples.map((line) => el("button", { type: "button", class: "button", onclick: () => composer.begin(line) }, line));
  return el("li", { class: "intro" }, el("h3", {}, name), el("p", {}, "This is the very beginning. ", examples.length ? "Type / and choose, or begin with one of these:" : ""), el("div", { class: "actions" }, examples));
}

async function openThread(message) {
  const ts = message.thread_ts ?? message.ts;
  here.thread = ts;
  const found = await messages({ ...place(), thread_ts: ts });
  if (here.thread !== ts) return;
  inThread = found;
  thread.clear();
  $("side").hidden = false;
  $("thread-where").textContent = $("title").textContent;
  thread.draw([...inThread.values()]);
  // As in Slack, where reading begins: the first time at the top.
  $("thread").scrollTop = read.get(ts) ?? 0;
  reply.focus();
}

function closeThread(focus = true) {
  if (!here.thread) return;
  const ts = here.thread;
  read.set(ts, $("thread").scrollTop);
  here.thread = "";
  $("side").hidden = true;
  inThread = new Map();
  if (focus) ($("messages").querySelector(`[data-ts="${ts}"]`) ?? $("line")).focus();
}

function be(user) {
  if (here.user === user) return;
  here.user = user;
  here.channel = "";
  unread.clear();
  forms.clear();
  closeThread(false);
  connect();
}

function showChannels() {
  const row = (channel) => {
    const isHere = channel.id === here.channel;
    const sign = icon(channel.id.startsWith("D") ? "person" : channel.is_private ? "lock" : "hash");
    return el("li", {}, el("button", { type: "button", "aria-current": isHere ? "page" : null, class: unread.has(channel.id) ? "unread" : "", onclick: () => { openChannel(channel.id); composer.focus(); } },
      sign, names.channels[channel.id], unread.has(channel.id) && el("span", { class: "hidden" }, ", unread")));
  };
  $("channels").replaceChildren(...state.channels.map(row));
}

function showPeople() {
  if ($("people").childElementCount) {
    for (const box of $("people").querySelectorAll("input")) box.checked = box.value === here.user;
    return;
  }
  $("people").append(...state.users.filter((user) => !user.is_bot).map((user) => {
    const box = el("input", { type: "radio", name: "user", value: user.name, checked: user.name === here.user, class: "hidden" });
    box.addEventListener("change", () => be(user.name));
    return el("label", {}, box, avatar(user), el("span", { class: "who" }, el("b", {}, user.name), el("small", {}, ROLES[user.name] ?? user.real_name)));
  }));
}

// -- typing ------------------------------------------------------------------------------------------------------------

async function complete(text) {
  const answer = await get("completions", { user: here.user, text });
  if (answer.completions) return answer.completions;
  return state.commands.filter((each) => each.command.startsWith(text)).map((each) => ({ text: each.command + " ", label: each.command, note: `${each.usage_hint ?? ""}  ${each.description}` }));
}

const composer = new Composer($("composer"), {
  complete,
  send: async (line) => {
    list.end();
    const waiting = setTimeout(() => { $("link").textContent = "Waiting for the app…"; }, 700);
    const answer = await post(line.startsWith("/") ? "commands" : "messages", { ...place(), text: line });
    clearTimeout(waiting);
    if ($("link").textContent.startsWith("Waiting")) $("link").textContent = "";
    if (!answer.ok) complain(answer.error);
  },
});
const reply = new Composer($("reply"), {
  send: (line) => {
    if (line.startsWith("/")) complain("Slack sends no slash command from a thread. Type it in the channel.");
    else post("messages", { ...place(), text: line, thread_ts: here.thread });
  },
});

// -- keys ---------------------------------------------------------------------------------------------------------------

function nextPart(step) {
  const parts = [$("nav"), $("messages"), $("composer"), $("thread"), $("reply")].filter((part) => part.offsetParent !== null);
  const at = parts.findIndex((part) => part.contains(document.activeElement));
  const part = parts[(at + step + parts.length) % parts.length];
  part.querySelector('.message[tabindex="0"], [aria-current], textarea')?.focus();
}

function nextChannel(step) {
  const ids = state.channels.map((channel) => channel.id);
  openChannel(ids[(ids.indexOf(here.channel) + step + ids.length) % ids.length]);
}

function shortcut(event) {
  const control = event.ctrlKey || event.metaKey;
  const typing = event.target.matches("input, textarea, select");
  const person = Number(event.code.replace("Digit", "")) - 1;  // browsers keep Ctrl and a digit for their tabs
  const people = state?.users.filter((user) => !user.is_bot) ?? [];
  if (event.key === "F6") nextPart(event.shiftKey ? -1 : 1);
  else if (control && event.key === "/") keys();
  else if (event.altKey && event.shiftKey && people[person]) be(people[person].name);
  else if (event.altKey && event.key === "ArrowDown") nextChannel(1);
  else if (event.altKey && event.key === "ArrowUp") nextChannel(-1);
  else if (event.key === "/" && !typing) composer.begin("/");
  else if (event.key === "Escape" && document.body.classList.contains("nav-open")) document.body.classList.remove("nav-open");
  else if (event.key === "Escape" && event.target.closest("#side")) closeThread();
  else if (event.key === "Escape" && event.target.closest("#messages")) composer.focus();
  else if (event.key === "Escape" && here.thread) closeThread(false);
  else return;
  event.preventDefault();
}

document.addEventListener("keydown", (event) => { if (!document.querySelector("dialog[open]")) shortcut(event); });
$("close-thread").onclick = () => closeThread();
$("keys").onclick = keys;
$("break").onclick = breakSomething;
$("heal").onclick = healAll;
$("badge").onclick = breakSomething;
$("open-nav").onclick = () => { document.body.classList.toggle("nav-open"); $("channels").querySelector("button")?.focus(); };
$("shade").onclick = () => document.body.classList.remove("nav-open");
drawIcons();
connect();
