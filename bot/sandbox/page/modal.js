// The modal that is on top of a person's stack of views.
import { el } from "/dom.js";
import { blocks } from "/blocks.js";
import { confirmed, dialog } from "/dialogs.js";
import { Form } from "/form.js";
import { icon } from "/icons.js";
import { post } from "/server.js";

let shown = null; // {id, hash, node}
const forms = new Map(); // what was filled in, by view: one that was covered by another comes back as it was

// `views` is the stack, its top last; `again` asks for the state, when something was done.
export function showViews(views, { user, names, suggest, again, complain }) {
  const view = views.filter((each) => each.type !== "home").at(-1);
  if (shown && shown.id === view?.id && shown.hash === view.hash) return;
  const before = shown;
  shown = null;
  before?.node.close();
  if (!view) return forms.clear();
  if (!forms.has(view.id)) forms.set(view.id, new Form());
  const form = forms.get(view.id);

  const act = (_block, spec, value) => confirmed(spec.confirm, names, async () => {
    const answer = await post("clicks", { user, view_id: view.id, action_id: spec.action_id, block_id: _block.block_id, state: { values: form.json() }, ...value });
    if (!answer.ok) complain(answer.error);
    again();
  });
  const dismiss = async (all = false) => { await post("closes", { user, view_id: view.id, ...(all ? { all } : {}) }); again(); };
  const context = { names, form, act, suggest: (block, spec, value) => suggest({ view_id: view.id, block_id: block.block_id, action_id: spec.action_id, value }) };

  const body = el("div", { class: "body" }, blocks(view.blocks, context));
  const submit = view.submit && el("button", { class: "button primary" }, view.submit.text);
  const fields = el("form", { novalidate: true }, body,
    el("footer", {}, el("button", { type: "button", class: "button", onclick: () => dismiss() }, view.close?.text ?? (submit ? "Cancel" : "Close")), submit));
  fields.addEventListener("submit", (event) => { event.preventDefault(); send(); });

  async function send() {
    if (!complete(view, form, fields)) return;
    submit.disabled = true;
    const answer = await post("submissions", { user, view_id: view.id, values: form.json() });
    submit.disabled = false;
    show(fields, answer.ok ? answer.errors ?? {} : { "": answer.error });
    again();
  }

  const node = dialog(view.title.text, { kind: "view", closed: () => { if (shown?.node === node) { shown = null; dismiss(); } } }, fields);
  if (views.length > 1) node.querySelector("header").prepend(el("button", { type: "button", class: "plain", "aria-label": "Back", onclick: () => dismiss() }, icon("back")));
  shown = { id: view.id, hash: view.hash, node };
  node.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) fields.requestSubmit(); });
  body.querySelector("input, textarea, button")?.focus();
}

// What Slack itself asks for before it sends a form to the app.
function complete(view, form, fields) {
  const errors = {};
  for (const block of view.blocks.filter((each) => each.type === "input")) {
    const { type, ...state } = form.json()[block.block_id]?.[block.element.action_id] ?? {};
    const value = Object.values(state)[0];
    const control = fields.querySelector(`[data-error="${CSS.escape(block.block_id)}"]`)?.parentElement.querySelector("input, textarea");
    if (!block.optional && type && (value == null || value === "" || value.length === 0)) errors[block.block_id] = "Please complete this required field.";
    else if (control && !control.validity.valid) errors[block.block_id] = control.validationMessage;
  }
  show(fields, errors);
  return !Object.keys(errors).length;
}

function show(fields, errors) {
  const places = [...fields.querySelectorAll("[data-error]")];
  for (const place of places) {
    place.textContent = errors[place.dataset.error] ?? "";
    const control = place.parentElement.querySelector("input, textarea");
    if (place.textContent) control?.setAttribute("aria-invalid", "true");
    else control?.removeAttribute("aria-invalid");
  }
  fields.querySelector(".general")?.remove();
  const known = new Set(places.map((place) => place.dataset.error));
  const rest = Object.entries(errors).filter(([block]) => !known.has(block)).map(([, words]) => words);
  if (rest.length) fields.querySelector(".body").prepend(el("div", { class: "error general", role: "alert" }, rest.join(" ")));
  fields.querySelector('[aria-invalid="true"]')?.focus();
}

