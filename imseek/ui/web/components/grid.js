// A listbox of pictures. Needs common.js and large.js.
export default function (component) {
  return mounted(component, Grid);
}

class Grid {
  constructor(parent) {
    this.selected = new Set();
    this.cards = [];
    this.at = 0; // The card that Tab focuses.
    this.drawn = "";
    this.root = make("div", "grid");
    this.root.setAttribute("role", "listbox");
    this.root.setAttribute("aria-multiselectable", "true");
    this.root.setAttribute("aria-label", "Pictures");
    this.root.addEventListener("click", (event) => this.clicked(event));
    // A Shift-click selects from the focused card, so the focus stays there, and no text is selected.
    this.root.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.root.addEventListener("focusin", (event) => {
      const n = this.cards.indexOf(event.target.closest(".card"));
      if (n >= 0) this.rove(n);
    });
    this.said = make("div", "toast");
    this.said.setAttribute("role", "status");
    this.keys = make("dialog", "keys");
    this.keys.setAttribute("aria-label", "Keys");
    this.keys.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "?") this.keys.close();
    });
    this.keys.addEventListener("click", (event) => {
      if (event.target === this.keys || event.target.matches("button")) this.keys.close();
    });
    this.keys.addEventListener("close", () => this.focus(this.at));
    // Pictures load when they come near the visible area, unless they have left it again: skipping over hundreds does
    // not wait for them.
    const near = { rootMargin: "600px", scrollMargin: "600px" };
    this.watch = new IntersectionObserver((seen) => seen.forEach((one) => load(one)), near);
    parent.append(this.root, this.said, this.keys);
    this.large = new Large(parent, (id, key) => this.trigger("pressed", { id, key }));
    this.large.closed = (n) => this.focus(n);
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
    this.large.opens = data.opens;
    this.large.less = data.less;
    this.help = data.help;
    this.root.style.setProperty("--side", `${data.side}px`);
    const drawn = JSON.stringify([data.cards, data.rule_after, data.rule, data.headings]);
    if (drawn === this.drawn) return; // Keeps focus and scroll position.
    this.drawn = drawn;
    const before = this.items?.[this.at]?.id;
    this.items = data.cards;
    this.cards = data.cards.map((item) => this.card(item));
    this.watch.disconnect();
    this.cards.forEach((card) => this.watch.observe(card));
    const focused = this.root.contains(this.root.getRootNode().activeElement);
    this.root.replaceChildren(...this.parts(data));
    const same = this.items.findIndex((item) => item.id === before);
    this.rove(same < 0 ? 0 : same);
    if (focused) this.focus(this.at);
    this.tell(false);
    if (!this.base) return;
    window.imseekPicture.reopen = () => this.root.isConnected && this.large.restore(this.items, this.base);
    window.imseekPicture.reopen();
  }

  // The cards, with lines and headings between them.
  parts(data) {
    const parts = [];
    this.cards.forEach((card, n) => {
      const heading = data.headings?.[n];
      if (heading) parts.push(this.heading(n, heading));
      if (n === data.rule_after) {
        const rule = make("div", "rule", data.rule);
        rule.setAttribute("role", "separator");
        parts.push(rule);
      }
      parts.push(card);
    });
    return parts;
  }

  heading(n, { text, note, size }) {
    const made = make("div", "heading");
    made.setAttribute("role", "presentation");
    const title = make("span", "title", text);
    title.title = text;
    title.dir = "auto";
    const select = button("Select", "select", () => {
      const ids = this.items.slice(n, n + size).map((item) => item.id);
      const all = ids.every((id) => this.selected.has(id));
      ids.forEach((id) => (all ? this.selected.delete(id) : this.selected.add(id)));
      this.tell(true);
    });
    select.setAttribute("aria-label", `Select all of ${text}`);
    made.append(title, make("span", "note", note), select);
    return made;
  }

  card(item) {
    const card = make("div", item.faint ? "card faint" : "card");
    card.setAttribute("role", "option");
    const why = item.reasons.map(({ place, text }) => (text ? `${place}: ${text}` : place)).join(" · ");
    card.setAttribute("aria-label", [item.title, item.note, why, item.mark].filter(Boolean).join(", "));
    card.tabIndex = -1;
    const frame = make("div", "frame");
    const image = make("img");
    image.decoding = "async";
    image.fetchPriority = "low"; // The large picture goes first.
    image.alt = item.alt;
    image.addEventListener("error", () => image.replaceWith(make("div", "gone", "This picture cannot be shown")));
    image.dataset.src = item.src;
    frame.append(image);
    const tick = make("button", "tick", "✓");
    tick.type = "button";
    tick.tabIndex = -1;
    tick.setAttribute("aria-label", `Select ${item.title}`);
    frame.append(tick);
    if (item.mark) {
      const mark = make("span", "mark", item.mark);
      if (item.duplicates?.length) mark.title = `${item.duplicates.length} more of the same picture, or nearly`;
      frame.append(mark);
    }
    const title = make("div", "title", item.title);
    title.title = item.path || item.title;
    card.append(frame, title);
    if (item.note) {
      const note = make("div", "note", item.note);
      note.title = item.note;
      card.append(note);
    }
    if (why) {
      const line = make("div", "why");
      line.title = why;
      item.reasons.forEach((reason, n) => line.append(...(n ? [" · "] : []), ...reasonNodes(reason, true)));
      card.append(line);
    }
    return card;
  }

  rove(n) {
    if (!this.cards.length) return;
    if (this.cards[this.at]) this.cards[this.at].tabIndex = -1;
    this.at = n;
    this.cards[n].tabIndex = 0;
  }

  focus(n) {
    const card = this.cards[Math.min(n, this.cards.length - 1)];
    if (!card) return;
    card.focus();
    card.scrollIntoView({ block: "nearest" });
  }

  clicked(event) {
    const card = event.target.closest(".card");
    const n = this.cards.indexOf(card);
    if (n < 0) return;
    if (event.shiftKey) this.range(n);
    else if (event.target.closest(".tick") || event.ctrlKey || event.metaKey) this.toggle(n);
    else {
      card.focus();
      this.open(n);
      return;
    }
    card.focus();
  }

  pressed(event) {
    if (!event.target.closest(".card")) return;
    const n = this.at;
    const columns = getComputedStyle(this.root).gridTemplateColumns.split(" ").length;
    const last = this.cards.length - 1;
    const to = {
      ArrowLeft: n - 1,
      ArrowRight: n + 1,
      ArrowUp: this.above(n, -1, columns),
      ArrowDown: this.above(n, 1, columns),
      Home: 0,
      End: last,
    }[event.key];
    if (to !== undefined && !event.altKey && !event.metaKey) {
      if (to >= 0 && to <= last) {
        if (event.shiftKey) this.range(to);
        this.focus(to);
      }
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
    else if (event.key === "?" && this.help.length) this.tellKeys();
    else if (event.key === "o" && this.base)
      launch(this.base, this.items[n].id, this.large.opens, (said) => this.say(said));
    else if (event.key === "y" && this.items[n].path)
      copy(this.items[n].path, this.said, (said) => this.say(said));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The card above or below a card. It is found by position, since lines and headings leave rows incomplete.
  above(n, step, columns) {
    if (!this.root.querySelector(".rule, .heading")) return n + step * columns;
    const here = this.cards[n].getBoundingClientRect();
    for (let i = n + step, top = null, best = null; ; i += step) {
      const card = this.cards[i];
      const box = card?.getBoundingClientRect();
      if (top === null && box && Math.abs(box.top - here.top) > 4) top = box.top;
      if (!box || (top !== null && Math.abs(box.top - top) > 4)) return best ?? -1;
      if (top !== null) {
        const off = Math.abs(box.left - here.left);
        if (best === null || off < Math.abs(this.cards[best].getBoundingClientRect().left - here.left)) best = i;
      }
    }
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
    this.root.classList.toggle("choosing", this.selected.size > 0);
    if (changed) this.setState("selected", [...this.selected]);
  }

  tellKeys() {
    const table = make("table");
    for (const [key, what] of this.help) {
      const row = make("tr");
      row.append(make("th", "", key), make("td", "", what));
      table.append(row);
    }
    this.keys.replaceChildren(make("h2", "", "Keys"), table, make("button", "plain", "Close"));
    this.keys.showModal();
  }

  say(text) {
    this.said.append(make("span", "", text));
    setTimeout(() => this.said.querySelector("span")?.remove(), 4000);
  }
}

function load({ target, isIntersecting }) {
  const image = target.querySelector(".frame img");
  if (!image) return;
  if (isIntersecting && !image.src) image.src = image.dataset.src;
  else if (!isIntersecting && image.src && !image.complete) image.removeAttribute("src");
}
