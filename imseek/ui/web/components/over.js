// Two pictures overlaid: the suggested one, and another.
class Over {
  constructor(parent) {
    this.dialog = document.createElement("dialog");
    this.dialog.className = "over";
    this.dialog.setAttribute("aria-label", "Two pictures compared");
    this.top = make("div", "top");
    this.stage = make("div", "stage");
    this.foot = make("div", "foot");
    this.dialog.append(this.top, this.stage, this.foot);
    parent.appendChild(this.dialog);
    this.mode = "slider";
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("dblclick", () => this.zoom(0));
    this.dialog.addEventListener("close", () => {
      clearInterval(this.blinking);
      this.stage.replaceChildren();
      this.closed?.();
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
    this.chosen?.(this.pictures[n]);
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
      this.handle = make("div", "handle");
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
    const made = make("div", "label");
    made.append(make("b", "", n ? "other" : picture.suggested ? "suggested" : "first"), make("bdi", "", picture.name), make("span", "", facts.join(", ")));
    return made;
  }

  pane(picture, n) {
    const pane = make("div", `pane ${n ? "other" : "first"}`);
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

  // Both pictures fill the box of the first, so that the same content lies in the same place.
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
      // Smooth when reduced, sharp squares when enlarged. Not when subtracted: squares of rotated pictures round the
      // other way.
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

function button(name, text, key, act, label = "") {
  const made = make("button", name);
  made.type = "button";
  made.append(make("span", "", text));
  if (key) made.append(make("kbd", "", key));
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    act();
  });
  return made;
}
