// The `markdown` block: the common part of Markdown, as DOM nodes.
import { el } from "/dom.js";
import { emoji } from "/emoji.js";
import { link } from "/text.js";

const INLINE = /`([^`]+)`|\[([^\]]+)\]\(([^)\s]+)\)|\*\*(.+?)\*\*|__(.+?)__|~~(.+?)~~|(?<![\w*])\*([^*]+)\*(?![\w*])|(?<![\w_])_([^_]+)_(?![\w_])/g;

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const m of text.matchAll(INLINE)) {
    nodes.push(emoji(text.slice(end, m.index)));
    end = m.index + m[0].length;
    if (m[1] != null) nodes.push(el("code", {}, m[1]));
    else if (m[2] != null) nodes.push(link(m[3], inline(m[2])));
    else if (m[6] != null) nodes.push(el("s", {}, inline(m[6])));
    else if (m[4] ?? m[5]) nodes.push(el("strong", {}, inline(m[4] ?? m[5])));
    else nodes.push(el("em", {}, inline(m[7] ?? m[8])));
  }
  nodes.push(emoji(text.slice(end)));
  return nodes;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());

// Each kind of paragraph: how it begins, and what its lines become.
const KINDS = [
  [/^```/, (lines) => el("pre", { tabindex: 0 }, lines.slice(1, lines.length > 1 && lines.at(-1).startsWith("```") ? -1 : undefined).join("\n"))],
  [/^#{1,6} /, ([line]) => el("p", { class: "heading" }, inline(line.replace(/^#+ /, "")))],
  [/^ {0,3}(-{3,}|\*{3,})$/, () => el("hr")],
  [/^> ?/, (lines) => el("blockquote", { class: "text" }, inline(lines.map((line) => line.replace(/^> ?/, "")).join("\n")))],
  [/^\s*[-*+] /, (lines) => el("ul", {}, lines.map((line) => el("li", {}, inline(line.replace(/^\s*[-*+] (\[[ x]\] )?/, (_, box) => (box ? (box[1] === "x" ? "☑ " : "☐ ") : "")))))) ],
  [/^\s*\d+[.)] /, (lines) => el("ol", {}, lines.map((line) => el("li", {}, inline(line.replace(/^\s*\d+[.)] /, "")))))],
  [/^\|/, (lines) => table(lines)],
];

function table([head, ruler, ...rows]) {
  if (!/^[|:\s-]+$/.test(ruler ?? "")) return el("div", { class: "text" }, [head, ruler, ...rows].filter(Boolean).join("\n"));
  return el("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": "Table" }, el("table", {},
    el("thead", {}, el("tr", {}, cells(head).map((cell) => el("th", { scope: "col" }, inline(cell))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, cells(row).map((cell) => el("td", {}, inline(cell))))))));
}

export function markdown(text) {
  const nodes = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length;) {
    const start = at;
    const kind = KINDS.find(([begins]) => begins.test(lines[at]));
    at += 1;
    if (!kind) {
      while (at < lines.length && lines[at].trim() && !KINDS.some(([begins]) => begins.test(lines[at]))) at += 1;
      if (lines[start].trim()) nodes.push(el("div", { class: "text" }, inline(lines.slice(start, at).join("\n"))));
      continue;
    }
    const [begins, make] = kind;
    if (lines[start].startsWith("```")) {
      const closing = lines.findIndex((line, index) => index > start && line.startsWith("```"));
      at = closing < 0 ? lines.length : closing + 1;
    } else if (!/^#|^ {0,3}[-*]{3,}$/.test(lines[start])) {
      while (at < lines.length && begins.test(lines[at])) at += 1;
    }
    nodes.push(make(lines.slice(start, at)));
  }
  return nodes;
}
