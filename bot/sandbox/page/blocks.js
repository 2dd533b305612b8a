// Block Kit's blocks as DOM nodes. What is not known is said, not hidden.
import { el, unsupported } from "/dom.js";
import { element } from "/elements.js";
import { image } from "/images.js";
import { markdown } from "/markdown.js";
import { dataTable, table } from "/tables.js";
import { richText, text } from "/text.js";

export function blocks(list, context) {
  return list.map((block) => el("div", { class: `block ${block.type}` }, BLOCKS[block.type]?.(block, context) ?? unsupported(block.type)));
}

function section(block, context) {
  const words = block.text && el("div", { class: "text" }, text(block.text, context.names));
  const fields = block.fields && el("div", { class: "fields" }, block.fields.map((field) => el("div", { class: "text" }, text(field, context.names))));
  return [el("div", { class: "words" }, words, fields), block.accessory && el("div", { class: "accessory" }, element(block, block.accessory, context))];
}

function small(block, { names }) {
  return block.elements.map((each) => (each.type === "image" ? image(each.image_url, each.alt_text, "tiny") : el("span", { class: "text" }, text(each, names))));
}

function picture(block, { names }) {
  return el("figure", {}, block.title && el("figcaption", {}, text(block.title, names)), image(block.image_url ?? block.slack_file?.url, block.alt_text, "wide"));
}

function input(block, context) {
  const name = block.label.text;
  const control = element(block, block.element, { ...context, name, required: !block.optional });
  // The control itself is named by the label's words; the visible label focuses it.
  const focus = () => (control.matches("input, textarea") ? control : control.querySelector("input"))?.focus();
  return [
    el("div", { class: "label", onclick: focus }, text(block.label, context.names), block.optional && el("span", { class: "quiet" }, " (optional)")),
    control,
    block.hint && el("div", { class: "quiet hint" }, text(block.hint, context.names)),
    el("div", { class: "error", role: "alert", "data-error": block.block_id }),
  ];
}

function container(block, context) {
  const title = [block.rich_text_title ? richText(block.rich_text_title, context.names) : el("span", {}, text(block.title, context.names)), block.subtitle && el("small", {}, text(block.subtitle, context.names))];
  const inside = el("div", { class: "inside" }, blocks(block.child_blocks, context));
  if (!block.is_collapsible) return el("div", { class: "box" }, el("div", { class: "title" }, title), inside);
  return el("details", { class: "box", open: !block.default_collapsed }, el("summary", { class: "title" }, title), inside);
}

const STATUS = { pending: ["○", "pending"], in_progress: ["◐", "in progress"], complete: ["✓", "complete"], error: ["✕", "error"] };

function task(block, { names }) {
  const [sign, words] = STATUS[block.status ?? "pending"] ?? ["○", block.status];
  const head = [el("span", { class: `sign ${block.status}`, role: "img", "aria-label": words }, sign), el("span", {}, block.title)];
  const inside = [block.details && richText(block.details, names), block.output && richText(block.output, names), (block.sources ?? []).map((source) => el("div", { class: "quiet" }, source.text ?? source.url))].flat().filter(Boolean);
  if (!inside.length) return el("div", { class: "task" }, head);
  return el("details", { class: "task" }, el("summary", {}, head), el("div", { class: "inside" }, inside));
}

function card(block, context) {
  return el("div", { class: "box" },
    block.title && el("div", { class: "title" }, text(block.title, context.names)),
    block.subtitle && el("div", { class: "quiet" }, text(block.subtitle, context.names)),
    block.body && el("div", { class: "text" }, text(block.body, context.names)),
    block.subtext && el("div", { class: "quiet" }, text(block.subtext, context.names)),
    block.actions && el("div", { class: "actions" }, [block.actions].flat().map((each) => element(block, each, context))));
}

const actions = (block, context) => block.elements.map((each) => element(block, each, context));
const LEVELS = { info: "ℹ️", warning: "⚠️", error: "❌", success: "✅" };

const BLOCKS = {
  header: (block, { names }) => el("h3", {}, text(block.text, names)),
  divider: () => el("hr"),
  section,
  context: small,
  actions,
  context_actions: actions,
  rich_text: (block, { names }) => richText(block, names),
  image: picture,
  input,
  table,
  data_table: dataTable,
  markdown: (block) => markdown(block.text),
  file: (block) => el("span", { class: "quiet" }, `📎 a remote file, ${block.external_id}`),
  container,
  plan: (block, context) => el("div", { class: "box" }, el("div", { class: "title" }, block.title), (block.tasks ?? []).map((each) => task(each, context))),
  task_card: task,
  alert: (block, { names }) => el("div", { class: `note ${block.level ?? ""}`, role: "note" }, LEVELS[block.level] ? LEVELS[block.level] + " " : "", text(block.text, names)),
  card,
};
