// A list of messages: the channel's or a thread's. Only what changed is drawn again, and only the last ones at first.
import { arrows, el } from "/dom.js";
import { blocks } from "/blocks.js";
import { read, inspect } from "/dialogs.js";
import { emoji } from "/emoji.js";
import { icon } from "/icons.js";
import { mrkdwn } from "/text.js";

const AT_FIRST = 100;
const TOGETHER_S = 300;

const seconds = (message) => Number(message.ts);
const day = (message) => new Date(seconds(message) * 1000).toDateString();

export function avatar(user) {
  if (!user) return el("span", { class: "avatar slackbot", "aria-hidden": "true" }, icon("gear"));
  return el("span", { class: `avatar ${user.is_bot ? "bot" : ""} tint-${[...user.name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 6}`, "aria-hidden": "true" }, user.is_bot ? icon("shield") : user.name[0].toUpperCase());
}

export class Messages {
  #nodes = new Map();
  #count = AT_FIRST;

  // `context(message)` is what its blocks are drawn with; `thread(message)` opens its thread, or is null within one.
  constructor(list, { context, thread }) {
    this.list = list;
    this.context = context;
    this.thread = thread;
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", (event) => this.#rove(event.target.closest(".message")));
    list.addEventListener("scroll", () => { this.#stays = this.#isAtEnd(); });
  }

  #stays = true; // at the end, whatever is added or grows there
  #grown = new ResizeObserver(() => { if (this.#stays) this.end(); });
  intro = null; // {version, make}: what is said above the very first message
  #drawn = [];

  clear() {
    this.#nodes.clear();
    this.#grown.disconnect();
    this.#count = AT_FIRST;
    this.list.replaceChildren();
  }

  end() {
    this.#stays = true;
    this.list.scrollTop = this.list.scrollHeight;
  }

  #isAtEnd() {
    return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 80;
  }

  draw(messages) {
    this.#drawn = messages;
    this.#stays = this.#isAtEnd();
    const focused = this.#focused();
    const shown = messages.slice(-this.#count);
    const hasEarlier = shown.length < messages.length;
    const wanted = shown.flatMap((message, index) => this.#rows(message, shown[index - 1], messages.length));
    if (!hasEarlier && this.intro) wanted.unshift(this.#kept("intro", this.intro.version, this.intro.make));
    if (hasEarlier) wanted.unshift(this.#kept("earlier", "", () => el("li", {}, el("button", { type: "button", class: "button", onclick: () => this.#more() }, "Show earlier messages"))));
    this.#arrange(wanted);
    if (this.#stays) this.end();
    if (focused) this.#restore(focused);
    if (!this.list.querySelector('.message[tabindex="0"]')) this.#rove(this.list.querySelector(".message:last-of-type"));
  }

  #rows(message, before, count) {
    const rows = [];
    if (!before || day(before) !== day(message)) if (this.thread) rows.push(this.#kept(`day ${day(message)}`, "", () => divider(dayWords(message))));
    const together = this.thread && before && !before.notice && before.user === message.user && !message.is_ephemeral && !before.is_ephemeral && day(before) === day(message)
      && seconds(message) - seconds(before) < TOGETHER_S && !before.reply_count;
    rows.push(this.#kept(message.ts, message, () => this.#item(message, together), together));
    if (!this.thread && !before) rows.push(this.#kept("replies", count, () => divider(count === 1 ? "no replies yet" : count === 2 ? "1 reply" : `${count - 1} replies`)));
    return rows;
  }

  #kept(key, version, make, more = "") {
    const known = this.#nodes.get(key);
    if (known && known.version === version && known.more === more) return known.node;
    const node = make();
    this.#nodes.set(key, { node, version, more });
    return node;
  }

  // The fewest moves: nodes that are in place stay, so that focus, selection and open details do too.
  #arrange(wanted) {
    const keep = new Set(wanted);
    for (const node of [...this.list.children]) {
      if (keep.has(node)) continue;
      this.#grown.unobserve(node);
      node.remove();
    }
    wanted.forEach((node, index) => {
      if (this.list.children[index] === node) return;
      this.list.insertBefore(node, this.list.children[index] ?? null);
      this.#grown.observe(node);
    });
  }

  #more() {
    const before = this.list.scrollHeight - this.list.scrollTop;
    this.#count += AT_FIRST;
    this.draw(this.#drawn);
    this.list.scrollTop = this.list.scrollHeight - before;
  }

  #focused() {
    const node = document.activeElement;
    const message = this.list.contains(node) ? node.closest(".message") : null;
    return message && { ts: message.dataset.ts, at: [...message.querySelectorAll("button, a, input, summary")].indexOf(node) };
  }

  #restore({ ts, at }) {
    const message = this.#nodes.get(ts)?.node;
    if (!message?.isConnected || message.contains(document.activeElement)) return;
    (message.querySelectorAll("button, a, input, summary")[at] ?? message).focus({ preventScroll: true });
  }

  #rove(message) {
    if (!message) return;
    for (const other of this.list.querySelectorAll('.message[tabindex="0"]')) other.tabIndex = -1;
    message.tabIndex = 0;
  }

  #key(event) {
    const message = event.target.closest(".message");
    if (!message || event.target !== message || event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrows(event, [...this.list.querySelectorAll(".message")])) return;
    const found = this.#drawn.find((each) => each.ts === message.dataset.ts);
    if (!found || found.notice) return;
    if ((event.key === "Enter" || event.key === "t") && this.thread) this.thread(found);
    else if (event.key === "i") inspect(found);
    else return;
    event.preventDefault();
  }

  #item(message, together) {
    const context = this.context(message);
    const { names, users } = context;
    const user = message.notice ? null : users.get(message.user);
    const at = new Date(seconds(message) * 1000);
    const time = el("time", { datetime: at.toISOString(), title: at.toLocaleString() }, at.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" }));
    const body = message.blocks?.length ? blocks(message.blocks, context) : [el("div", { class: "block text" }, mrkdwn(message.text ?? "", names))];
    return el("li", { class: `message ${together ? "together" : ""} ${message.is_ephemeral ? "ephemeral" : ""}`, "data-ts": message.ts, tabindex: -1 },
      message.is_ephemeral && el("div", { class: "only" }, icon("eye"), "Only visible to you"),
      together ? el("span", { class: "gutter" }, time) : avatar(user),
      el("div", { class: "content" },
        !together && el("div", { class: "by" }, el("b", {}, user ? user.name : "Slackbot"), user?.is_bot && el("span", { class: "badge" }, "APP"), time),
        body,
        message.edited && !message.blocks?.length && el("small", { class: "quiet" }, " (edited)"),
        message.files?.length ? el("div", { class: "files" }, message.files.map(file)) : null,
        message.reactions?.length ? el("div", { class: "reactions" }, message.reactions.map((each) => el("span", { class: "reaction", role: "img", "aria-label": `${each.count} ${each.name}` }, emoji(`:${each.name}:`), ` ${each.count}`))) : null,
        this.thread && message.reply_count ? this.#replies(message, users) : null),
      !message.notice && el("div", { class: "tools" },
        this.thread && !message.is_ephemeral && el("button", { type: "button", "aria-label": "Reply in thread", title: "Reply in thread (T)", onclick: () => this.thread(message) }, icon("thread")),
        el("button", { type: "button", "aria-label": "Show the message's JSON", title: "The message's JSON (I)", onclick: () => inspect(message) }, icon("braces"))));
  }

  #replies(message, users) {
    const last = message.latest_reply && new Date(Number(message.latest_reply) * 1000);
    const who = (message.reply_users ?? [message.user]).slice(0, 3).map((id) => avatar(users.get(id)));
    return el("button", { type: "button", class: "replies", onclick: () => this.thread(message) }, who,
      el("span", { class: "count" }, message.reply_count === 1 ? "1 reply" : `${message.reply_count} replies`),
      last && el("span", { class: "quiet", "aria-hidden": "true" }, `Last reply at ${last.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" })}`));
  }
}

const divider = (words) => el("li", { class: "divide" }, el("span", {}, words));

function dayWords(message) {
  const at = new Date(seconds(message) * 1000);
  return at.toDateString() === new Date().toDateString() ? "Today" : at.toLocaleDateString([], { weekday: "long", month: "long", day: "numeric" });
}

function file(each) {
  const kind = (each.name.split(".").pop() ?? "").toUpperCase();
  const size = each.size == null ? "" : each.size < 1000 ? ` · ${each.size} B` : ` · ${(each.size / 1000).toFixed(each.size < 10_000 ? 1 : 0)} kB`;
  return el("button", { type: "button", class: "file", onclick: () => read(each) },
    el("span", { class: `kind ${kind.toLowerCase()}`, "aria-hidden": "true" }, icon(kind === "JSON" ? "braces" : "file")),
    el("span", { class: "name" }, el("b", {}, each.title || each.name), el("small", {}, kind + size)));
}
