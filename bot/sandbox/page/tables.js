// Tables, and data tables, which sort and turn pages.
import { el, unique } from "/dom.js";
import { richText } from "/text.js";

const content = (cell, names) => (cell?.type === "rich_text" ? richText(cell, names) : String(cell?.text ?? cell?.value ?? ""));
const plain = (cell) => (cell?.type === "rich_text" ? cell.elements.flatMap((part) => part.elements ?? []).map((each) => each.text ?? "").join("") : String(cell?.text ?? cell?.value ?? ""));
const scroller = (label, ...inside) => el("div", { class: "scroller", role: "group", "aria-label": label, tabindex: 0 }, ...inside);

export function table(block, { names }) {
  const settings = block.column_settings ?? [];
  const looks = (index) => `${settings[index]?.align ?? "left"} ${settings[index]?.is_wrapped ? "wrapped" : ""}`;
  const [head, ...rows] = block.rows;
  return scroller("Table", el("table", {},
    el("thead", {}, el("tr", {}, head.map((cell, index) => el("th", { scope: "col", class: looks(index) }, content(cell, names))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, index) => el("td", { class: looks(index) }, content(cell, names))))))));
}

export function dataTable(block, { names }) {
  const [head, ...rows] = block.rows;
  const size = block.page_size ?? 5;
  const header = block.row_header_column_index ?? 0;
  const isNumber = head.map((_, index) => rows.length && rows.every((row) => row[index]?.type === "raw_number"));
  const caption = unique("caption");
  let page = 0;
  let by = { column: -1, down: false };
  const root = el("div", { class: "data-table" });

  const sorted = () => by.column < 0 ? rows : [...rows].sort((a, b) => {
    const order = plain(a[by.column]).localeCompare(plain(b[by.column]), undefined, { numeric: true });
    return by.down ? -order : order;
  });
  const sort = (column) => { by = { column, down: by.column === column && !by.down }; page = 0; draw(`sort-${column}`); };
  const turn = (step) => { page += step; draw(step > 0 ? "next" : "previous"); };

  function draw(focus) {
    const pages = Math.max(1, Math.ceil(rows.length / size));
    const order = (index) => (by.column !== index ? null : by.down ? "descending" : "ascending");
    root.replaceChildren(
      el("div", { class: "caption", id: caption }, block.caption),
      scroller(block.caption || "Table", el("table", { "aria-labelledby": caption },
        el("thead", {}, el("tr", {}, head.map((cell, index) => el("th", { scope: "col", "aria-sort": order(index), class: isNumber[index] ? "right" : "" },
          el("button", { type: "button", "data-key": `sort-${index}`, onclick: () => sort(index) }, content(cell, names), el("span", { "aria-hidden": "true" }, { ascending: " ↑", descending: " ↓" }[order(index)] ?? "")))))),
        el("tbody", {}, sorted().slice(page * size, (page + 1) * size).map((row) => el("tr", {}, row.map((cell, index) =>
          el(index === header ? "th" : "td", { scope: index === header ? "row" : null, class: isNumber[index] ? "right" : "" }, content(cell, names)))))))),
      pages > 1 && el("div", { class: "pages" },
        el("button", { type: "button", class: "button", "data-key": "previous", disabled: page === 0, onclick: () => turn(-1) }, "Previous"),
        el("span", { class: "quiet" }, `${page * size + 1}–${Math.min(rows.length, (page + 1) * size)} of ${rows.length}`),
        el("button", { type: "button", class: "button", "data-key": "next", disabled: page === pages - 1, onclick: () => turn(1) }, "Next")));
    if (focus) root.querySelector(`[data-key="${focus}"]:not(:disabled)`)?.focus();
  }
  draw();
  return root;
}
