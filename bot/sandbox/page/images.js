// Images. One from elsewhere is not asked for, since no request leaves this machine: its description is shown instead.
import { el } from "/dom.js";

export function image(url, alt, kind) {
  const ours = url && (url.startsWith("data:image/") || new URL(url, location.href).origin === location.origin);
  if (ours) return el("img", { src: url, alt, class: kind });
  return el("span", { class: `picture ${kind}`, role: "img", "aria-label": alt, title: url ?? "" }, kind === "thumb" ? "🖼️" : `🖼️ ${alt}`);
}
