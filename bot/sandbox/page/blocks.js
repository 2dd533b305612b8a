// Block Kit as DOM nodes. `act(element, value)` is called when something is clicked or chosen.
import { el, richText, text } from "/text.js";

export function blocks(list, context) {
  return list.map((block) => el("div", { class: `block ${block.type}` }, ...one(block, context)));
}

function one(block, context) {
  const { names, act } = context;
  switch (block.type) {
    case "header": return [el("div", {}, ...text(block.text, names))];
    case "divider": return [el("hr")];
    case "section": return [
      block.text && el("div", { class: "text" }, ...text(block.text, names)),
      block.fields && el("div", { class: "fields" }, ...block.fields.map((field) => el("div", { class: "text" }, ...text(field, names)))),
      block.accessory && element(block.accessory, names, act),
    ].filter(Boolean);
    case "context": return [el("div", { class: "text" }, ...block.elements.flatMap((each) => (each.type === "image" ? [`[${each.alt_text}] `] : [...text(each, names), " "])))];
    case "actions": return block.elements.map((each) => element(each, names, act));
    case "rich_text": return richText(block, names);
    case "input": return [input(block, context)];
    default: return [el("div", { class: "unsupported" }, `unsupported block: ${block.type}`)];
  }
}

function element(spec, names, act) {
  switch (spec.type) {
    case "button":
      if (spec.url) return el("a", { href: spec.url, target: "_blank", rel: "noreferrer" }, el("span", {}, ...text(spec.text, names)));
      return el("button", { type: "button", class: spec.style, "aria-label": spec.accessibility_label, onclick: () => act(spec, {}) }, ...text(spec.text, names));
    case "static_select": case "overflow": {
      const options = spec.options ?? spec.option_groups.flatMap((group) => group.options);
      const select = el("select", { "aria-label": spec.placeholder?.text ?? spec.action_id }, el("option", { value: "" }, spec.placeholder?.text ?? "…"),
        ...options.map((option, index) => el("option", { value: index }, option.text.text)));
      select.addEventListener("change", () => select.value !== "" && act(spec, { selected_option: options[select.value] }));
      return select;
    }
    default: return el("span", { class: "unsupported" }, `unsupported element: ${spec.type}`);
  }
}

function input(block, { names }) {
  const spec = block.element;
  const id = `${block.block_id}/${spec.action_id}`;
  const choices = (entries, chosen) => el("select", { name: id, required: !block.optional }, el("option", { value: "" }, spec.placeholder?.text ?? "Choose…"),
    ...entries.map(([value, label]) => el("option", { value, selected: value === chosen }, label)));
  let control;
  switch (spec.type) {
    case "plain_text_input": control = spec.multiline ? el("textarea", { name: id, rows: 4 }, spec.initial_value ?? "") : el("input", { name: id, value: spec.initial_value ?? "", required: !block.optional }); break;
    case "email_text_input": control = el("input", { name: id, type: "email", value: spec.initial_value ?? "", required: !block.optional }); break;
    case "static_select": case "radio_buttons": control = choices(spec.options.map((option, index) => [String(index), option.text.text]), String(spec.options.findIndex((o) => o.value === spec.initial_option?.value))); break;
    case "conversations_select": case "channels_select": control = choices(Object.entries(names.channels).map(([key, name]) => [key, "#" + name]), spec.initial_conversation ?? spec.initial_channel); break;
    case "users_select": control = choices(Object.entries(names.users).map(([key, name]) => [key, "@" + name]), spec.initial_user); break;
    case "checkboxes": case "multi_static_select": control = el("select", { name: id, multiple: true }, ...spec.options.map((option, index) => el("option", { value: index, selected: (spec.initial_options ?? []).some((o) => o.value === option.value) }, option.text.text))); break;
    default: control = el("span", { class: "unsupported" }, `unsupported element: ${spec.type}`);
  }
  return el("label", {}, el("span", {}, ...text(block.label, names)), control, block.hint && el("span", { class: "quiet" }, ...text(block.hint, names)), el("span", { class: "error", "data-error": block.block_id }));
}

// What Slack sends as `state.values` for a form made of `input` blocks.
export function values(list, form) {
  const found = {};
  for (const block of list.filter((each) => each.type === "input")) {
    const spec = block.element;
    const control = form.elements[`${block.block_id}/${spec.action_id}`];
    if (!control) continue;
    const value = control.value || null;
    const state = { type: spec.type };
    if (["static_select", "radio_buttons"].includes(spec.type)) state.selected_option = value === null ? null : spec.options[value];
    else if (["checkboxes", "multi_static_select"].includes(spec.type)) state.selected_options = [...control.selectedOptions].map((o) => spec.options[o.value]);
    else if (spec.type === "conversations_select") state.selected_conversation = value;
    else if (spec.type === "channels_select") state.selected_channel = value;
    else if (spec.type === "users_select") state.selected_user = value;
    else state.value = value;
    found[block.block_id] = { [spec.action_id]: state };
  }
  return found;
}
