// Pictures to label by keys: 1 to 9 give a class, 0 or x none of them, s skips, u undoes the last, n requests more. All
// keys given are sent as one value, so that none is lost if they come faster than runs. Needs common.js and large.js.
const SKIP = "s";

export default function (component) {
  return mounted(component, Labeller);
}

class Labeller {
  constructor(parent) {
    this.root = make("div", "labeller");
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", "Pictures to label");
    this.bar = make("div", "bar");
    this.bar.setAttribute("role", "toolbar");
    this.bar.setAttribute("aria-label", "What the chosen picture is");
    this.said = make("div", "said");
    this.said.setAttribute("aria-live", "polite");
    this.list = make("div", "list");
    this.root.append(this.bar, this.said, this.list);
    this.large = new Large(
      parent,
      (id, key) => this.trigger("pressed", { id, key }),
      (id, region) => this.trigger("searched", { id, region }),
    );
    this.large.less = false; // No search is active, so "less like this" is not offered.
    this.large.closed = (n) => this.go(n);
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    parent.append(this.root);
  }

  close() {
    this.large.leave();
  }

  update(data) {
    this.base = data.base;
    this.large.opens = data.opens;
    this.classes = data.classes;
    if (data.epoch !== this.epoch) {
      const asked = this.wanted === this.epoch; // The user requested more: keep the focus, so that keys go on working.
      this.epoch = data.epoch;
      this.items = data.cards;
      this.given = new Map(Object.entries(data.given).map(([id, key]) => [Number(id), key]));
      this.history = [];
      this.at = 0;
      this.cards = this.items.map((item, n) => this.card(item, n));
      this.list.replaceChildren(...this.cards);
      if (asked) this.go(0);
    }
    this.draw();
    reopens(this.large, this.root, (id) => (numberOf(id, this.items) < 0 ? null : this.items), this.base);
  }

  card(item, n) {
    const card = make("button", "card");
    card.type = "button";
    card.append(thumb(item.src), make("span", "note", item.note), make("span", "mark"));
    card.title = item.title;
    card.addEventListener("focus", () => this.here(n));
    card.addEventListener("click", () => this.here(n));
    card.addEventListener("dblclick", () => this.large.open(this.items, n, this.base));
    return card;
  }

  draw() {
    const had = this.bar.contains(this.root.getRootNode().activeElement);
    const at = [...this.bar.children].indexOf(this.root.getRootNode().activeElement);
    this.bar.replaceChildren(
      ...this.classes.map((one) => {
        const text = `${one.name} · ${one.count.toLocaleString("en")}`;
        return this.button(one.key, text, () => this.give(one.key), one.name);
      }),
      this.button("s", "skip", () => this.give(SKIP)),
      this.button("u", "undo", () => this.undo()),
      this.button("n", "more pictures", () => this.more()),
    );
    if (had) this.bar.children[at]?.focus();
    const names = new Map(this.classes.map((one) => [one.key, one.name]));
    this.cards.forEach((card, n) => {
      const key = this.given.get(this.items[n].id);
      const name = key === undefined ? "" : key === SKIP ? "skipped" : (names.get(key) ?? "");
      card.lastChild.textContent = name;
      card.classList.toggle("done", key !== undefined);
      card.setAttribute("aria-label", [this.items[n].title, this.items[n].note, name].filter(Boolean).join(", "));
    });
    this.here(this.at);
    const left = this.items.filter((item) => !this.given.has(item.id)).length;
    this.said.textContent =
      this.items.length === 0
        ? ""
        : left
          ? `${left} of ${this.items.length} left. Keys: ${this.classes.map((one) => one.key).join(" ")} · s skip · u undo · Enter large`
          : "All labelled. Press n for more pictures.";
  }

  button(key, text, act, label = text) {
    const made = make("button", "act");
    made.type = "button";
    made.append(make("kbd", "", key), make("span", "", text));
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  }

  here(n) {
    this.at = n;
    this.cards.forEach((card, i) => {
      card.tabIndex = i === n ? 0 : -1;
      card.classList.toggle("here", i === n);
    });
  }

  go(n) {
    if (!this.cards[n]) return;
    this.here(n);
    this.cards[n].focus();
    this.cards[n].scrollIntoView({ block: "nearest" });
  }

  give(key) {
    const item = this.items[this.at];
    if (!item) return;
    this.history.push([item.id, this.given.get(item.id)]);
    this.given.set(item.id, key);
    const order = this.items.map((_, n) => (this.at + 1 + n) % this.items.length);
    const next = order.find((n) => !this.given.has(this.items[n].id));
    this.go(next ?? this.at);
    this.tell();
  }

  undo() {
    const last = this.history.pop();
    if (!last) return;
    if (last[1] === undefined) this.given.delete(last[0]);
    else this.given.set(last[0], last[1]);
    this.go(this.items.findIndex((item) => item.id === last[0]));
    this.tell();
  }

  more() {
    this.wanted = this.epoch;
    this.trigger("more", this.epoch);
  }

  tell() {
    this.draw();
    this.setState("given", { epoch: this.epoch, given: Object.fromEntries(this.given) });
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const width = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
    const key = event.key === "x" ? "0" : event.key;
    if (step !== undefined) this.go(this.at + step);
    else if (event.key === "Enter" && event.target.closest(".card")) this.large.open(this.items, this.at, this.base);
    else if (this.classes.some((one) => one.key === key) || key === SKIP) this.give(key);
    else if (key === "u") this.undo();
    else if (key === "n") this.more();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
