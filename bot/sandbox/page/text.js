// Slack's mrkdwn, text objects and rich text as DOM nodes.
import { el, unsupported } from "/dom.js";
import { emoji } from "/emoji.js";

export const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

// A link that opens elsewhere, and only when a person clicks it.
export function link(url, ...words) {
  const safe = /^(https?:|mailto:)/i.test(url);
  return safe ? el("a", { href: url, target: "_blank", rel: "noreferrer" }, ...words) : el("span", {}, ...words);
}

const mention = (words, mine) => el("span", { class: mine ? "mention mine" : "mention" }, words);

function reference(inside, names) {
  const [target, ...rest] = inside.split("|");
  const label = rest.join("|");
  const id = target.slice(1).split("|")[0];
  if (target.startsWith("@")) return mention("@" + (names.users[id] ?? (label || id)), id === names.me);
  if (target.startsWith("#")) return mention("#" + (names.channels[id] || label || id));
  if (target.startsWith("!date^")) return dated(target, unescape(label));
  if (target.startsWith("!subteam^")) return mention(label || "@" + (names.groups?.[target.slice(9)] ?? target.slice(9)));
  if (target.startsWith("!")) return mention(label || "@" + target.slice(1));
  return link(unescape(target), unescape(label || target));
}

const DATES = {
  date_num: { year: "numeric", month: "2-digit", day: "2-digit" },
  date: { year: "numeric", month: "long", day: "numeric" },
  date_short: { year: "numeric", month: "short", day: "numeric" },
  date_long: { year: "numeric", month: "long", day: "numeric", weekday: "long" },
  time: { hour: "numeric", minute: "2-digit" },
  time_secs: { hour: "numeric", minute: "2-digit", second: "2-digit" },
};

function dated(target, fallback) {
  const [, seconds, format = ""] = target.split("^");
  const at = new Date(Number(seconds) * 1000);
  if (Number.isNaN(at.getTime())) return document.createTextNode(fallback);
  const words = format.replace(/\{(\w+)\}/g, (whole, name) => {
    if (name === "ago") return ago(at);
    const options = DATES[name.replace("_pretty", "")];
    if (!options) return whole;
    if (name.endsWith("_pretty") && at.toDateString() === new Date().toDateString()) return "today";
    return at.toLocaleString([], options);
  });
  return el("time", { datetime: at.toISOString(), title: at.toString() }, words || fallback);
}

function ago(at) {
  const minutes = Math.round((Date.now() - at.getTime()) / 60_000);
  return minutes < 1 ? "just now" : minutes < 60 ? `${minutes} min ago` : `${Math.round(minutes / 60)} h ago`;
}

const INLINE =
  /```([\s\S]+?)```|`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w_])_([^_\n]+)_(?![\w_])|(?<![\w~])~([^~\n]+)~(?![\w~])/g;

function inline(text, names) {
  const nodes = [];
  let end = 0;
  for (const m of text.matchAll(INLINE)) {
    nodes.push(emoji(unescape(text.slice(end, m.index))));
    end = m.index + m[0].length;
    if (m[1] != null) nodes.push(el("pre", { tabindex: 0 }, unescape(m[1].replace(/^\n|\n$/g, ""))));
    else if (m[2] != null) nodes.push(el("code", {}, unescape(m[2])));
    else if (m[3] != null) nodes.push(reference(m[3], names));
    else nodes.push(el(m[4] != null ? "strong" : m[5] != null ? "em" : "s", {}, inline(m[4] ?? m[5] ?? m[6], names)));
  }
  nodes.push(emoji(unescape(text.slice(end))));
  return nodes;
}

// Quoted lines are together in one quote; the rest is inline.
export function mrkdwn(text, names) {
  const quoted = /(?:^&gt; ?.*(?:\n|$))+/gm;
  const nodes = [];
  let end = 0;
  for (const m of text.matchAll(quoted)) {
    nodes.push(inline(text.slice(end, m.index), names));
    nodes.push(el("blockquote", {}, inline(m[0].replace(/^&gt; ?/gm, "").replace(/\n$/, ""), names)));
    end = m.index + m[0].length;
  }
  nodes.push(inline(text.slice(end), names));
  return nodes.flat();
}

export function text(object, names) {
  if (!object) return [];
  if (object.type === "mrkdwn") return mrkdwn(object.text, names);
  return [object.emoji === false ? object.text : emoji(object.text)];
}

function span(element, names) {
  const style = element.style ?? {};
  const words = {
    text: () => document.createTextNode(element.text),
    link: () => link(element.url, element.text || element.url),
    user: () => reference("@" + element.user_id, names),
    channel: () => reference("#" + element.channel_id, names),
    usergroup: () => reference("!subteam^" + element.usergroup_id, names),
    broadcast: () => mention("@" + element.range),
    emoji: () => document.createTextNode(emoji(`:${element.name}:`)),
    date: () => dated(`!date^${element.timestamp}^${element.format}`, element.fallback ?? ""),
    color: () => el("code", {}, element.value),
  }[element.type];
  if (!words) return unsupported(element.type);
  let node = words();
  for (const [name, tag] of [["bold", "strong"], ["italic", "em"], ["strike", "s"], ["code", "code"]]) if (style[name]) node = el(tag, {}, node);
  return node;
}

const spans = (part, names) => part.elements.map((each) => span(each, names));

function list(part, names) {
  return el(part.style === "ordered" ? "ol" : "ul", { class: `indent-${Math.min(part.indent ?? 0, 8)} ${part.border ? "bordered" : ""}`, start: part.offset ? part.offset + 1 : null },
    part.elements.map((item) => el("li", {}, spans(item, names))));
}

export function richText(block, names) {
  return block.elements.map((part) => {
    switch (part.type) {
      case "rich_text_section": return el("div", { class: "text" }, spans(part, names));
      case "rich_text_preformatted": return el("pre", { tabindex: 0 }, spans(part, names));
      case "rich_text_quote": return el("blockquote", { class: "text" }, spans(part, names));
      case "rich_text_list": return list(part, names);
      default: return unsupported(part.type);
    }
  });
}
