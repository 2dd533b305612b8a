// Making nodes. Nothing is ever parsed as HTML.
export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

export const unsupported = (what) => el("span", { class: "unsupported" }, `unsupported: ${what}`);

let last = 0;
export const unique = (prefix) => `${prefix}-${++last}`;

// Several calls in one frame are one.
export function batched(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    setTimeout(() => { asked = false; work(); }, 16);
  };
}

// Up and down through what can be focused in a list; returns whether the key was one of these.
export function arrows(event, nodes) {
  const step = { ArrowDown: 1, ArrowUp: -1, Home: -nodes.length, End: nodes.length }[event.key];
  const at = nodes.indexOf(document.activeElement);
  if (!step || at < 0) return false;
  event.preventDefault();
  nodes[Math.max(0, Math.min(nodes.length - 1, at + step))].focus();
  return true;
}
