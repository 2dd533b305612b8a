// What is broken at the moment, and breaking more.
import { $, el, unique } from "/dom.js";
import { dialog } from "/dialogs.js";
import { get, post } from "/server.js";

const MOST = 8;
let known = [];

// Draws the panel beside the channels, and the badge above them.
export async function showFaults() {
  const answer = await get("faults");
  known = answer.faults ?? [];
  const broken = answer.broken ?? [];
  const added = broken.filter((each) => !each.on_purpose);
  const rest = broken.length - MOST;
  $("broken").replaceChildren(...[...added, ...broken.filter((each) => each.on_purpose)].slice(0, MOST).map(row));
  if (rest > 0) $("broken").append(el("li", { class: "whole" }, `and ${rest} more`));
  if (!broken.length) $("broken").append(el("li", { class: "whole" }, "Nothing is broken."));
  $("heal").hidden = broken.length < 2;
  $("badge").hidden = !added.length;
  $("badge").textContent = `⚠ ${added.length} broken`;
  return broken;
}

function row(each) {
  return el("li", {}, el("span", {}, each.says), el("button", { type: "button", "aria-label": `Heal: ${each.says}`, onclick: () => post("faults", each.heal).then(showFaults) }, "Heal"));
}

export const healAll = () => post("faults", { fault: "heal" }).then(showFaults);

export function breakSomething() {
  const told = el("output", { class: "told" });
  const forms = known.map((fault) => form(fault, told));
  dialog("Break something", { kind: "faults" }, el("p", { class: "quiet" }, "Everything here can be healed again, and none of it is real."), el("div", { class: "body" }, forms), el("footer", {}, told));
}

function form(fault, told) {
  const fields = fault.fields.map((each) => field(each));
  const node = el("form", { class: "fault", "aria-label": fault.title }, el("div", { class: "what" }, el("b", {}, fault.title), el("small", {}, fault.says)), fields, el("button", { class: "button" }, "Break"));
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = Object.fromEntries([...new FormData(node)].filter(([, value]) => value !== ""));
    const answer = await post("faults", { fault: fault.name, ...body });
    told.textContent = answer.ok ? `Done: ${fault.title}.` : answer.error;
    told.classList.toggle("error", !answer.ok);
    showFaults();
  });
  return node;
}

function field(each) {
  if (each.choices?.length && each.choices.length <= 100) return el("label", {}, el("span", {}, each.label), el("select", { name: each.name }, each.choices.map((choice) => el("option", { value: choice.value }, choice.label))));
  const id = unique("choices");
  const list = el("datalist", { id }, (each.choices ?? []).slice(0, 1000).map((choice) => el("option", { value: choice.value }, choice.label)));
  return el("label", {}, el("span", {}, each.label), el("input", { name: each.name, list: each.choices?.length ? id : null, value: each.value || each.choices?.[0]?.value, type: each.kind === "number" ? "number" : "text", min: each.kind === "number" ? 1 : null, autocomplete: "off" }), list);
}
