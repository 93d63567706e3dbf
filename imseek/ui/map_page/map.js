// A map of images: points in one vertex buffer, panned and zoomed in the shader; a grid finds what is under the pointer.
// Texts come from file names and metadata: they are set as textContent only.
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
  // Of classes: one each, then grey for all others. Of numbers: stops from low to high, then grey for none.
  const colours = data.colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255));
  const isRamp = colour !== null && colour.kind === "number";
  const flags = new Uint8Array(n).fill(1);  // 1: shown in full, 0: dimmed

  const stage = byId("stage"), canvas = byId("points"), overlay = byId("pictures"), card = byId("card");
  const view = { x: 0, y: 0, scale: 1 };  // what is in the middle, and how many times it is enlarged
  const LARGEST = 4000, SMALLEST = 0.5;
  let width = 1, height = 1, ratio = 1;
  let hovered = -1, pinned = -1, only = -1, needle = "";
  let waiting = false, moved = true;

  // -- where things are ---------------------------------------------------------------------------------------
  const unit = () => 0.47 * Math.min(width, height) * view.scale;  // pixels for 1
  const screenX = (x) => width / 2 + (x - view.x) * unit();
  const screenY = (y) => height / 2 - (y - view.y) * unit();
  const dotSize = () => Math.max(2.5, Math.min(14, 2 * Math.sqrt(width * height / n) / 6 * Math.sqrt(view.scale)));

  const CELLS = 256;
  const cellOf = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor((value + 1) / 2 * CELLS)));
  const starts = new Uint32Array(CELLS * CELLS + 1), inCells = new Uint32Array(n);
  for (let i = 0; i < n; i++) starts[cellOf(ys[i]) * CELLS + cellOf(xs[i]) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
  const filled = starts.slice();
  for (let i = 0; i < n; i++) inCells[filled[cellOf(ys[i]) * CELLS + cellOf(xs[i])]++] = i;

  /** Calls `each` for the points of all cells that meet a square. */
  function within(left, right, low, high, each) {
    for (let row = cellOf(low); row <= cellOf(high); row++) {
      const first = starts[row * CELLS + cellOf(left)], last = starts[row * CELLS + cellOf(right) + 1];
      for (let at = first; at < last; at++) each(inCells[at]);
    }
  }

  /** The point nearest to a place on the screen, -1 where none is near. */
  function under(px, py) {
    const reach = (Math.max(10, dotSize())) / unit();
    const x = view.x + (px - width / 2) / unit(), y = view.y - (py - height / 2) / unit();
    let best = -1, least = reach * reach;
    for (const [left, top, w, h, i] of tiles) {
      if (px >= left && py >= top && px <= left + w && py <= top + h) return i;
    }
    within(x - reach, x + reach, y - reach, y + reach, (i) => {
      const apart = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
      if (flags[i] && apart < least) [best, least] = [i, apart];
    });
    return best;
  }

  // -- drawing ------------------------------------------------------------------------------------------------
  const map = {
    count: n, xs, ys, shades, flags, colours, isRamp, view, unit, dotSize, screenX, screenY, within,
    get width() { return width; },
    get height() { return height; },
    get ratio() { return ratio; },
  };
  const css = (shade) => cssColour(map, shade);
  const withoutShaders = () => {
    byId("without").hidden = false;
    draw = plainPoints(map, canvas);
    redraw();
  };
  let draw = shadedPoints(map, canvas, withoutShaders);
  if (draw === null) withoutShaders();

  // -- pictures -----------------------------------------------------------------------------------------------
  let thumbnails = null;  // read when the points have been drawn
  const images = new Map();

  /** A thumbnail by its number; null until it is there. */
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

  const TILE = 60;  // pixels from one picture to the next, at least
  let picked = [], pickedAt = -1;  // numbers of pictures that are shown, and at which scale

  /** Pictures, the most representative first, that are not too near to one before: the same wherever the map is moved. */
  function pick() {
    const apart = TILE / unit(), cells = new Map();
    const key = (column, row) => column * 65_536 + row;
    [picked, pickedAt] = [[], unit()];
    for (let at = 0; at < pictured.length; at++) {
      const i = pictured[at];
      if (!flags[i]) continue;
      const column = Math.floor(xs[i] / apart), row = Math.floor(ys[i] / apart);
      let free = true;
      for (let near = 0; free && near < 9; near++) {
        const other = cells.get(key(column + near % 3 - 1, row + Math.floor(near / 3) - 1));
        free = other === undefined || Math.max(Math.abs(xs[other] - xs[i]), Math.abs(ys[other] - ys[i])) >= apart;
      }
      if (!free) continue;
      cells.set(key(column, row), i);
      picked.push(at);
    }
  }

  let tiles = [];  // what is drawn: [left, top, width, height, point]

  function drawPictures(context) {
    if (pickedAt !== unit()) pick();
    const border = 2;
    for (const at of picked) {
      const i = pictured[at], x = screenX(xs[i]), y = screenY(ys[i]);
      if (x < -TILE || y < -TILE || x > width + TILE || y > height + TILE) continue;
      const image = picture(at);
      if (image === null) continue;
      const fit = (TILE - 4 * border) / Math.max(image.naturalWidth, image.naturalHeight);
      const w = fit * image.naturalWidth, h = fit * image.naturalHeight;
      const [left, top] = [x - w / 2, y - h / 2];
      context.fillStyle = css(shades[i]);
      context.fillRect(left - border, top - border, w + 2 * border, h + 2 * border);
      context.drawImage(image, left, top, w, h);
      tiles.push([left, top, w, h, i]);
    }
  }

  const context = overlay.getContext("2d");

  function frame() {
    waiting = false;
    if (moved) draw.points();  // What is under the pointer changes nothing of the points.
    moved = false;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    tiles = [];
    if (byId("show").checked) drawPictures(context);
    const marked = pinned >= 0 ? pinned : hovered;
    if (marked >= 0) {
      context.strokeStyle = getComputedStyle(document.body).color;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(screenX(xs[marked]), screenY(ys[marked]), dotSize() / 2 + 4, 0, 7);
      context.stroke();
    }
    place(marked);
  }

  function redraw() {
    moved = true;
    mark();
  }

  /** Draws again what lies over the points. */
  function mark() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(frame);
    }
  }

  function resized() {
    ratio = Math.min(window.devicePixelRatio || 1, 2);
    [width, height] = [Math.max(1, stage.clientWidth), Math.max(1, stage.clientHeight)];
    for (const one of [canvas, overlay]) [one.width, one.height] = [width * ratio, height * ratio];
    redraw();
  }

  // -- the card -----------------------------------------------------------------------------------------------
  const nameOf = (i) => data.names[i], folderName = (i) => data.folders[folderOf[i]];

  function valueOf(i) {
    if (colour === null) return "";
    if (colour.kind === "number") return Number.isNaN(values[i]) ? "none" : String(+values[i].toPrecision(7));
    return colour.labels[values[i]];
  }

  function line(kind, text) {
    const made = document.createElement("p");
    made.className = kind;
    made.textContent = text;
    return made;
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
    const box = card.getBoundingClientRect(), gap = dotSize() / 2 + 10;
    let left = screenX(xs[i]) + gap, top = screenY(ys[i]) - box.height / 2;
    if (left + box.width > width - 4) left = screenX(xs[i]) - gap - box.width;
    left = Math.max(4, Math.min(width - box.width - 4, left));
    top = Math.max(4, Math.min(height - box.height - 4, top));
    card.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
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
      flags[i] = (only < 0 || shades[i] === only) && (!needle || lowered(i).includes(needle)) ? 1 : 0;
      hits += flags[i];
    }
    byId("found").textContent = needle || only >= 0 ? `${hits.toLocaleString("en")} of ${n.toLocaleString("en")}` : "";
    draw.flagged();
    [hovered, pickedAt] = [-1, -1];
    redraw();
  }

  /** Moves to where all that is shown in full can be seen. */
  function fit() {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < n; i++) {
      if (!flags[i]) continue;
      [left, right] = [Math.min(left, xs[i]), Math.max(right, xs[i])];
      [low, high] = [Math.min(low, ys[i]), Math.max(high, ys[i])];
    }
    if (left > right) return;
    [view.x, view.y, view.scale] = [(left + right) / 2, (low + high) / 2, 1];
    // So much is left at the borders, of a narrow screen too, that pictures there are seen whole.
    const within = (side) => Math.max(Math.min(0.92 * side, side - TILE - 8), 1);
    const across = Math.max((right - left) / within(width), (high - low) / within(height), 1e-9);
    zoomTo(1 / across / unit());
  }

  function zoomTo(scale) {
    view.scale = Math.max(SMALLEST, Math.min(LARGEST, scale));
    redraw();
  }

  /** Enlarges by a factor, and what lies at a place of the screen stays there. */
  function zoomBy(factor, px = width / 2, py = height / 2) {
    const x = view.x + (px - width / 2) / unit(), y = view.y - (py - height / 2) / unit();
    zoomTo(view.scale * factor);
    view.x = x - (px - width / 2) / unit();
    view.y = y + (py - height / 2) / unit();
  }

  function moveBy(px, py) {
    view.x = Math.max(-1.5, Math.min(1.5, view.x - px / unit()));
    view.y = Math.max(-1.5, Math.min(1.5, view.y + py / unit()));
    redraw();
  }

  // -- what the user does -------------------------------------------------------------------------------------
  const pointers = new Map();
  let travelled = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    travelled = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = at(event), before = pointers.get(event.pointerId);
    if (before === undefined) {
      const found = under(...now);
      if (found !== hovered) mark();
      hovered = found;
      return;
    }
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
    if (others.length) {
      const apart = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
      zoomBy(apart(now, others[0]) / apart(before, others[0]), ...others[0]);
    } else {
      moveBy(now[0] - before[0], now[1] - before[1]);
    }
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    pointers.set(event.pointerId, now);
    canvas.classList.add("moving");
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      pointers.delete(event.pointerId);
      canvas.classList.remove("moving");
      if (kind === "pointerup" && travelled < 5) {
        hovered = under(...at(event));
        pinned = hovered === pinned ? -1 : hovered;
        told = -1;
        mark();
      }
    });
  }
  canvas.addEventListener("pointerleave", () => { hovered = -1; mark(); });
  canvas.addEventListener("dblclick", (event) => zoomBy(2, ...at(event)));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), ...at(event));
  }, { passive: false });

  const STEP = 60;
  const keys = {
    "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), "0": () => fit(),
    ArrowLeft: () => moveBy(STEP, 0), ArrowRight: () => moveBy(-STEP, 0),
    ArrowUp: () => moveBy(0, STEP), ArrowDown: () => moveBy(0, -STEP),
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
    fillLegend(byId("legend"), colour, map, (shade) => {
      only = shade;
      filter();
    });
  }
  draw.flagged();
  resized();
  fit();
  window.addEventListener("DOMContentLoaded", () => setTimeout(() => {
    thumbnails = JSON.parse(byId("thumbnails").textContent);
    told = -1;
    mark();
  }));
})();
