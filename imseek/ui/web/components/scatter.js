// A map of pictures to explore and to select from. The drawing files of imseek/ui/map_page, picture_address.js
// and scatter_overlay.js are included before this one.
export default function (component) {
  return mounted(component, Scatter);
}

class Scatter {
  constructor(parent) {
    this.at = {};  // the addresses of what is there: points, colours, selection
    this.bits = null;
    this.only = null;  // the shades that are shown, by the legend
    this.mode = "move";
    this.names = new Map();  // of pictures, by id
    this.labels = [];  // of regions
    this.regions = null;
    this.loading = new Loading((i, side) => this.source(i, side), () => this.mark());
    this.root = make("div", "map");
    this.bar = make("div", "bar");
    this.modes = ["move", "lasso", "box"].map((mode) => this.button(
      { move: "Move", lasso: "Lasso", box: "Rectangle" }[mode],
      { move: "Drag to move the map", lasso: "Drag around pictures to choose them (or hold Shift and drag); with Ctrl they are added",
        box: "Drag a rectangle over pictures to choose them (or hold Shift and Alt and drag)" }[mode],
      () => this.setMode(mode)));
    this.show = document.createElement("input");
    this.show.type = "checkbox";
    this.show.checked = true;
    this.show.addEventListener("change", () => this.mark());
    const pictures = make("label", "pictures");
    pictures.append(this.show, " pictures");
    this.status = make("span", "status");
    this.status.setAttribute("role", "status");
    this.clear = this.button("Clear selection", "Select none", () => this.tell("cleared", true));
    this.bar.append(...this.modes, this.button("+", "Zoom in (+)", () => this.plane?.zoomBy(1.4)),
      this.button("−", "Zoom out (-)", () => this.plane?.zoomBy(1 / 1.4)),
      this.button("Fit", "Show the whole map (0)", () => this.fit()), pictures, this.status, this.clear);
    this.stage = make("div", "stage");
    this.legend = make("div", "legend");
    this.legend.setAttribute("aria-label", "Legend");
    this.card = make("div", "card");
    this.card.setAttribute("role", "status");
    const inside = make("div", "inside");
    inside.append(this.stage, this.legend);
    this.root.append(this.bar, inside);
    parent.append(this.root);
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.stage);
    window.addEventListener("resize", this.sized = () => this.resized());
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.themed = () => this.redraw());
    this.setMode("move");
  }

  button(text, title, act) {
    const made = make("button", "", text);
    made.type = "button";
    made.title = title;
    made.addEventListener("click", act);
    return made;
  }

  setMode(mode) {
    this.mode = mode;
    this.modes.forEach((one, n) => one.setAttribute("aria-pressed", String(["move", "lasso", "box"][n] === mode)));
    this.stage.dataset.mode = mode;
  }

  tell(name, value) { this.trigger(name, value); }

  close() {
    this.ended = true;
    this.observer.disconnect();
    window.removeEventListener("resize", this.sized);
    clearTimeout(this.naming);
    this.dark.removeEventListener("change", this.themed);
    this.canvas?.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
  }

  // -- what comes from the page -------------------------------------------------------------------------------

  /** Fetches missing data; an address always denotes the same bytes, so nothing is fetched twice. */
  async update(data) {
    const asked = this.asked = (this.asked || 0) + 1;
    const other = (what) => (data[what]?.address ?? null) !== this.at[what];
    const wanted = ["points", "pictured", "colours", "selection"].filter(other);
    let found;
    try {
      found = await Promise.all(wanted.map((what) => this.fetched(data[what]?.address ?? null)));
    } catch (gone) {
      if (asked === this.asked && !this.ended) this.say("The map could not be loaded.", true);
      return;
    }
    if (asked !== this.asked || this.ended) return;
    this.data = data;
    if (found.includes(undefined)) return this.tell("gone", asked);  // The page makes it anew.
    wanted.forEach((what, n) => {
      this.at[what] = data[what]?.address ?? null;
      this[`take_${what}`](found[n], data);
    });
    if (wanted.includes("points") || wanted.includes("colours")) this.only = null;
    if (wanted.length) this.flagged();
    if (wanted.includes("points") || wanted.includes("colours")) this.explain();
    if (wanted.includes("points")) this.fit();
    this.clear.hidden = !data.selection;
    this.counted();
    this.redraw();
    this.nameSoon();
    if ((data.regions?.address ?? null) !== this.at.regions) this.takeRegions(data.regions);
    window.imseekPicture.reopen = () => this.reopen();
    if (wanted.includes("points")) this.reopen();
  }

  // Shows the picture that the URL names large, after a reload or the browser's Forward.
  reopen() {
    const id = this.ended ? null : PictureAddress.requested();
    if (id !== null) this.tell("opened", id);
  }

  async fetched(address) {
    if (address === null) return null;
    const answer = await fetch(address);
    if (answer.status === 404) return undefined;
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.arrayBuffer();
  }

  take_points(bytes, data) {
    const n = data.points.count;
    this.ids = new BigInt64Array(bytes, 0, n);
    const xs = new Float32Array(bytes, 8 * n, n), ys = new Float32Array(bytes, 12 * n, n);
    this.canvas?.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    this.canvas = make("canvas", "points");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", `Map of ${n.toLocaleString("en")} pictures. Arrow keys lead from picture to ` +
      "picture, Enter shows one large, Space chooses it, plus and minus zoom, 0 shows all, Escape lets go.");
    this.over = make("canvas", "over");
    this.over.setAttribute("aria-hidden", "true");
    this.stage.replaceChildren(this.canvas, this.over, this.card);
    this.plane = makePlane(xs, ys, new Uint8Array(n).fill(1), () => this.redraw());
    Object.assign(this.plane, { shades: new Uint8Array(n), colours: [[0, 0, 0]], isRamp: false });
    this.loading.clear();
    this.hovered = this.current = -1;
    this.painter = makePainter(this.plane, this.canvas, () => this.redraw());
    this.heard();
    this.resized();
  }

  take_pictured(bytes) {
    const pictured = new Uint32Array(bytes);
    this.tiles = makeTiles(this.plane, pictured, (at) => this.loading.picture(pictured[at]),
      (i) => cssColour(this.plane, this.plane.shades[i]));
  }

  take_colours(bytes, data) {
    const n = this.plane.count, { colours, told } = data.colours;
    this.plane.colours = colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255));
    this.plane.isRamp = told !== null && told.kind === "number";
    this.plane.shades = bytes === null ? new Uint8Array(n) : new Uint8Array(bytes, 4 * n, n);
    this.values = bytes === null ? null : new (this.plane.isRamp ? Float32Array : Uint32Array)(bytes, 0, n);
    this.told = told;
    this.shown = -1;
  }

  // The values that name regions, when the map has been drawn.
  async takeRegions(regions) {
    const address = this.at.regions = regions?.address ?? null;
    this.labels = [];
    this.regions = null;
    if (address === null) this.drawnOf = null; // The collection has changed: they are asked for again.
    // Regions by folder have the values that colours by folder have.
    const isColours = address !== null && address === this.at.colours;
    const bytes = isColours ? this.values.buffer : await this.fetched(address).catch(() => null);
    if (this.ended || this.at.regions !== address || !bytes) return;
    this.regions = { values: new Uint32Array(bytes, 0, this.plane.count), labels: regions.labels };
    this.nameSoon(0);
  }

  /** Names the regions anew once the map rests. */
  nameSoon(wait = RESTS) {
    clearTimeout(this.naming);
    this.naming = setTimeout(() => {
      if (this.ended) return;
      // A run of the page would close a large picture.
      if (this.at.regions === null && this.drawnOf !== this.at.points && PictureAddress.requested() === null) {
        this.drawnOf = this.at.points;
        this.tell("drawn", this.drawnOf);
      }
      if (!this.regions || this.regions.values.length !== this.plane.count) return;
      this.labels = nameRegions(this.plane, this.regions.values, this.regions.labels);
      this.mark();
    }, wait);
  }

  take_selection(bytes) {
    this.bits = bytes === null ? null : new Uint8Array(bytes);
    this.shown = -1;
  }

  explain() {
    this.legend.replaceChildren();
    this.legend.hidden = this.told === null;
    if (this.told === null) return;
    fillLegend(this.legend, this.told, this.plane, (shade) => {
      this.only = shade;
      this.flagged();
      this.counted();
      this.redraw();
    });
  }

  isChosen(i) { return this.bits !== null && (this.bits[i >> 3] >> (i & 7) & 1) === 1; }

  /** Which points are shown in full: those of the clicked class, and the selection. */
  flagged() {
    const { flags, shades, count } = this.plane;
    this.shownCount = 0;
    for (let i = 0; i < count; i++) {
      flags[i] = this.only !== null && !this.only[shades[i]] ? 0 : this.bits === null || this.isChosen(i) ? 1 : 2;
      if (flags[i] > 0) this.shownCount++;
    }
    this.painter.changed();
    this.tiles.again();
  }

  counted() {
    const count = this.plane.count.toLocaleString("en");
    const parts = [`${count} ${this.plane.count === 1 ? "picture" : "pictures"}`];
    const colours = this.only?.reduce((sum, one) => sum + one, 0);
    if (this.only !== null) parts.push(`${this.shownCount.toLocaleString("en")} in ${colours === 1 ? "this colour" : "these colours"}`);
    if (this.data.selection) parts.push(`${this.data.selection.count.toLocaleString("en")} selected`);
    if (this.painter.withoutShaders) parts.push("without WebGL2: slower");
    this.say(parts.join(" · "));
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("bad", bad);
  }

  // -- pictures -----------------------------------------------------------------------------------------------

  source(i, side) { return `${this.data.images}/images/${this.ids[i]}/thumbnail?side=${side}`; }

  // -- drawing ------------------------------------------------------------------------------------------------

  resized() {
    // The map ends where the window does, wherever it begins.
    const inner = document.querySelector("[data-testid='stMain']");
    const above = this.stage.getBoundingClientRect().top + (inner?.scrollTop ?? 0);
    this.root.style.setProperty("--above", `${Math.round(above)}px`);
    if (!this.plane) return;
    this.plane.resized(this.stage.clientWidth, this.stage.clientHeight);
    if (this.fitted === JSON.stringify(this.plane.view)) this.fit(); // Nobody has moved it since.
    const { width, height, ratio } = this.plane;
    for (const one of [this.canvas, this.over]) [one.width, one.height] = [width * ratio, height * ratio];
  }

  fit() {
    if (!this.plane) return;
    this.plane.fit(68);
    this.fitted = JSON.stringify(this.plane.view);
  }

  redraw() {
    this.nameSoon();
    this.moved = true;
    this.loading.wait();
    this.mark();
  }

  mark() {
    if (this.plane && !this.frame) this.frame = requestAnimationFrame(() => this.drawn());
  }

  drawn() {
    this.frame = 0;
    if (this.ended) return;
    const { plane } = this, context = this.over.getContext("2d");
    context.setTransform(plane.ratio, 0, 0, plane.ratio, 0, 0);
    context.clearRect(0, 0, plane.width, plane.height);
    if (this.painter.draw(context, this.moved)) this.mark();
    this.moved = false;
    this.tiles.clear();
    if (this.show.checked) this.tiles.draw(context);
    drawLabels(context, plane, this.labels, getComputedStyle(this.stage));
    if (this.corners) outline(context, this.corners, getComputedStyle(this.clear).accentColor);
    const marked = this.hovered >= 0 ? this.hovered : this.current;
    if (marked >= 0) ring(context, plane, marked);
    this.place(marked);
    this.canvas.dataset.view = `${plane.view.x} ${plane.view.y} ${plane.unit()}`;
    this.loading.later();
  }

  /** Shows the card of a point, or none. Its name is fetched once the pointer rests. */
  place(i) {
    this.card.classList.toggle("shown", i >= 0);
    if (i < 0) {
      this.shown = -1;
      return;
    }
    if (this.shown !== i) {
      this.shown = i;
      const image = new Image();
      image.alt = "";
      image.addEventListener("load", () => this.mark());
      image.addEventListener("error", () => image.replaceWith(line("facts", "no picture here any more")));
      image.src = this.source(i, 256);
      this.card.replaceChildren(image, ...this.lines(i));
      clearTimeout(this.asking);
      if (!this.names.has(this.ids[i])) this.asking = setTimeout(() => this.askName(i), 80);
    }
    besidePoint(this.card, this.plane, i);
  }

  lines(i) {
    const name = this.names.get(this.ids[i]), facts = [`picture ${this.ids[i]}`];
    if (this.told !== null) facts.push(`${this.told.name}: ${this.valueOf(i)}`);
    if (this.isChosen(i)) facts.push("selected");
    return [line("name", name ? name.name : "…"), line("folder", name ? name.folder : ""),
      line("facts", facts.join(" · "))];
  }

  valueOf(i) {
    if (!this.plane.isRamp) return this.told.labels[this.values[i]];
    return Number.isNaN(this.values[i]) ? "none" : String(+this.values[i].toPrecision(4));
  }

  async askName(i) {
    const id = this.ids[i];
    const answer = await fetch(`${this.data.names}/${id}`).catch(() => null);
    if (answer === null || !answer.ok) return;
    this.names.set(id, await answer.json());
    if (this.shown !== i) return;
    const image = this.card.firstChild;
    this.card.replaceChildren(image, ...this.lines(i));
    this.mark();
  }

  // -- what people do -----------------------------------------------------------------------------------------

  under(px, py) {
    const tile = this.show.checked ? this.tiles.under(px, py) : -1;
    return tile < 0 ? this.plane.nearest(px, py) : tile;
  }

  heard() {
    const { plane, canvas } = this;
    this.gestures = addGestures(canvas, plane, {
      hovered: (px, py) => {
        const found = this.under(px, py);
        if (found !== this.hovered) this.mark();
        this.hovered = found;
      },
      left: () => { this.hovered = -1; this.mark(); },
      clicked: (px, py, event) => {
        const found = this.under(px, py);
        this.current = found;
        this.mark();
        if (found < 0) return;
        this.tell(event.shiftKey || event.ctrlKey || event.metaKey ? "toggled" : "opened", Number(this.ids[found]));
      },
      shape: (event) => event.shiftKey ? (event.altKey ? "box" : "lasso") : this.mode === "move" ? null : this.mode,
      drawing: (corners) => { this.corners = corners; this.hovered = -1; this.mark(); },
      drawn: (corners, event) => this.tell("lassoed", {
        corners: corners.flatMap(([px, py]) => [plane.planeX(px), plane.planeY(py)]),
        only: this.only && [...this.only.keys()].filter((shade) => this.only[shade]), colours: this.at.colours, add: event.ctrlKey || event.metaKey,
      }),
      // Scrolling the page past the map must not zoom it.
      wheels: (event) => event.ctrlKey || event.metaKey || canvas.getRootNode().activeElement === canvas,
    });
    canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
    canvas.addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { plane } = this, id = this.current >= 0 ? Number(this.ids[this.current]) : null;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key in ways && event.shiftKey) {
      const [x, y] = ways[event.key];
      plane.moveBy(-60 * x, 60 * y);
    } else if (event.key in ways) this.goTo(plane.towards(this.current, ...ways[event.key]));
    else if (event.key === "Enter" && id !== null) this.tell("opened", id);
    else if (event.key === " " && id !== null) this.tell("toggled", id);
    else if (event.key === "+" || event.key === "=") plane.zoomBy(1.4);
    else if (event.key === "-") plane.zoomBy(1 / 1.4);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape" && this.corners) this.gestures.cancel();
    else if (event.key === "Escape" && this.current >= 0) this.goTo(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  goTo(i) {
    this.current = i;
    this.hovered = -1;
    if (i >= 0) this.plane.reveal(i);
    this.mark();
  }
}
