// Pictures of a group side by side, one of them under the cursor. Streamlit calls this again on every run; what must
// outlive a run is kept by the element that it is in.
const kept = new WeakMap();
const KEYS = {
  k: "keep", Enter: "keep", K: "different", x: "apart", s: "later", u: "undo", p: "previous", j: "next", n: "next",
};

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let group = kept.get(parentElement);
  if (!group) {
    group = new Group(parentElement);
    kept.set(parentElement, group);
  }
  group.trigger = setTriggerValue;
  group.update(data);
  return () => group.close();
}

class Group {
  constructor(parent) {
    this.parent = parent;
    this.at = 0;
    this.marked = new Set(); // Pictures that stay together.
    this.root = element("div", "group");
    this.row = element("div", "row");
    this.row.setAttribute("role", "listbox");
    this.bar = element("div", "bar");
    this.note = element("p", "note");
    this.root.append(this.bar, this.note, this.row);
    parent.appendChild(this.root);
    this.over = new Over(this.root);
    this.root.addEventListener("click", (event) => this.clicked(event));
    this.listen = (event) => this.pressed(event);
    // Keys count wherever the focus is, but where something is typed or chosen: nobody has to click first.
    document.addEventListener("keydown", this.listen, true);
  }

  close() {
    document.removeEventListener("keydown", this.listen, true);
    this.over.close();
  }

  update(data) {
    const drawn = JSON.stringify(data);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const another = data.epoch !== this.data?.epoch;
    this.data = data;
    this.asked = false;
    if (another) {
      this.at = 0;
      this.marked.clear();
      this.over.close();
    }
    this.at = Math.min(this.at, data.pictures.length - 1);
    const focused = this.root.contains(this.root.getRootNode().activeElement);
    this.row.setAttribute("aria-label", data.label);
    this.row.classList.toggle("two", data.pictures.length === 2);
    this.row.classList.toggle("many", data.pictures.length > 4);
    // As tall as the tallest needs, so that what is said of them stays in sight.
    const tall = Math.max(...data.pictures.map((picture) => Math.min(1.5, picture.height / picture.width || 1)), 0.4);
    this.row.style.setProperty("--ratio", `${1 / tall}`);
    this.cards = data.pictures.map((picture, n) => this.card(picture, n));
    this.row.replaceChildren(...this.cards);
    this.note.textContent = data.note;
    this.note.hidden = !data.note;
    this.bar.replaceChildren(...this.buttons());
    this.show();
    if (focused) this.cards[this.at]?.focus({ preventScroll: true });
    for (const address of data.before) new Image().src = address;
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
    const card = element("div", "card");
    card.setAttribute("role", "option");
    card.tabIndex = -1;
    card.dataset.n = n;
    const frame = element("div", "frame");
    const image = document.createElement("img");
    image.alt = picture.name;
    image.decoding = "async";
    if (n > 7) image.loading = "lazy";
    image.addEventListener("error", () => image.replaceWith(element("div", "gone", "This picture cannot be shown: its file is gone or damaged.")));
    image.src = picture.src;
    frame.append(image);
    const mark = element("span", "mark");
    const tick = element("button", "tick", "✓");
    tick.type = "button";
    tick.tabIndex = -1;
    tick.title = "Stays too (space bar)";
    tick.setAttribute("aria-label", `${picture.name} stays too`);
    frame.append(mark, tick);
    const said = element("p", "said", picture.suggested ? `Suggested to stay: ${picture.said}` : picture.said);
    said.classList.toggle("suggested", picture.suggested);
    const facts = element("dl", "");
    for (const fact of picture.facts) {
      const value = element("dd", fact.differs ? "differs" : "");
      value.append(element("bdi", "", fact.value));
      facts.append(element("dt", "", fact.name), value);
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
      card.setAttribute("aria-label", `${picture.name}, ${picture.said}${said ? `, ${said}` : ""}`);
      card.tabIndex = n === this.at ? 0 : -1;
      const mark = card.querySelector(".mark");
      mark.textContent = said;
      mark.hidden = !said;
      const tick = card.querySelector(".tick");
      tick.hidden = !keeps || this.cards.length < 3;
      tick.setAttribute("aria-pressed", this.marked.has(picture.id));
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
    if (!inside && busy(target)) return;
    // Enter and the space bar press what has the focus.
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
    if (this.asked && !["next", "previous", "undo"].includes(act)) return; // What it shows was decided; the next is on its way.
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

// Two pictures in one place: the proposed one, and another one.
class Over {
  constructor(parent) {
    this.dialog = document.createElement("dialog");
    this.dialog.className = "over";
    this.dialog.setAttribute("aria-label", "Two pictures compared");
    this.top = element("div", "top");
    this.stage = element("div", "stage");
    this.foot = element("div", "foot");
    this.dialog.append(this.top, this.stage, this.foot);
    parent.appendChild(this.dialog);
    this.mode = "slider";
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("dblclick", () => this.zoom(0));
    this.dialog.addEventListener("close", () => {
      clearInterval(this.blinking);
      this.stage.replaceChildren();
    });
    new ResizeObserver(() => this.place()).observe(this.stage);
  }

  get open() {
    return this.dialog.open;
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  show(pictures, n, moved) {
    this.pictures = pictures;
    this.moved = moved;
    this.view = { scale: 1, x: 0, y: 0 };
    this.cut = 0.5;
    this.dialog.showModal();
    this.choose(n);
  }

  choose(n) {
    this.n = n;
    this.moved?.(n);
    this.pair = [this.pictures[0], this.pictures[n]];
    this.draw();
  }

  draw() {
    clearInterval(this.blinking);
    const modes = { slider: ["Slider", "1"], side: ["Side by side", "2"], flicker: ["Flicker", "3"], difference: ["Difference", "4"] };
    this.top.replaceChildren(
      ...Object.entries(modes).map(([mode, [text, key]]) => {
        const made = button(mode, text, key, () => this.setMode(mode));
        made.setAttribute("aria-pressed", mode === this.mode);
        return made;
      }),
      button("out", "−", "", () => this.zoom(1 / 1.5), "Zoom out"),
      button("in", "+", "", () => this.zoom(1.5), "Zoom in"),
      button("whole", "Whole picture", "0", () => this.zoom(0)),
      button("close", "Close", "Esc", () => this.close()),
    );
    this.stage.className = `stage ${this.mode}`;
    this.stage.classList.toggle("stacked", this.stacked);
    this.panes = this.pair.map((picture, n) => this.pane(picture, n));
    const parts = [...this.panes];
    if (this.mode === "slider") {
      this.handle = element("div", "handle");
      parts.push(this.handle);
    }
    this.stage.replaceChildren(...parts);
    this.foot.replaceChildren(...this.pair.map((picture, n) => this.label(picture, n)));
    if (this.mode === "flicker") {
      this.front = 0;
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.blinking = setInterval(() => this.blink(), 700);
      this.blink();
    }
    this.place();
  }

  label(picture, n) {
    const facts = picture.facts.slice(0, 3).map((fact) => fact.value);
    const made = element("div", "label");
    made.append(element("b", "", n ? "other" : picture.suggested ? "suggested" : "first"), element("bdi", "", picture.name), element("span", "", facts.join(", ")));
    return made;
  }

  pane(picture, n) {
    const pane = element("div", `pane ${n ? "other" : "first"}`);
    const image = document.createElement("img");
    image.alt = picture.name;
    image.draggable = false;
    image.src = picture.large;
    if (picture.whole !== picture.large) {
      const whole = new Image();
      whole.addEventListener("load", () => (image.src = whole.src));
      whole.src = picture.whole;
    }
    pane.append(image);
    return pane;
  }

  // Both pictures fill the box of the first one, so that what is the same lies in the same place.
  place() {
    if (!this.dialog.open || !this.panes) return;
    const width = this.stage.clientWidth / (this.mode === "side" && !this.stacked ? 2 : 1);
    const height = this.stage.clientHeight / (this.mode === "side" && this.stacked ? 2 : 1);
    const [first] = this.pair;
    const scale = Math.min(width / first.width, height / first.height);
    const box = [first.width * scale, first.height * scale];
    this.room = [width, height];
    this.panes.forEach((pane, n) => {
      const picture = this.pair[n];
      const turned = picture.turn && picture.turn[0] === 0;
      const ratio = turned ? picture.height / picture.width : picture.width / picture.height;
      const like = Math.abs(ratio / (first.width / first.height) - 1) < 0.03;
      let [w, h] = box;
      if (!like) [w, h] = ratio > w / h ? [w, w / ratio] : [h * ratio, h];
      const image = pane.firstChild;
      image.style.width = `${turned ? h : w}px`;
      image.style.height = `${turned ? w : h}px`;
      const turn = picture.turn ? `matrix(${picture.turn.join(",")},0,0)` : "";
      const { scale: by, x, y } = this.view;
      image.style.transform = `translate(-50%, -50%) translate(${x}px, ${y}px) scale(${by}) ${turn}`;
      // One screen pixel for many of the picture is smooth, many for one are squares.
      // Not where they are subtracted: squares of turned pictures round the other way.
      const squares = this.mode !== "difference" && (by * w) / (turned ? picture.height : picture.width) > 3;
      image.style.imageRendering = squares ? "pixelated" : "auto";
    });
    if (this.mode === "slider") {
      this.panes[1].style.clipPath = `inset(0 0 0 ${this.cut * 100}%)`;
      this.handle.style.left = `${this.cut * 100}%`;
    }
  }

  get stacked() {
    return this.stage.clientWidth < this.stage.clientHeight;
  }

  setMode(mode) {
    this.mode = mode;
    this.draw();
  }

  blink() {
    this.front = 1 - this.front;
    this.panes.forEach((pane, n) => (pane.style.visibility = n === this.front ? "visible" : "hidden"));
    [...this.foot.children].forEach((label, n) => label.classList.toggle("front", n === this.front));
  }

  zoom(by, x = 0, y = 0) {
    if (!by) this.view = { scale: 1, x: 0, y: 0 };
    else {
      const scale = Math.min(40, Math.max(1, this.view.scale * by));
      const grown = scale / this.view.scale;
      this.view = { scale, x: x - (x - this.view.x) * grown, y: y - (y - this.view.y) * grown };
      if (scale === 1) this.view.x = this.view.y = 0;
    }
    this.place();
  }

  wheel(event) {
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    const [width, height] = this.room;
    this.zoom(
      Math.exp(-event.deltaY / 400),
      ((event.clientX - box.left) % width) - width / 2,
      ((event.clientY - box.top) % height) - height / 2,
    );
  }

  grab(event) {
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    const cutting = this.mode === "slider" && (this.view.scale === 1 || event.target === this.handle);
    let [x, y] = [event.clientX, event.clientY];
    const moved = (to) => {
      if (cutting) this.cut = Math.min(1, Math.max(0, (to.clientX - box.left) / box.width));
      else if (this.view.scale > 1) {
        this.view.x += to.clientX - x;
        this.view.y += to.clientY - y;
        [x, y] = [to.clientX, to.clientY];
      }
      this.place();
    };
    if (cutting) moved(event);
    this.stage.setPointerCapture(event.pointerId);
    this.stage.addEventListener("pointermove", moved);
    const done = () => this.stage.removeEventListener("pointermove", moved);
    this.stage.addEventListener("pointerup", done, { once: true });
    this.stage.addEventListener("pointercancel", done, { once: true });
  }

  pressed(event) {
    const modes = { 1: "slider", 2: "side", 3: "flicker", 4: "difference" };
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key in modes) this.setMode(modes[event.key]);
    else if (event.key === "0") this.zoom(0);
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "c" || event.key === "Escape") this.close();
    else if (step && this.pictures.length > 2) {
      const to = this.n + step;
      if (to > 0 && to < this.pictures.length) this.choose(to);
    } else if (step && this.mode === "slider") {
      this.cut = Math.min(1, Math.max(0, this.cut + step / 20));
      this.place();
    } else if (event.key === " " && this.mode === "flicker") {
      clearInterval(this.blinking);
      this.blink();
    } else if (event.key === "Tab" || event.key === "Enter") return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

// Whether keys belong to what has the focus: something that is typed into or chosen from, or a dialog.
function busy(target) {
  if (!(target instanceof Element)) return false;
  return target.isContentEditable || target.closest("input, textarea, select, [role=dialog], [role=combobox], [role=listbox], [role=slider], [role=tab], [role=radio]") !== null;
}

function button(name, text, key, act, label = "") {
  const made = element("button", name);
  made.type = "button";
  made.append(element("span", "", text));
  if (key) made.append(element("kbd", "", key));
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    act();
  });
  return made;
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
