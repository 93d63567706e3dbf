// Two to four pictures side by side, in a dialog: enlarged and moved together, with what is known of them and where that
// differs. Needs common.js, changes.js and zoom.js.
const COMPARE_KEYS = [
  ["Arrows", "move enlarged pictures, all together"],
  ["+, -, 0", "larger, smaller, as large as their frames"],
  ["z", "fit them, or show them pixel by pixel"],
  ["d", "only what differs, or everything"],
  ["i", "with or without what is known of them"],
  ["Esc", "close"],
  ["?", "these keys"],
];

class SideBySide {
  constructor(parent) {
    this.dialog = make("dialog", "sides");
    this.dialog.setAttribute("aria-label", "Pictures side by side");
    this.panes = make("div", "panes");
    this.panes.tabIndex = 0;
    this.panes.setAttribute("role", "group");
    this.panes.setAttribute("aria-label", "Pictures, moved and enlarged together");
    this.known = make("div", "known");
    this.known.tabIndex = 0;
    this.known.setAttribute("role", "group");
    this.known.setAttribute("aria-label", "Information");
    const head = make("div", "sides-head");
    this.count = make("span", "count");
    this.only = button("Only differences", "only", () => this.differences(), "What is the same is left out (d)");
    head.append(this.count, this.only, button("Information", "info", () => this.information(), "With or without it (i)"));
    head.append(button("✕", "close", () => this.dialog.close(), "Close"));
    this.said = make("div", "said");
    this.said.setAttribute("role", "status");
    this.dialog.append(head, this.panes, this.said, this.known);
    this.keys = new Keys(parent);
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.dialog.addEventListener("close", () => {
      changes().within(null);
      this.waiting?.abort();
      this.views.forEach((view) => clearTimeout(view.sharpening));
      this.panes.replaceChildren();
      this.known.replaceChildren();
      this.views = [];
      this.closed?.();
    });
    this.views = [];
    parent.append(this.dialog);
  }

  open(ids, base) {
    if (ids.length < FEWEST_COMPARED || ids.length > MOST_COMPARED || this.dialog.open) return;
    this.base = base;
    this.waiting = new AbortController();
    this.said.textContent = "";
    this.count.textContent = `${ids.length} pictures`;
    this.panes.dataset.count = ids.length;
    this.panes.replaceChildren();
    this.dialog.showModal();
    changes().within(this.dialog);
    this.views = ids.map((id) => this.view(id));
    this.differences(false);
    this.dialog.classList.remove("bare");
    this.panes.focus();
    this.load();
  }

  view(id) {
    const figure = make("figure", "pane");
    const frame = make("div", "frame");
    const canvas = make("div", "canvas");
    const image = make("img");
    const name = make("figcaption", "", `Picture ${id}`);
    const view = { id, canvas, image, name, detail: 1024, known: null };
    figure.append(name, frame);
    this.panes.append(figure);
    canvas.append(image);
    frame.append(canvas);
    view.zoom = new Zoom(frame, canvas, (pixels) => {
      if (!view.zoom || this.following) return;
      this.sharpen(view, pixels);
      this.follow(view);
    });
    image.alt = "";
    image.addEventListener("load", () => (canvas.style.backgroundImage = "")); // What is transparent shows none of it.
    image.addEventListener("load", () => !view.known?.width && this.resize(view, image.naturalWidth, image.naturalHeight));
    image.addEventListener("error", () => frame.replaceChildren(make("div", "gone", "This picture cannot be shown.")));
    canvas.style.backgroundImage = `url("${this.base}/images/${id}/thumbnail?side=256")`; // The server has made it already.
    image.src = `${this.base}/images/${id}/thumbnail?side=1024`;
    return view;
  }

  // A picture whose size is known now is shown as the others are.
  resize(view, width, height) {
    const other = this.views.find((one) => one !== view && one.zoom.size[0]);
    this.following = true;
    view.zoom.resize(width, height);
    this.following = false;
    if (other) this.follow(other);
  }

  // Shows the same part of all pictures as of this one.
  follow(view) {
    const { zoom } = view;
    if (!zoom.size[0]) return;
    const factor = zoom.scale / zoom.fit;
    const room = (one) => [one.frame.clientWidth, one.frame.clientHeight];
    const middle = room(zoom).map((side, i) => (side / 2 - zoom.at[i]) / (zoom.size[i] * zoom.scale || 1));
    this.following = true;
    for (const one of this.views) {
      if (one === view || !one.zoom.size[0]) continue;
      one.zoom.measure();
      one.zoom.scale = one.zoom.fit * factor;
      one.zoom.at = room(one.zoom).map((side, i) => side / 2 - middle[i] * one.zoom.size[i] * one.zoom.scale);
      one.zoom.place();
      this.sharpen(one, Math.max(...one.zoom.size) * one.zoom.scale * devicePixelRatio);
    }
    this.following = false;
  }

  sharpen(view, pixels) {
    clearTimeout(view.sharpening);
    const better = view.known && sharperSource(this.base, view.known, pixels, view.detail, view.zoom.enlarged);
    if (!better) return;
    view.sharpening = setTimeout(async () => {
      const image = make("img");
      image.alt = view.image.alt;
      image.src = better.src;
      await image.decode().catch(() => null);
      if (!image.naturalWidth || !view.canvas.isConnected || view.detail >= better.side) return;
      view.detail = better.side;
      view.image.replaceWith(image);
      view.image = image;
    }, 150);
  }

  async load() {
    const { waiting, base } = this;
    const found = await Promise.all(
      this.views.map(({ id }) =>
        ask(`${base}/images/${id}/about`, undefined, { signal: waiting.signal }).catch((error) => {
          if (error.name !== "AbortError") this.said.textContent = error.message;
          return null;
        }),
      ),
    );
    if (waiting.signal.aborted) return;
    found.forEach((known, n) => {
      const view = this.views[n];
      view.known = known;
      if (!known) return;
      view.name.textContent = view.image.alt = nameOf(known);
      view.name.title = known.place?.path ?? "";
      if (known.width && known.height) this.resize(view, known.width, known.height);
    });
    this.tell(found);
  }

  // A table with a column for each picture, in which rows that differ are marked.
  tell(found) {
    const rows = new Map();
    found.forEach((known, n) => {
      for (const [label, value] of known ? factsOf(known) : []) {
        if (!rows.has(label)) rows.set(label, Array(found.length).fill(""));
        rows.get(label)[n] = value;
      }
    });
    const table = make("table");
    const head = make("tr");
    head.append(make("td"));
    for (const view of this.views) {
      const cell = make("th", "", view.name.textContent);
      cell.scope = "col";
      cell.dir = "auto";
      head.append(cell);
    }
    table.append(head);
    for (const [label, values] of rows) {
      const differs = new Set(values).size > 1;
      const row = make("tr", differs ? "differs" : "");
      const name = make("th", "", label);
      name.scope = "row";
      if (differs) {
        const mark = make("span", "mark", "≠");
        mark.setAttribute("role", "img");
        mark.setAttribute("aria-label", "differs");
        name.prepend(mark, " ");
      }
      row.append(name);
      for (const value of values) {
        const cell = make("td", "", value || "–");
        cell.dir = "auto";
        row.append(cell);
      }
      table.append(row);
    }
    this.known.replaceChildren(table);
  }

  differences(only = !this.dialog.classList.contains("differing")) {
    this.dialog.classList.toggle("differing", only);
    this.only.setAttribute("aria-pressed", only);
  }

  information() {
    this.dialog.classList.toggle("bare");
  }

  pressed(event) {
    event.stopPropagation(); // Neither for the grid below nor for Streamlit's own keys.
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const first = this.views.find(({ zoom }) => zoom.size[0])?.zoom;
    const step = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    const acts = {
      d: () => this.differences(),
      i: () => this.information(),
      z: () => first?.toggle(),
      "?": () => this.keys.show(COMPARE_KEYS),
      "+": () => first?.to(first.scale * 1.5),
      "=": () => first?.to(first.scale * 1.5),
      "-": () => first?.to(first.scale / 1.5),
      0: () => first?.reset(),
    };
    if (step && first?.enlarged && !event.composedPath().includes(this.known)) {
      first.at = first.at.map((at, i) => at + step[i]);
      first.place();
    } else if (event.key in acts) acts[event.key]();
    else return;
    event.preventDefault();
  }
}

function nameOf(known) {
  return known.place ? known.place.path.split("/").at(-1) : `Picture ${known.id}`;
}

// What is known of a picture, as label and value.
function factsOf(known) {
  return [
    ...(known.place ? [["Folder", known.place.folder]] : []),
    ...(known.caption ? [["Caption", known.caption]] : []),
    ...known.facts,
    ["Tags", known.tags.map(({ tag }) => tag).sort().join(", ")],
    ...(known.gps ? [["Taken at", known.gps.text]] : []),
    ...known.columns,
  ];
}
