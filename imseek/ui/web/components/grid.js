// A listbox of pictures. Streamlit calls this again on every run, with new data; what must outlive a run is kept by the
// element that the grid is in.
const kept = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  let grid = kept.get(parentElement);
  if (!grid) {
    grid = new Grid(parentElement);
    kept.set(parentElement, grid);
  }
  grid.setState = setStateValue;
  grid.trigger = setTriggerValue;
  grid.update(data);
}

class Grid {
  constructor(parent) {
    this.selected = new Set();
    this.cards = [];
    this.at = 0; // The card that Tab leads to.
    this.drawn = "";
    this.root = document.createElement("div");
    this.root.className = "grid";
    this.root.setAttribute("role", "listbox");
    this.root.setAttribute("aria-multiselectable", "true");
    this.root.setAttribute("aria-label", "Pictures");
    this.root.addEventListener("click", (event) => this.clicked(event));
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.large = new Large(parent, (id, key) => this.trigger("pressed", { id, key }));
    this.large.closed = (n) => this.cards[n]?.focus();
    this.root.addEventListener("focusin", (event) => {
      const n = this.cards.indexOf(event.target.closest(".card"));
      if (n >= 0) this.rove(n);
    });
    parent.appendChild(this.root);
  }

  update(data) {
    if (data.epoch !== this.epoch) {
      const before = this.epoch;
      this.epoch = data.epoch;
      this.selected = new Set(data.selected);
      if (before !== undefined) this.tell(true);
    }
    this.letters = new Set(data.letters);
    this.base = data.base;
    this.root.style.setProperty("--side", `${data.side}px`);
    const drawn = JSON.stringify([data.cards, data.rule_after, data.rule]);
    if (drawn === this.drawn) return; // Focus and scrolling stay as they are.
    this.drawn = drawn;
    const before = this.items?.[this.at]?.id;
    this.items = data.cards;
    this.cards = data.cards.map((item, n) => this.card(item, n));
    const parts = [...this.cards];
    if (data.rule_after !== null && data.rule_after < parts.length) {
      const rule = make("div", "rule", data.rule);
      rule.setAttribute("role", "separator");
      parts.splice(data.rule_after, 0, rule);
    }
    const focused = this.root.contains(this.root.getRootNode().activeElement);
    this.root.replaceChildren(...parts);
    const same = this.items.findIndex((item) => item.id === before);
    this.rove(same < 0 ? 0 : same);
    if (focused && this.cards.length) this.cards[this.at].focus();
    this.tell(false);
  }

  card(item) {
    const card = make("div", item.faint ? "card faint" : "card");
    card.setAttribute("role", "option");
    card.setAttribute("aria-label", [item.title, item.note, item.mark].filter(Boolean).join(", "));
    card.tabIndex = -1;
    const frame = make("div", "frame");
    const image = document.createElement("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = item.alt;
    image.addEventListener("error", () => image.replaceWith(make("div", "gone", "no picture here any more")));
    image.src = item.src;
    frame.append(image);
    const tick = make("button", "tick", "✓");
    tick.type = "button";
    tick.tabIndex = -1;
    tick.setAttribute("aria-label", `Select ${item.title}`);
    frame.append(tick);
    if (item.mark) frame.append(make("span", "mark", item.mark));
    card.append(frame, make("div", "title", item.title));
    card.lastChild.title = item.title;
    if (item.note) card.append(make("div", "note", item.note));
    return card;
  }

  rove(n) {
    if (!this.cards.length) return;
    if (this.cards[this.at]) this.cards[this.at].tabIndex = -1;
    this.at = n;
    this.cards[n].tabIndex = 0;
  }

  clicked(event) {
    const card = event.target.closest(".card");
    const n = this.cards.indexOf(card);
    if (n < 0) return;
    if (event.shiftKey) this.range(n);
    else if (event.target.closest(".tick") || event.ctrlKey || event.metaKey) this.toggle(n);
    else {
      card.focus();
      return this.open(n);
    }
    card.focus();
  }

  pressed(event) {
    const n = this.at;
    const columns = getComputedStyle(this.root).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (event.key in steps) {
      const to = n + steps[event.key];
      if (to >= 0 && to < this.cards.length) {
        if (event.shiftKey) this.range(to);
        this.cards[to].focus();
      }
    } else if (event.key === "Home" || event.key === "End") {
      this.cards[event.key === "Home" ? 0 : this.cards.length - 1].focus();
    } else if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key !== "a" || event.altKey) return;
      this.items.forEach((item) => this.selected.add(item.id));
      this.tell(true);
    } else if (event.key === "Enter") this.open(n);
    else if (event.key === " ") this.toggle(n);
    else if (event.key === "Escape" && this.selected.size) {
      this.selected.clear();
      this.tell(true);
    } else if (this.letters.has(event.key)) this.trigger("pressed", { id: this.items[n].id, key: event.key });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  open(n) {
    if (this.base) this.large.open(this.items, n, this.base);
    else this.trigger("opened", this.items[n].id);
  }

  toggle(n) {
    const id = this.items[n].id;
    if (!this.selected.delete(id)) this.selected.add(id);
    this.tell(true);
  }

  range(n) {
    const [from, to] = [Math.min(this.at, n), Math.max(this.at, n)];
    for (let i = from; i <= to; i++) this.selected.add(this.items[i].id);
    this.tell(true);
  }

  tell(changed) {
    this.cards.forEach((card, n) => card.setAttribute("aria-selected", this.selected.has(this.items[n].id)));
    if (changed) this.setState("selected", [...this.selected]);
  }
}
