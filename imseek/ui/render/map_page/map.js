// A map of images as a page of its own; the files that plane.js names draw and move it. Texts come from file names and
// metadata: they are set as textContent only.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const n = data.count;
  const xs = new Float32Array(bytes(data.x)), ys = new Float32Array(bytes(data.y));  // -1 to 1, y upwards
  const shades = new Uint8Array(bytes(data.shades));  // of the colour, see `colours`
  const folderOf = new Uint32Array(bytes(data.folder));
  const pictured = new Uint32Array(bytes(data.pictured));  // points with a thumbnail, the most representative first
  const pictureOf = new Map();
  pictured.forEach((point, at) => pictureOf.set(point, at));
  const placedLater = new Uint8Array(bytes(data.placed));  // empty where none was
  const colour = data.colour;
  const values = colour === null ? null
    : colour.kind === "number" ? new Float32Array(bytes(colour.values)) : new Uint32Array(bytes(colour.values));
  // Classes: one colour each, then grey for all others. Numbers: stops from low to high, then grey for no value.
  const colours = data.colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255));
  const isRamp = colour !== null && colour.kind === "number";
  const flags = new Uint8Array(n).fill(1);  // 1: shown in full, 0: dimmed

  const stage = byId("stage"), canvas = byId("points"), overlay = byId("pictures"), card = byId("card");
  let hovered = -1, pinned = -1, only = null, needle = "";
  let waiting = false, moved = true;

  // -- drawing ------------------------------------------------------------------------------------------------
  const plane = Object.assign(makePlane(xs, ys, flags, redraw), { shades, colours, isRamp });
  const painter = makePainter(plane, canvas, () => {
    byId("without").hidden = false;
    redraw();
  });

  let thumbnails = null;  // read when the points have been drawn
  const images = new Map();

  /** A thumbnail by its number; null until it has loaded. */
  function picture(at) {
    if (thumbnails === null || !thumbnails[at]) return null;
    if (!images.has(at)) {
      const image = new Image();
      image.onload = mark;
      image.src = "data:image/webp;base64," + thumbnails[at];
      images.set(at, image);
    }
    const image = images.get(at);
    return image.complete && image.naturalWidth ? image : null;
  }

  const tiles = makeTiles(plane, pictured, picture, (i) => cssColour(plane, shades[i]));
  const context = overlay.getContext("2d");

  function under(px, py) {
    const tile = tiles.under(px, py);
    return tile < 0 ? plane.nearest(px, py) : tile;
  }

  function frame() {
    waiting = false;
    context.setTransform(plane.ratio, 0, 0, plane.ratio, 0, 0);
    context.clearRect(0, 0, plane.width, plane.height);
    if (painter.draw(context, moved)) mark();  // What is under the pointer changes nothing of the points.
    moved = false;
    tiles.clear();
    if (byId("show").checked) tiles.draw(context);
    const marked = pinned >= 0 ? pinned : hovered;
    if (marked >= 0) ring(context, plane, marked);
    place(marked);
  }

  function redraw() {
    moved = true;
    mark();
  }

  /** Redraws what lies over the points. */
  function mark() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(frame);
    }
  }

  function resized() {
    plane.resized(stage.clientWidth, stage.clientHeight);
    for (const one of [canvas, overlay]) {
      [one.width, one.height] = [plane.width * plane.ratio, plane.height * plane.ratio];
    }
  }

  // -- the card -----------------------------------------------------------------------------------------------
  const nameOf = (i) => data.names[i], folderName = (i) => data.folders[folderOf[i]];

  function valueOf(i) {
    if (colour === null) return "";
    if (colour.kind === "number") return Number.isNaN(values[i]) ? "none" : String(+values[i].toPrecision(7));
    return colour.labels[values[i]];
  }

  let told = -1;

  function place(i) {
    card.classList.toggle("shown", i >= 0);
    card.classList.toggle("pinned", i >= 0 && i === pinned);
    if (i < 0) {
      told = -1;
      return;
    }
    if (told !== i) {
      told = i;
      const parts = [];
      const at = pictureOf.get(i);
      if (at !== undefined && thumbnails !== null && thumbnails[at]) {
        const image = new Image();
        image.alt = "";
        image.src = "data:image/webp;base64," + thumbnails[at];
        image.onload = mark;
        parts.push(image);
      }
      parts.push(line("name", nameOf(i)), line("folder", folderName(i)));
      const facts = [`image ${data.ids[i]}`];
      if (colour !== null && colour.name !== "folder") facts.push(`${colour.name}: ${valueOf(i)}`);
      if (placedLater[i]) facts.push("placed among the others");
      if (at === undefined) facts.push("no thumbnail in this page");
      parts.push(line("facts", facts.join(" · ")));
      card.replaceChildren(...parts);
    }
    besidePoint(card, plane, i);
  }

  // -- what is shown in full ----------------------------------------------------------------------------------
  let lowered = null;

  function filter() {
    if (needle && lowered === null) {
      const folders = data.folders.map((folder) => folder.toLowerCase());
      const labels = colour !== null && colour.kind !== "number" ? colour.labels.map((l) => l.toLowerCase()) : null;
      lowered = (i) => folders[folderOf[i]] + "/" + nameOf(i).toLowerCase() + (labels ? "\n" + labels[values[i]] : "");
    }
    let hits = 0;
    for (let i = 0; i < n; i++) {
      flags[i] = (only === null || only[shades[i]]) && (!needle || lowered(i).includes(needle)) ? 1 : 0;
      hits += flags[i];
    }
    byId("found").textContent = needle || only !== null ? `${hits.toLocaleString("en")} of ${n.toLocaleString("en")}` : "";
    painter.changed();
    tiles.again();
    hovered = -1;
    redraw();
  }

  // Margin at the borders, also of a narrow screen, so that pictures there are fully visible.
  const fit = () => plane.fit(TILE + 8);

  // -- what the user does -------------------------------------------------------------------------------------
  addGestures(canvas, plane, {
    hovered(px, py) {
      const found = under(px, py);
      if (found !== hovered) mark();
      hovered = found;
    },
    clicked(px, py) {
      hovered = under(px, py);
      pinned = hovered === pinned ? -1 : hovered;
      told = -1;
      mark();
    },
    left() { hovered = -1; mark(); },
  });

  const STEP = 60;
  const keys = {
    "+": () => plane.zoomBy(1.4), "=": () => plane.zoomBy(1.4), "-": () => plane.zoomBy(1 / 1.4), "0": () => fit(),
    ArrowLeft: () => plane.moveBy(STEP, 0), ArrowRight: () => plane.moveBy(-STEP, 0),
    ArrowUp: () => plane.moveBy(0, STEP), ArrowDown: () => plane.moveBy(0, -STEP),
    Escape: () => { pinned = hovered = -1; mark(); }, "/": () => byId("needle").focus(),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    if (event.key in keys) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  byId("in").addEventListener("click", keys["+"]);
  byId("out").addEventListener("click", keys["-"]);
  byId("all").addEventListener("click", fit);
  byId("show").addEventListener("change", mark);
  byId("needle").addEventListener("input", (event) => {
    needle = event.target.value.trim().toLowerCase();
    filter();
  });
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    fit();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(resized).observe(stage);

  if (colour !== null) {
    fillLegend(byId("legend"), colour, plane, (shade) => {
      only = shade;
      filter();
    });
  }
  painter.changed();
  resized();
  fit();
  window.addEventListener("DOMContentLoaded", () => setTimeout(() => {
    thumbnails = JSON.parse(byId("thumbnails").textContent);
    told = -1;
    mark();
  }));
})();
