// Where a line is typed: grows with it, remembers what was sent, and completes commands.
import { batched, el } from "/dom.js";

/*
 * `send(line)` is called with what was typed. `complete(text)` resolves to a list of {text, label, note}: `text` is the whole
 * line as it would be after taking that completion.
 */
export class Composer {
  #sent = [];
  #at = 0;
  #hints = [];
  #marked = -1;
  #asked = 0;

  constructor(form, { send, complete }) {
    this.form = form;
    this.field = form.querySelector("textarea");
    this.list = form.querySelector("[role=listbox]");
    this.send = send;
    this.complete = complete;
    const ask = batched(() => this.#ask());
    this.field.addEventListener("input", () => { this.form.classList.toggle("typed", !!this.field.value.trim()); ask(); });
    this.field.addEventListener("keydown", (event) => this.#key(event));
    this.field.addEventListener("blur", () => this.#show([]));
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#submit(); });
  }

  focus() {
    this.field.focus();
  }

  begin(text) {
    this.field.value = text;
    this.field.dispatchEvent(new Event("input"));
    this.focus();
  }

  #submit() {
    const line = this.field.value.trim();
    if (!line) return;
    this.#sent.push(line);
    this.#at = this.#sent.length;
    this.field.value = "";
    this.form.classList.remove("typed");
    this.#show([]);
    this.send(line);
  }

  async #ask() {
    const turn = (this.#asked += 1);
    const line = this.field.value;
    const found = this.complete && line.startsWith("/") && !line.includes("\n") ? await this.complete(line) : [];
    if (turn === this.#asked && document.activeElement === this.field) this.#show(found);
  }

  #show(hints) {
    this.#asked += 1;
    this.#hints = hints;
    this.#marked = hints.findIndex((hint) => hint.text && hint.text !== this.field.value);
    if (!this.list) return;
    this.list.hidden = !hints.length;
    this.list.replaceChildren(...hints.map((hint, index) => {
      const take = (event) => { event.preventDefault(); this.#take(index); };
      return el("li", { role: "option", id: `hint-${index}`, "aria-selected": "false", onpointerdown: take }, el("b", {}, hint.label), hint.note && el("span", { class: "quiet" }, hint.note));
    }));
    this.#mark();
  }

  #mark() {
    [...this.list.children].forEach((node, index) => node.setAttribute("aria-selected", String(index === this.#marked)));
    const node = this.list.children[this.#marked];
    node?.scrollIntoView({ block: "nearest" });
    if (node) this.field.setAttribute("aria-activedescendant", node.id);
    else this.field.removeAttribute("aria-activedescendant");
  }

  #take(index) {
    if (this.#hints[index]?.text) this.begin(this.#hints[index].text);
  }

  #key(event) {
    const open = this.#hints.length > 0;
    const { key } = event;
    if (event.isComposing) return;
    if (key === "Enter" && !event.shiftKey) this.form.requestSubmit();
    else if (key === "Tab" && open && !event.shiftKey && this.#marked >= 0) this.#take(this.#marked);
    else if (open && key === "ArrowDown") { this.#marked = (this.#marked + 1) % this.#hints.length; this.#mark(); }
    else if (open && key === "ArrowUp") { this.#marked = (this.#marked - 1 + this.#hints.length) % this.#hints.length; this.#mark(); }
    else if (open && key === "Escape") { this.#show([]); event.stopPropagation(); }
    else if (key === "ArrowUp" && this.#recalls()) this.#recall(-1);
    else if (key === "ArrowDown" && this.#at < this.#sent.length && this.#recalls()) this.#recall(1);
    else return;
    event.preventDefault();
  }

  #recalls() {
    return this.#sent.length > 0 && (!this.field.value || this.field.value === this.#sent[this.#at]);
  }

  #recall(step) {
    this.#at = Math.max(0, Math.min(this.#sent.length, this.#at + step));
    this.field.value = this.#sent[this.#at] ?? "";
    this.form.classList.toggle("typed", !!this.field.value);
  }
}
