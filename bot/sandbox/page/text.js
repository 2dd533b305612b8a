// Slack's mrkdwn and rich text as DOM nodes. Nothing is ever parsed as HTML.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const safe = (url) => (/^(https?:|mailto:)/i.test(url) ? url : "#");

function reference(inside, names) {
  const [target, label] = [inside.split("|")[0], inside.split("|").slice(1).join("|")];
  if (target.startsWith("@")) return el("span", { class: "mention" }, "@" + (names.users[target.slice(1)] ?? target.slice(1)));
  if (target.startsWith("#")) return el("span", { class: "mention" }, "#" + (label || names.channels[target.slice(1)] || target.slice(1)));
  if (target.startsWith("!date^")) return el("time", {}, unescape(label));
  if (target.startsWith("!")) return el("span", { class: "mention" }, label || "@" + target.slice(1));
  return el("a", { href: safe(unescape(target)), target: "_blank", rel: "noreferrer" }, unescape(label || target));
}

const INLINE = /```([\s\S]+?)```|`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w_])_([^_\n]+)_(?![\w_])|(?<![\w~])~([^~\n]+)~(?![\w~])/g;

export function mrkdwn(text, names) {
  const nodes = [];
  let end = 0;
  for (const m of text.matchAll(INLINE)) {
    nodes.push(emoji(unescape(text.slice(end, m.index))));
    end = m.index + m[0].length;
    if (m[1] != null) nodes.push(el("pre", {}, unescape(m[1].replace(/^\n|\n$/g, ""))));
    else if (m[2] != null) nodes.push(el("code", {}, unescape(m[2])));
    else if (m[3] != null) nodes.push(reference(m[3], names));
    else nodes.push(el(m[4] != null ? "strong" : m[5] != null ? "em" : "s", {}, ...mrkdwn(m[4] ?? m[5] ?? m[6], names)));
  }
  nodes.push(emoji(unescape(text.slice(end))));
  return nodes;
}

const EMOJI = { white_check_mark: "✅", x: "❌", warning: "⚠️", question: "❓", grey_question: "❔", hourglass_flowing_sand: "⏳", no_entry: "⛔", fast_forward: "⏩", lock: "🔒", red_circle: "🔴", large_green_circle: "🟢", large_yellow_circle: "🟡", white_circle: "⚪", black_square_for_stop: "⏹️" };
export const emoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);

export function text(object, names) {
  if (!object) return [];
  if (object.type === "mrkdwn") return mrkdwn(object.text, names);
  return [object.emoji === false ? object.text : emoji(object.text)];
}

function span(element, names) {
  const style = element.style ?? {};
  let node;
  switch (element.type) {
    case "text": node = document.createTextNode(element.text); break;
    case "link": node = el("a", { href: safe(element.url), target: "_blank", rel: "noreferrer" }, element.text || element.url); break;
    case "user": node = reference("@" + element.user_id, names); break;
    case "channel": node = reference("#" + element.channel_id, names); break;
    case "usergroup": node = reference("!" + element.usergroup_id, names); break;
    case "emoji": node = document.createTextNode(emoji(`:${element.name}:`)); break;
    default: return el("span", { class: "unsupported" }, `unsupported: ${element.type}`);
  }
  for (const [name, tag] of [["bold", "strong"], ["italic", "em"], ["strike", "s"], ["code", "code"]]) if (style[name]) node = el(tag, {}, node);
  return node;
}

export function richText(block, names) {
  return block.elements.map((part) => {
    const spans = () => part.elements.map((each) => span(each, names));
    if (part.type === "rich_text_section") return el("div", { class: "text" }, ...spans());
    if (part.type === "rich_text_preformatted") return el("pre", {}, ...spans());
    if (part.type === "rich_text_quote") return el("blockquote", { class: "text" }, ...spans());
    if (part.type === "rich_text_list") return el(part.style === "ordered" ? "ol" : "ul", {}, ...part.elements.map((item) => el("li", {}, ...item.elements.map((each) => span(each, names)))));
    return el("div", { class: "unsupported" }, `unsupported: ${part.type}`);
  });
}
