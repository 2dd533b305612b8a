// Block Kit's interactive elements. Each gets the block it is in, itself, and the context it is shown in.
import { el, unique, unsupported } from "/dom.js";
import { combobox, menu } from "/menu.js";
import { icon } from "/icons.js";
import { image } from "/images.js";
import { link, text } from "/text.js";

/*
 * A context: `names` of people and channels, the `form` that holds what is chosen, `act(block, spec, value)` when something
 * is done, `suggest(block, spec, text)` for external selects, and `name` while an `input` block gives its label.
 */
export function element(block, spec, context) {
  const make = ELEMENTS[spec.type];
  return make ? make(block, spec, context) : unsupported(spec.type);
}

const word = (type) => type.replace("multi_", "").replaceAll("_", " ").replace(" select", "");
const label = (spec, context) => context.name ?? spec.accessibility_label ?? spec.placeholder?.text ?? word(spec.type);

// In an `input` block only `dispatch_action` tells the app of a change before the form is submitted.
function changed(block, spec, context, state) {
  context.form.set(block, spec, state);
  if (block.type !== "input" || block.dispatch_action) context.act(block, spec, state);
}

function button(block, spec, context) {
  const words = text(spec.text, context.names);
  const attributes = { class: `button ${spec.style ?? ""}`, "aria-label": spec.accessibility_label };
  if (!spec.url) return el("button", { type: "button", ...attributes, onclick: () => context.act(block, spec, {}) }, words);
  const opened = link(spec.url, words);
  opened.className = attributes.class;
  opened.addEventListener("click", () => context.act(block, spec, {}));
  return opened;
}

const entry = (option, group) => ({ label: option.text.text, description: option.description?.text, value: option.value, option, group });
const entries = (spec) => (spec.options ? spec.options.map((option) => entry(option)) : (spec.option_groups ?? []).flatMap((group) => group.options.map((option) => entry(option, group.label.text))));

function choice(options, { many, key, initial, find }) {
  return (block, spec, context) => {
    const plural = key + "s";
    const first = spec["initial_" + (many ? initial + "s" : initial)];
    const wrap = (picked) => (many ? { [plural]: picked.map((each) => each.option) } : { [key]: picked[0]?.option ?? null });
    const known = context.form.begin(block, spec, many ? { [plural]: first ?? [] } : { [key]: first ?? null });
    const now = (many ? known[plural] : [known[key]]).filter(Boolean);
    const all = options?.(spec, context) ?? [];
    const chosen = now.map((each) => all.find((one) => one.value === (each.value ?? each)) ?? entry(each));
    return combobox({
      label: label(spec, context), placeholder: spec.placeholder?.text, options: all, chosen, many, most: spec.max_selected_items, required: context.required,
      find: find && (async (typed) => {
        if (typed.length < (spec.min_query_length ?? 3)) return { error: `Type ${spec.min_query_length ?? 3} characters or more` };
        const answer = await context.suggest(block, spec, typed);
        return answer.ok ? entries(answer) : { error: answer.error };
      }),
      change: (picked) => changed(block, spec, context, wrap(picked)),
    });
  };
}

const people = (_spec, { names }) => Object.entries(names.users).map(([id, name]) => ({ label: "@" + name, value: id, option: id }));
const channels = (_spec, { names }) => Object.entries(names.channels).map(([id, name]) => ({ label: (id.startsWith("D") ? "@" : "#") + name, value: id, option: id }));

function selects(kind, options, key, initial, find) {
  return { [`${kind}_select`]: choice(options, { many: false, key, initial, find }), [`multi_${kind}_select`]: choice(options, { many: true, key, initial, find }) };
}

function overflow(block, spec, context) {
  const items = spec.options.map((option) => ({ words: option.text.text, note: option.description?.text, act: () => changed(block, spec, context, { selected_option: option }) }));
  return menu(label({ ...spec, type: "more" }, context), icon("more"), items);
}

// Checkboxes and radio buttons.
function boxes(type, many) {
  return (block, spec, context) => {
    const name = unique("box");
    const known = context.form.begin(block, spec, many ? { selected_options: spec.initial_options ?? [] } : { selected_option: spec.initial_option ?? null });
    const isOn = (option) => (many ? known.selected_options : [known.selected_option]).some((each) => each?.value === option.value);
    const group = el("div", { role: many ? "group" : "radiogroup", "aria-label": label({ ...spec, type: "choices" }, context), class: "boxes" }, spec.options.map((option, index) =>
      el("label", {}, el("input", { type, name, value: index, checked: isOn(option) }), el("span", {}, text(option.text, context.names), option.description && el("small", {}, text(option.description, context.names))))));
    group.addEventListener("change", () => {
      const picked = [...group.querySelectorAll("input:checked")].map((box) => spec.options[box.value]);
      changed(block, spec, context, many ? { selected_options: picked } : { selected_option: picked[0] ?? null });
    });
    return group;
  };
}

// What is typed: one field with a value.
function field(attributes, { key = "value", initial = "initial_value", read = (value) => value || null, shown = (value) => value ?? "", when = "input" } = {}) {
  return (block, spec, context) => {
    const known = context.form.begin(block, spec, { [key]: spec[initial] ?? null });
    const tag = spec.multiline || spec.type === "rich_text_input" ? "textarea" : "input";
    const more = { "aria-label": label(spec, context), placeholder: spec.placeholder?.text, required: context.required, minlength: spec.min_length, maxlength: spec.max_length, min: spec.min_value, max: spec.max_value };
    const control = el(tag, { ...(tag === "input" ? { ...attributes, step: spec.is_decimal_allowed ? "any" : null } : { rows: 4 }), ...more });
    control.value = shown(known[key]);
    control.addEventListener(when, () => context.form.set(block, spec, { [key]: read(control.value) }));
    const dispatch = spec.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
    if (block.type !== "input" || block.dispatch_action) {
      if (when === "change") control.addEventListener("change", () => context.act(block, spec, { [key]: read(control.value) }));
      else if (dispatch.includes("on_character_entered")) control.addEventListener("input", () => context.act(block, spec, { [key]: read(control.value) }));
      else control.addEventListener("keydown", (event) => { if (event.key === "Enter" && tag === "input") { event.preventDefault(); context.act(block, spec, { [key]: read(control.value) }); } });
    }
    return control;
  };
}

const seconds = (value) => (value ? Math.round(new Date(value).getTime() / 1000) : null);
const local = (value) => (value ? new Date(value * 1000 - new Date(value * 1000).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "");
const rich = (value) => (value ? { type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text: value }] }] } : null);
const plain = (value) => (value?.elements ?? []).flatMap((part) => part.elements ?? []).map((each) => each.text ?? "").join("");

const ELEMENTS = {
  button,
  workflow_button: button,
  icon_button: (block, spec, context) => button(block, { accessibility_label: spec.text.text, ...spec, text: { type: "plain_text", text: spec.icon === "trash" ? "🗑️" : spec.text.text } }, context),
  feedback_buttons: (block, spec, context) => el("span", { class: "actions" }, [spec.positive_button, spec.negative_button].map((each) =>
    el("button", { type: "button", class: "button", "aria-label": each.accessibility_label, onclick: () => context.act(block, spec, { value: each.value }) }, each.text.text))),
  image: (_block, spec) => image(spec.image_url, spec.alt_text, "thumb"),
  overflow,
  checkboxes: boxes("checkbox", true),
  radio_buttons: boxes("radio", false),
  ...selects("static", entries, "selected_option", "option"),
  ...selects("external", null, "selected_option", "option", true),
  ...selects("users", people, "selected_user", "user"),
  ...selects("conversations", channels, "selected_conversation", "conversation"),
  ...selects("channels", (spec, context) => channels(spec, context).filter((each) => each.value.startsWith("C")), "selected_channel", "channel"),
  datepicker: field({ type: "date" }, { key: "selected_date", initial: "initial_date", when: "change" }),
  timepicker: field({ type: "time" }, { key: "selected_time", initial: "initial_time", when: "change" }),
  datetimepicker: field({ type: "datetime-local" }, { key: "selected_date_time", initial: "initial_date_time", read: seconds, shown: local, when: "change" }),
  plain_text_input: field({ type: "text" }),
  email_text_input: field({ type: "email" }),
  url_text_input: field({ type: "url" }),
  number_input: field({ type: "number" }),
  rich_text_input: field({}, { key: "rich_text_value", initial: "initial_value", read: rich, shown: plain }),
};
