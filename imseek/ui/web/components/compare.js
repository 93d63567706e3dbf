// Pictures of a group side by side, one of them under the cursor.
const KEYS = {
  k: "keep", Enter: "keep", K: "different", x: "apart", s: "later", u: "undo", p: "previous", j: "next", n: "next",
};

export default function (component) {
  return mounted(component, Group);
}

class Group {
  constructor(parent) {
    this.parent = parent;
    this.at = 0;
    this.marked = new Set(); // Pictures marked to be kept together.
    this.root = make("div", "group");
    this.row = make("div", "row");
    this.row.setAttribute("role", "listbox");
    this.bar = make("div", "bar");
    this.note = make("p", "note");
    this.root.append(this.bar, this.note, this.row);
    parent.appendChild(this.root);
    this.over = new Over(this.root);
    this.address = new PictureAddress(() => this.over.close());
    this.over.chosen = ({ image }) => Number.isInteger(image) && this.address.show(image); // Not of another collection.
    this.over.closed = () => this.address.leave();
    this.root.addEventListener("click", (event) => this.clicked(event));
    this.listen = (event) => this.pressed(event);
    // Keys work wherever the focus is, except in inputs, so that nobody has to click first.
    document.addEventListener("keydown", this.listen, true);
  }

  close() {
    document.removeEventListener("keydown", this.listen, true);
    this.leave();
    this.over.close();
  }

  update({ turn, label, before, ...data }) {
    const another = data.epoch !== this.data?.epoch;
    if (another || turn !== this.turn) this.asked = false;
    this.turn = turn;
    // While groups are being found, the number of this one changes, and nothing that is visible here.
    this.row.setAttribute("aria-label", label);
    const drawn = JSON.stringify(data);
    const ahead = JSON.stringify(before);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.data = data;
      this.draw(another);
    } else if (ahead === this.before) return;
    this.before = ahead;
    this.fetch(before);
  }

  draw(another) {
    const { data } = this;
    if (another) {
      this.at = 0;
      this.marked.clear();
      this.over.close();
    }
    this.at = Math.min(this.at, data.pictures.length - 1);
    const focused = this.root.contains(this.root.getRootNode().activeElement);
    this.row.classList.toggle("two", data.pictures.length === 2);
    this.row.classList.toggle("many", data.pictures.length > 4);
    // As tall as the tallest card, so that the text below stays visible.
    const tall = Math.max(...data.pictures.map((picture) => Math.min(1.5, picture.height / picture.width || 1)), 0.4);
    this.row.style.setProperty("--ratio", `${1 / tall}`);
    this.leave();
    this.cards = data.pictures.map((picture, n) => this.card(picture, n));
    this.row.replaceChildren(...this.cards);
    this.note.textContent = data.note;
    this.note.hidden = !data.note;
    this.bar.replaceChildren(...this.buttons());
    this.show();
    if (focused) this.cards[this.at]?.focus({ preventScroll: true });
    picture.reopen = () => this.root.isConnected && this.restore();
    this.restore();
  }

  // Compares the picture that the URL names with the suggested one.
  restore() {
    const requested = PictureAddress.requested();
    const n = this.data.pictures.findIndex(({ image }) => image === requested);
    if (requested === null || n < 0 || this.data.pictures.length < 2 || this.over.open) return;
    this.over.show(this.data.pictures, n || 1, (to) => this.move(to));
  }

  // Prefetches the next group once all visible pictures have loaded: a browser sends six requests at a time.
  async fetch(addresses) {
    const shown = this.cards.flatMap((card) => [...card.querySelectorAll("img")]).slice(0, 8);
    const { drawn } = this;
    await Promise.allSettled(shown.map((image) => image.decode()));
    if (this.drawn !== drawn || !this.root.isConnected) return;
    this.ahead = addresses.map((address) => Object.assign(new Image(), { src: address }));
  }

  // Cancels loads that are no longer visible, so that they delay no others.
  leave() {
    const images = [...this.row.querySelectorAll("img"), ...(this.ahead ?? [])];
    for (const image of images) if (!image.complete) image.removeAttribute("src");
    this.ahead = [];
  }

  buttons() {
    const keys = Object.entries(KEYS).filter(([key]) => key !== "Enter" && key !== "n");
    const made = keys
      .filter(([, act]) => act in this.data.acts)
      .map(([key, act]) => button(act, this.data.acts[act], key, () => this.ask(act)));
    if (this.data.pictures.length > 1) made.push(button("compare", "Compare", "c", () => this.compare()));
    return made;
  }

  card(picture, n) {
    const card = make("div", "card");
    card.setAttribute("role", "option");
    card.tabIndex = -1;
    card.dataset.n = n;
    const frame = make("div", "frame");
    const image = document.createElement("img");
    image.alt = picture.name;
    image.decoding = "async";
    if (n > 7) image.loading = "lazy";
    image.addEventListener("error", () => image.hasAttribute("src") && image.replaceWith(make("div", "gone", "This picture cannot be shown: its file is gone or damaged.")));
    image.src = picture.src;
    frame.append(image);
    if (picture.boxes.length) frame.append(outlines(picture));
    const mark = make("span", "mark");
    // For the mouse: an option holds no buttons, and the space bar does the same.
    const tick = make("span", "tick", "✓");
    tick.setAttribute("aria-hidden", "true");
    tick.title = "Stays too (space bar)";
    frame.append(mark, tick);
    const said = make("p", "said", picture.suggested ? `Suggested to stay: ${picture.said}` : picture.said);
    said.classList.toggle("suggested", picture.suggested);
    const facts = make("dl", "");
    for (const fact of picture.facts) {
      const value = make("dd", fact.differs ? "differs" : "");
      value.append(make("bdi", "", fact.value));
      facts.append(make("dt", "", fact.name), value);
    }
    card.append(frame, said, facts);
    return card;
  }

  show() {
    const keeps = "keep" in this.data.acts;
    this.cards.forEach((card, n) => {
      const picture = this.data.pictures[n];
      const chosen = this.marked.has(picture.id) ? "stays" : picture.mark === "protected" ? "protected" : "";
      const said = this.marked.size ? chosen : picture.mark;
      card.classList.toggle("at", n === this.at);
      card.setAttribute("aria-selected", n === this.at);
      card.tabIndex = n === this.at ? 0 : -1;
      const mark = card.querySelector(".mark");
      mark.textContent = said;
      mark.hidden = !said;
      const tick = card.querySelector(".tick");
      tick.hidden = !keeps || this.cards.length < 3;
      tick.classList.toggle("pressed", this.marked.has(picture.id));
    });
    const keep = this.bar.querySelector(".keep span");
    if (keep) keep.textContent = this.marked.size ? `Keep these ${this.marked.size}` : this.data.acts.keep;
  }

  clicked(event) {
    const card = event.target.closest(".card");
    if (!card) return;
    const n = Number(card.dataset.n);
    const twice = event.detail === 2 && event.target.closest(".frame") && !event.ctrlKey && !event.metaKey;
    this.move(n);
    if (event.ctrlKey || event.metaKey || event.target.closest(".tick")) this.mark();
    else if (twice) this.compare();
  }

  pressed(event) {
    if (!this.root.isConnected || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    if (this.over.open) {
      this.over.pressed(event);
      return;
    }
    const target = event.composedPath()[0];
    const inside = this.root.contains(target);
    if (!inside && (busy(target, event.key) || document.querySelector("[role=dialog]"))) return;
    // Enter and the space bar press the focused button.
    if (target instanceof HTMLButtonElement && ["Enter", " "].includes(event.key)) return;
    const columns = getComputedStyle(this.row).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const last = this.cards.length - 1;
    if (event.key in steps && (inside || event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const to = this.at + steps[event.key];
      if (to >= 0 && to <= last) this.move(to);
    } else if (event.key >= "1" && event.key <= "9" && event.key - 1 <= last) this.move(event.key - 1);
    else if (event.key === " " && inside && "keep" in this.data.acts) this.mark();
    else if (event.key === "c" && last > 0) this.compare();
    else if (event.key in KEYS && KEYS[event.key] in this.data.acts) {
      if (!event.repeat) this.ask(KEYS[event.key]);
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  move(n) {
    this.at = n;
    this.show();
    this.cards[n].focus({ preventScroll: false });
  }

  mark() {
    const { id } = this.data.pictures[this.at];
    if (!this.marked.delete(id)) this.marked.add(id);
    this.show();
  }

  ask(act) {
    // This group has been decided, and the page has not answered yet.
    if (this.asked && !["next", "previous", "undo"].includes(act)) return;
    this.asked = act !== "undo";
    const { id } = this.data.pictures[this.at] ?? {};
    const images = this.marked.size && act !== "next" ? [...this.marked] : id === undefined ? [] : [id];
    this.trigger("acted", { act, images, epoch: this.data.epoch });
  }

  compare() {
    const { pictures } = this.data;
    this.over.show(pictures, this.at || 1, (n) => this.move(n));
  }
}

// Outlines of the places where a picture differs, fitted into its frame as the picture is.
function outlines({ boxes, outline, width, height }) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("class", "places");
  drawing.setAttribute("aria-hidden", "true");
  drawing.style.stroke = outline;
  for (const [left, top, wide, high] of boxes) {
    const place = document.createElementNS(drawing.namespaceURI, "rect");
    for (const [name, value] of Object.entries({ x: left * width, y: top * height, width: wide * width, height: high * height }))
      place.setAttribute(name, value);
    drawing.append(place);
  }
  return drawing;
}

// Whether a key belongs to the focused element: an input, a choice, or a dialog. A choice between a few (the view)
// takes only the arrows and the space bar.
function busy(target, key) {
  if (!(target instanceof Element)) return false;
  if (target.closest("[role=radio], input[type=radio]")) return key === " " || key.startsWith("Arrow");
  return target.isContentEditable || target.closest("input, textarea, select, [role=dialog], [role=combobox], [role=listbox], [role=slider], [role=tab]") !== null;
}
