// Choosing from a list: a combobox that filters as one types (for selects), and a menu behind a button (for overflow).
import { arrows, el, unique } from "/dom.js";

// Puts a popover below what opened it, or above where there is more room. Fixed, so that nothing else moves.
export function beside(popover, anchor) {
  const box = anchor.getBoundingClientRect();
  popover.showPopover();
  const below = innerHeight - box.bottom > Math.min(popover.offsetHeight + 8, box.top);
  popover.style.minWidth = `${Math.min(box.width, innerWidth - 16)}px`;
  popover.style.left = `${Math.max(8, Math.min(box.left, innerWidth - popover.offsetWidth - 8))}px`;
  popover.style.maxHeight = `${Math.max(120, (below ? innerHeight - box.bottom : box.top) - 12)}px`;
  popover.style.top = below ? `${box.bottom + 4}px` : "auto";
  popover.style.bottom = below ? "auto" : `${innerHeight - box.top + 4}px`;
}

/*
 * `options` is a list of {label, description, group, value}, or `find(text)` resolves to one.
 * `chosen` are values of options; `change(options)` is called with what is chosen after each choice.
 */
export function combobox({ label, placeholder, options, find, chosen = [], many = false, most = Infinity, change, required }) {
  const id = unique("list");
  let picked = [...chosen];
  let shown = [];
  let active = -1;
  let asked = 0;
  const input = el("input", {
    role: "combobox", "aria-label": label, "aria-expanded": "false", "aria-controls": id, "aria-autocomplete": "list", "aria-required": required ? "true" : null,
    autocomplete: "off", spellcheck: "false", placeholder: placeholder ?? "Choose…",
  });
  const list = el("ul", { id, role: "listbox", popover: "manual", class: "menu", "aria-label": label, "aria-multiselectable": many ? "true" : null });
  const chips = many ? el("span", { class: "chips" }) : null;
  const root = el("span", { class: many ? "select many" : "select" }, chips, input, list);

  const isOpen = () => list.matches(":popover-open");
  const isPicked = (option) => picked.some((each) => each.value === option.value);
  const settle = () => {
    input.value = many ? "" : picked[0]?.label ?? "";
    if (many) chips.replaceChildren(...picked.map((option) => el("button", { type: "button", class: "chip", "aria-label": `Remove ${option.label}`, onclick: () => pick(option) }, option.label, " ✕")));
  };

  async function open(text) {
    const turn = (asked += 1);
    if (find) {
      list.replaceChildren(el("li", { class: "quiet", role: "option", "aria-disabled": "true" }, "Asking the app…"));
      show();
    }
    const found = find ? await find(text) : options.filter((option) => option.label.toLowerCase().includes(text.toLowerCase()));
    if (turn !== asked) return;
    shown = found.error ? [] : found.slice(0, 100);
    fill(found.error ?? "Nothing found");
    show();
  }

  function show() {
    if (document.activeElement !== input) return;
    beside(list, root);
    input.setAttribute("aria-expanded", "true");
  }

  function fill(none) {
    let group;
    const nodes = shown.flatMap((option, index) => {
      const item = el("li", { role: "option", id: `${id}-${index}`, "aria-selected": String(isPicked(option)), onpointerdown: (event) => { event.preventDefault(); pick(option); } },
        el("span", {}, option.label), option.description && el("small", {}, option.description));
      if (!option.group || option.group === group) return [item];
      group = option.group;
      return [el("li", { class: "group", role: "presentation" }, group), item];
    });
    list.replaceChildren(...(nodes.length ? nodes : [el("li", { class: "quiet", role: "option", "aria-disabled": "true" }, none)]));
    mark(shown.findIndex(isPicked) >= 0 ? shown.findIndex(isPicked) : 0);
  }

  function mark(index) {
    active = shown.length ? (index + shown.length) % shown.length : -1;
    for (const node of list.querySelectorAll(".active")) node.classList.remove("active");
    const node = document.getElementById(`${id}-${active}`);
    node?.classList.add("active");
    node?.scrollIntoView({ block: "nearest" });
    if (node) input.setAttribute("aria-activedescendant", node.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function close() {
    asked += 1;
    if (isOpen()) list.hidePopover();
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    settle();
  }

  function pick(option) {
    if (many) picked = isPicked(option) ? picked.filter((each) => each.value !== option.value) : picked.length < most ? [...picked, option] : picked;
    else picked = [option];
    close();
    change(picked);
  }

  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => { if (!isOpen()) open(find ? input.value : ""); });
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (isOpen()) mark(active + (event.key === "ArrowDown" ? 1 : -1));
      else open("");
    } else if (event.key === "Enter" && isOpen() && active >= 0) {
      event.preventDefault();
      pick(shown[active]);
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (event.key === "Backspace" && many && !input.value && picked.length) pick(picked.at(-1));
  });
  settle();
  return root;
}

export function menu(label, face, items) {
  const id = unique("menu");
  const list = el("div", { id, role: "menu", popover: "auto", class: "menu", "aria-label": label },
    items.map(({ words, note, act }) => el("button", { type: "button", role: "menuitem", tabindex: -1, onclick: () => { list.hidePopover(); act(); } }, words, note && el("small", {}, note))));
  const button = el("button", { type: "button", "aria-label": label, "aria-haspopup": "menu", "aria-expanded": "false", "aria-controls": id }, face);
  button.addEventListener("click", () => { beside(list, button); list.firstElementChild?.focus(); });
  list.addEventListener("toggle", (event) => {
    button.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState !== "open" && list.contains(document.activeElement)) button.focus();
  });
  list.addEventListener("keydown", (event) => {
    arrows(event, [...list.children]);
    if (event.key === "Escape") { event.stopPropagation(); button.focus(); }
  });
  return el("span", { class: "select" }, button, list);
}
