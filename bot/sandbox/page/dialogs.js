// Dialogs of the page's own: a message's JSON, a file, a question before a click, the keys.
import { $, el } from "/dom.js";
import { icon } from "/icons.js";
import { contents } from "/server.js";
import { text } from "/text.js";

// Opens over everything else, and gives the focus back where it was.
export function dialog(title, { kind = "", closed } = {}, ...content) {
  const before = document.activeElement;
  const message = before?.closest(".message");
  // A message may have been drawn anew while the dialog was over it.
  const drawnAnew = message && `#${message.parentElement.id} [data-ts="${message.dataset.ts}"]`;
  const node = el("dialog", { class: kind, "aria-label": title }, el("header", {}, el("h2", {}, title), el("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => node.close() }, icon("close"))), ...content);
  node.addEventListener("close", () => {
    node.remove();
    closed?.();
    const back = before?.isConnected ? before : drawnAnew && document.querySelector(drawnAnew);
    (back ?? $("line")).focus();
  });
  node.addEventListener("click", (event) => { if (event.target === node && kind !== "view") node.close(); });
  document.body.append(node);
  node.showModal();
  return node;
}

async function copy(words, button) {
  await navigator.clipboard?.writeText(words).catch(() => {});
  button.textContent = "Copied";
}

const LINES = 200;

// Long text in pieces, of which the browser lays out only those that are seen.
function pieces(words) {
  const lines = words.split("\n");
  const parts = [];
  for (let at = 0; at < lines.length; at += LINES) {
    const some = lines.slice(at, at + LINES);
    const part = el("code", { class: "piece" }, some.join("\n") + "\n");
    part.style.setProperty("--lines", some.length);
    parts.push(part);
  }
  return el("pre", { tabindex: 0, class: "file-text" }, parts);
}

function reading(title, words, ...more) {
  const button = el("button", { type: "button", class: "button", onclick: () => copy(words, button) }, "Copy");
  return dialog(title, { kind: "reading" }, pieces(words), el("footer", {}, el("span", { class: "quiet" }, ...more), button));
}

export const inspect = (message) => reading("The message as JSON", JSON.stringify(message, null, 2), "As conversations.replies would show it.");

export async function read(file) {
  const words = await contents(file.id);
  const pretty = /\.json$/.test(file.name) && words.length < 2_000_000 ? indented(words) : words;
  reading(file.title || file.name, pretty, file.name);
}

function indented(words) {
  try {
    return JSON.stringify(JSON.parse(words), null, 2);
  } catch {
    return words;
  }
}

// Asks first where the element wants it (docs.slack.dev: reference/block-kit/composition-objects/confirmation-dialog-object).
export function confirmed(confirm, names, act) {
  if (!confirm) return act();
  const deny = el("button", { type: "button", class: "button", onclick: () => node.close() }, confirm.deny.text);
  const yes = el("button", { type: "button", class: `button ${confirm.style ?? "primary"}`, onclick: () => { node.close(); act(); } }, confirm.confirm.text);
  const node = dialog(confirm.title.text, { kind: "question" }, el("div", { class: "text" }, text(confirm.text, names)), el("footer", {}, deny, yes));
  yes.focus();
}

const KEYS = [
  ["Enter", "send; Shift+Enter begins a new line"],
  ["/", "go to the message field and begin a command"],
  ["Tab", "take the completion that is marked; ↑ and ↓ mark another"],
  ["↑", "in an empty message field: the line before"],
  ["F6, Shift+F6", "go to the next part of the page: channels, messages, message field, thread"],
  ["↑ ↓ Home End", "in the messages: from one to the next"],
  ["Enter or T", "on a message: its thread"],
  ["I", "on a message: its JSON"],
  ["Alt+↑, Alt+↓", "the channel before or after"],
  ["Alt+Shift+1, 2, 3", "be Ana, Sam or Eve"],
  ["Esc", "close what is open: completions, a dialog, the thread"],
  ["Ctrl+/", "this list"],
];

export const keys = () => dialog("Keys", { kind: "keys" }, el("dl", {}, KEYS.map(([key, words]) => [el("dt", {}, key.split(/(, | or )/).map((part) => (/^(, | or )$/.test(part) ? part : el("kbd", {}, part)))), el("dd", {}, words)])));
