// The page's own icons, drawn, so that they look alike whatever fonts there are. They say nothing by themselves: buttons carry names.
const SHAPES = {
  thread: "M3 4h14v9H9l-4 3.5V13H3z M6.5 7.5h7 M6.5 10h4.5",
  braces: "M7.5 3.5c-2 0-2.5 1-2.5 2.5v2c0 1.2-.6 2-2 2 1.4 0 2 .8 2 2v2c0 1.5.5 2.5 2.5 2.5 M12.5 3.5c2 0 2.5 1 2.5 2.5v2c0 1.2.6 2 2 2-1.4 0-2 .8-2 2v2c0 1.5-.5 2.5-2.5 2.5",
  lock: "M5 9h10v8H5z M7 9V6.5a3 3 0 0 1 6 0V9",
  hash: "M8 3 6.5 17 M13.5 3 12 17 M3.5 7.5h13.5 M3 12.5h13.5",
  person: "M10 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z M4 17c0-3.5 2.5-5.5 6-5.5s6 2 6 5.5z",
  shield: "M10 2.5 16.5 5v4.5c0 4-2.7 6.7-6.5 8-3.8-1.3-6.5-4-6.5-8V5z M7 9.8l2.2 2.2 4-4.3",
  send: "M3 10 17 3.5 13.5 17 10 11.5z M10 11.5 17 3.5",
  close: "M5 5l10 10 M15 5 5 15",
  menu: "M3 5.5h14 M3 10h14 M3 14.5h14",
  back: "M11.5 4.5 6 10l5.5 5.5 M6 10h11",
  keys: "M2.5 5h15v10h-15z M5.5 8h.01 M8.5 8h.01 M11.5 8h.01 M14.5 8h.01 M6 12h8",
  gear: "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6z M10 2v3 M10 15v3 M2 10h3 M15 10h3 M4.3 4.3l2.1 2.1 M13.6 13.6l2.1 2.1 M4.3 15.7l2.1-2.1 M13.6 6.4l2.1-2.1",
  eye: "M2 10c2-3.7 4.7-5.5 8-5.5s6 1.8 8 5.5c-2 3.7-4.7 5.5-8 5.5S4 13.7 2 10z M10 12.3a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6z",
  file: "M5 2.5h6.5L15 6v11.5H5z M11.5 2.5V6H15 M7.5 10h5 M7.5 13h5",
  more: "M4.5 10h.01 M10 10h.01 M15.5 10h.01",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

// Buttons of the page itself that carry `data-icon`.
export function drawIcons() {
  for (const node of document.querySelectorAll("[data-icon]")) node.append(icon(node.dataset.icon));
}
