// A small map of the world with the places where pictures were taken. What can be done on it by mouse, the list of these
// places below it offers too. Needs common.js.
const SMALLEST_VIEW = 0.004; // Degrees: some hundred metres.
const SETTLED = 200; // Milliseconds without a move, before places are counted again.
const SVG = "http://www.w3.org/2000/svg";
let outline; // Of the countries: fetched once.

class WorldMap {
  // `moved` is called with the part of the world that is to be shown now, `chosen` with the row of a place.
  constructor(moved, chosen) {
    [this.moved, this.chosen] = [moved, chosen];
    this.root = make("div");
    this.world = make("div", "world");
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", "Map of locations");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    this.land = document.createElementNS(SVG, "path");
    this.lines = document.createElementNS(SVG, "path");
    this.lines.classList.add("lines");
    this.svg.append(this.lines, this.land);
    this.spots = make("div", "spots");
    this.spots.setAttribute("aria-hidden", "true");
    const tools = make("div", "tools");
    this.in = this.tool("+", "Zoom in", () => this.zoom(0.5));
    this.out = this.tool("−", "Zoom out", () => this.zoom(2));
    this.all = this.tool("All", "Show all locations", () => this.show(null));
    tools.append((this.elsewhere = make("span", "count")), this.in, this.out, this.all);
    this.world.append(this.svg, this.spots);
    this.root.append(this.world, tools);
    this.listen();
  }

  tool(text, label, act) {
    const made = button(text, "tool", act, label);
    made.dataset.key = label;
    return made;
  }

  // `address`: where the outline is.
  async update(facet, address) {
    this.rows = facet.rows.filter(({ place }) => place);
    if (!this.timer && !this.dragged) this.view = facet.view;
    this.elsewhere.textContent = facet.outside ? `${facet.outside.toLocaleString("en")} elsewhere` : "";
    this.draw();
    outline ??= ask(address);
    try {
      const { path } = await outline;
      if (!this.land.hasAttribute("d")) this.land.setAttribute("d", path);
    } catch {
      outline = undefined; // The places are shown without it, and it is asked for again later.
    }
  }

  draw() {
    const [west, south, east, north] = this.view, width = east - west, height = north - south;
    this.svg.setAttribute("viewBox", `${west} ${-north} ${width} ${height}`);
    const step = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01].find((one) => width / one >= 4) ?? 0.005;
    const lines = [];
    for (let x = Math.ceil(west / step); x * step <= east; x++) lines.push(`M${x * step},${-north}v${height}`);
    for (let y = Math.ceil(south / step); y * step <= north; y++) lines.push(`M${west},${-y * step}h${width}`);
    this.lines.setAttribute("d", lines.join(""));
    const most = Math.max(1, ...this.rows.map(({ count }) => count));
    this.spots.replaceChildren(...[...this.rows].sort((a, b) => b.count - a.count).map((row) => {
      const spot = make("span", row.chosen ? "spot chosen" : "spot");
      const [x, y] = row.place, size = 9 + 15 * Math.sqrt(row.count / most);
      spot.style.cssText = `left:${(100 * (x - west)) / width}%;top:${(100 * (north - y)) / height}%;width:${size}px;height:${size}px`;
      spot.title = `${row.label}, ${row.at}: ${row.count.toLocaleString("en")} ${row.count === 1 ? "picture" : "pictures"}`;
      spot.row = row;
      return spot;
    }));
    this.in.disabled = width <= SMALLEST_VIEW;
    this.out.disabled = width >= 360;
  }

  // Shows a part of the world, or the part with all places.
  show(view) {
    clearTimeout(this.timer);
    this.timer = 0;
    if (view === null) return this.moved(null);
    let [west, south, east, north] = view;
    const width = Math.min(360, Math.max(SMALLEST_VIEW, east - west, 2 * (north - south)));
    const x = (west + east) / 2, y = (south + north) / 2;
    west = Math.min(180 - width, Math.max(-180, x - width / 2));
    south = Math.min(90 - width / 2, Math.max(-90, y - width / 4));
    this.view = [west, south, west + width, south + width / 2];
    this.draw();
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.moved(this.view);
    }, SETTLED);
  }

  // Shows the box of a place, with space around it.
  goTo([west, south, east, north]) {
    const x = Math.max((east - west) * 0.15, SMALLEST_VIEW / 4), y = Math.max((north - south) * 0.15, SMALLEST_VIEW / 8);
    this.show([west - x, south - y, east + x, north + y]);
  }

  // Zooms around a point of the map, given as shares of its width and height.
  zoom(factor, across = 0.5, down = 0.5) {
    const [west, south, east, north] = this.view, width = east - west, height = north - south;
    const left = west + across * width * (1 - factor), top = north - down * height * (1 - factor);
    this.show([left, top - height * factor, left + width * factor, top]);
  }

  listen() {
    const at = (event) => {
      const box = this.world.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    this.world.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.dragged = { from: at(event), view: this.view, row: event.target.row };
      this.world.setPointerCapture(event.pointerId);
    });
    this.world.addEventListener("pointermove", (event) => {
      if (!this.dragged) return;
      const { from, view } = this.dragged, [x, y] = at(event);
      if (Math.hypot((x - from[0]) * 240, (y - from[1]) * 120) < 4 && !this.dragged.far) return;
      this.dragged.far = true;
      const east = (from[0] - x) * (view[2] - view[0]), south = (from[1] - y) * (view[3] - view[1]);
      this.show([view[0] + east, view[1] - south, view[2] + east, view[3] - south]);
    });
    this.world.addEventListener("pointerup", () => {
      const { row, far } = this.dragged ?? {};
      this.dragged = null;
      if (row && !far) this.chosen(row);
    });
    this.world.addEventListener("pointercancel", () => (this.dragged = null));
    this.world.addEventListener("dblclick", (event) => event.target.row || this.zoom(0.5, ...at(event)));
    this.world.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // Scrolling the filters must not zoom.
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.003), ...at(event));
    }, { passive: false });
  }
}
