// One picture large, in a dialog over the page. `base` is the base URL of the collection's pictures; `asked(id,
// letter)` is called for requests to the page: m, more like this picture, or l, less.
class Large {
  constructor(parent, asked) {
    this.asked = asked;
    this.items = [];
    this.less = true; // Whether "less like this" is offered, which needs a search.
    this.dialog = make("dialog", "large");
    this.dialog.setAttribute("aria-label", "Picture");
    this.frame = make("div", "frame");
    this.frame.tabIndex = 0;
    this.frame.addEventListener("click", () => this.original && this.size(!this.actual));
    this.wait = make("div", "wait");
    this.previous = button("‹", "previous", () => this.show(this.at - 1), "Previous picture");
    this.next = button("›", "next", () => this.show(this.at + 1), "Next picture");
    const stage = make("div", "stage");
    stage.append(this.frame, this.previous, this.next, this.wait);
    this.facts = make("div", "facts");
    const body = make("div", "body");
    body.append(stage, this.facts);
    this.dialog.append(body);
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.address = new PictureAddress(() => this.dialog.close());
    swipes(stage, () => this.actual, {
      left: () => this.show(this.at + 1),
      right: () => this.show(this.at - 1),
      down: () => body.scrollTop <= 0 && this.dialog.close(),
    });
    this.boxes = make("div", "boxes");
    new ResizeObserver(() => this.placeBoxes()).observe(this.frame);
    this.dialog.addEventListener("close", () => {
      this.address.leave();
      this.waiting?.abort();
      this.frame.replaceChildren();
      this.closed?.(this.at);
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    parent.append(this.dialog);
  }

  open(items, n, base) {
    this.items = items;
    this.base = base;
    if (!this.dialog.open) this.dialog.showModal();
    this.show(n);
    this.frame.focus();
  }

  // Opens the picture that the URL names, among others or alone.
  restore(items, base) {
    const id = PictureAddress.requested();
    if (id === null) return;
    const n = items.findIndex((item) => item.id === id || item.duplicates?.includes(id));
    const alone = { id, title: `Picture ${id}`, alt: "", note: "", path: "", reasons: [], duplicates: [], alone: true };
    this.open(n < 0 ? [alone] : items, Math.max(n, 0), base);
    if (n >= 0 && items[n].id !== id) this.show(n, id);
  }

  // Shows item `n`, or another picture in its place, such as one of its duplicates.
  show(n, id = this.items[n]?.id) {
    if (n < 0 || n >= this.items.length) return;
    this.at = n;
    this.id = id;
    this.address.show(id);
    this.boxes.replaceChildren();
    const item = this.items[n];
    this.original = this.actual = false;
    this.frame.classList.remove("actual");
    this.previous.hidden = n === 0;
    this.next.hidden = n === this.items.length - 1;
    this.picture(id === item.id ? item.alt : "A duplicate", this.small(id));
    const head = make("div", "head");
    head.append(
      make("span", "", `${n + 1} of ${this.items.length}`),
      button("✕", "close", () => this.dialog.close(), "Close"),
    );
    this.said = make("div", "said");
    this.said.setAttribute("role", "status");
    this.more = make("div");
    const row = make("div", "row");
    row.append(button("More like this", "more", () => this.like("m")));
    if (this.less) row.append(button("Less like this", "less", () => this.like("l")));
    this.title = make("h2", "", id === item.id ? item.title : `A duplicate of ${item.title}`);
    this.facts.replaceChildren(head, this.title);
    if (item.note && id === item.id) this.facts.append(make("div", "dim", item.note));
    if (id === item.id) {
      for (const reason of item.reasons) {
        const line = make("div", "reason");
        line.append(...reasonNodes(reason, false));
        this.facts.append(line);
      }
    }
    this.facts.append(row, this.said, this.more);
    this.facts.scrollTop = 0;
    this.hold();
    this.about();
    for (const near of [n + 1, n - 1]) {
      if (this.items[near]) new Image().src = this.small(this.items[near].id);
    }
  }

  // The focused element may be gone, and key presses with it.
  hold() {
    const active = this.dialog.getRootNode().activeElement;
    if (!active || active.hidden || !this.dialog.contains(active)) this.frame.focus();
  }

  small(id) {
    return `${this.base}/images/${id}/thumbnail?side=1024`;
  }

  picture(alt, source) {
    const image = make("img");
    image.alt = alt;
    image.fetchPriority = "high";
    image.addEventListener("load", () => {
      this.wait.textContent = "";
      this.placeBoxes();
    });
    image.addEventListener("error", () => {
      if (!image.isConnected) return;
      this.wait.textContent = "";
      this.gone = make("div", "gone", this.lost());
      image.replaceWith(this.gone);
      this.explain(source);
    });
    this.gone = null;
    this.reason = "";
    this.wait.textContent = "Loading…";
    image.src = source;
    this.boxes.style.visibility = "hidden"; // Until it is known where the picture is.
    this.frame.replaceChildren(image, this.boxes);
  }

  lost() {
    const known = this.known?.id === this.id ? this.known : null;
    if (known?.place?.here === false)
      return `The file is missing: ${known.place.path}. Connect its drive, restore it, or index the folder again.`;
    return this.reason || "This picture cannot be shown. Its file may have moved: index its folder again.";
  }

  // The server's reason why the picture cannot be shown.
  async explain(source) {
    const { gone } = this;
    try {
      await ask(source);
    } catch (error) {
      if (this.gone !== gone) return;
      this.reason = `${error.message}.`;
      gone.textContent = this.lost();
    }
  }

  async about() {
    this.waiting?.abort();
    this.waiting = new AbortController();
    const { id, waiting } = this;
    try {
      const known = await ask(`${this.base}/images/${id}/about`, undefined, { signal: waiting.signal });
      if (id !== this.id) return;
      this.known = known;
      this.tell(known);
    } catch (error) {
      if (error.name !== "AbortError" && id === this.id) this.say(error.message);
    }
  }

  tell(known) {
    if (this.gone) this.gone.textContent = this.lost();
    if (this.items[this.at].alone && known.place) this.title.textContent = known.place.path.split("/").at(-1);
    const row = make("div", "row");
    const original = button("Original", "original", () => this.whole(), "Show the picture as it is stored");
    original.disabled = !known.shown;
    if (!known.shown) original.title = `Browsers do not show ${known.format || "this format"}`;
    row.append(original, button("Open", "open", () => this.launch()));
    if (known.place) row.append(button("Copy path", "copy", () => this.copyPath()));
    const parts = [row];
    if (!known.shown && known.format)
      parts.push(make("div", "dim", `A preview: browsers do not show ${known.format}.`));
    if (known.caption) parts.push(this.foreign("div", "caption", known.caption));
    parts.push(...this.written(known), make("h3", "", "Tags"), this.tags(known));
    parts.push(...this.same());
    parts.push(make("h3", "", "Location"));
    if (known.place) {
      parts.push(this.foreign("div", "path", known.place.path));
      const within = { archive: "Inside an archive.", table: "In a table.", web: "On the web." }[known.place.kind];
      if (within) parts.push(make("div", "dim", within));
      else parts.push(button("Copy folder", "folder", () => this.copied(known.place.folder), known.place.folder));
      if (known.place.here === false) parts.push(make("div", "", "The file is missing."));
    } else parts.push(make("div", "dim", "Unknown: index its folder again."));
    if (known.gps) parts.push(...this.spot(known.gps));
    parts.push(make("h3", "", "Details"), this.table(known.facts));
    if (known.columns.length) {
      const rest = make("details");
      rest.append(make("summary", "", `More (${known.columns.length})`), this.table(known.columns));
      rest.open = this.unfolded ?? false;
      rest.addEventListener("toggle", () => (this.unfolded = rest.open));
      parts.push(rest);
    }
    this.more.replaceChildren(...parts);
    this.hold();
  }

  // The words of the query that stand in the picture.
  found() {
    const item = this.items[this.at];
    return this.id === item.id ? item.reasons.filter(({ place }) => place === "text").flatMap(({ words }) => words) : [];
  }

  // The text in the picture, to be selected and copied, and the frames around its lines.
  written(known) {
    const lines = known.lines;
    this.boxes.replaceChildren();
    if (!lines?.length) return [];
    const words = this.found();
    const text = make("div", "written");
    for (const line of lines) {
      const shown = this.foreign("div", "", "");
      shown.append(...marked(line.text, words));
      text.append(shown);
    }
    const parts = [make("h3", "", "Text in the picture"), text];
    const row = make("div", "row");
    row.append(button("Copy text", "copy-text", () => this.copied(lines.map((line) => line.text).join("\n"))));
    const framed = lines.filter((line) => line.box);
    const matching = framed.filter((line) => spansOf(line.text, words).length);
    for (const { box } of matching.length ? matching : framed) {
      const frame = make("div", "box");
      const [left, top, width, height] = box.map((share) => `${100 * share}%`);
      Object.assign(frame.style, { left, top, width, height });
      this.boxes.append(frame);
    }
    if (framed.length) {
      this.toggle = button("Frames", "frames", () => this.showBoxes(this.boxes.hidden), "Frames around the text (t)");
      row.append(this.toggle);
      this.showBoxes(this.framing ?? matching.length > 0, false);
    }
    this.placeBoxes();
    parts.push(row);
    return parts;
  }

  showBoxes(shown, chosen = true) {
    if (chosen) this.framing = shown;
    this.boxes.hidden = !shown;
    this.toggle.setAttribute("aria-pressed", shown);
  }

  // Lays the frames over the picture, which may be smaller than its element.
  placeBoxes() {
    const image = this.frame.querySelector("img");
    if (!image?.naturalWidth) return;
    const { naturalWidth, naturalHeight, offsetLeft, offsetTop, clientWidth, clientHeight } = image;
    const scale = Math.min(1, clientWidth / naturalWidth, clientHeight / naturalHeight);
    const [width, height] = [naturalWidth * scale, naturalHeight * scale];
    Object.assign(this.boxes.style, {
      left: `${offsetLeft + (clientWidth - width) / 2}px`,
      top: `${offsetTop + (clientHeight - height) / 2}px`,
      width: `${width}px`,
      height: `${height}px`,
      visibility: "",
    });
  }

  foreign(name, className, text) {
    const made = make(name, className, text);
    made.dir = "auto";
    return made;
  }

  table(rows) {
    const table = make("table");
    for (const [label, value] of rows) {
      const row = make("tr");
      const head = make("th", "", label);
      head.scope = "row";
      row.append(head, make("td", "", value));
      table.append(row);
    }
    return table;
  }

  spot(gps) {
    const row = make("div");
    const link = make("a", "", "OpenStreetMap");
    link.href = gps.map;
    link.target = "_blank";
    link.rel = "noreferrer noopener";
    link.title = "Opens openstreetmap.org, which will see these coordinates";
    const app = make("a", "", "Maps app");
    app.href = gps.geo;
    app.rel = "noreferrer";
    row.append(make("span", "", gps.text), " · ", link, " · ", app);
    return [make("h3", "", "Taken at"), row];
  }

  same() {
    const item = this.items[this.at];
    const others = [item.id, ...(item.duplicates || [])].filter((id) => id !== this.id);
    if (!item.duplicates?.length) return [];
    const box = make("div", "same");
    for (const id of others) {
      const one = button("", "one", () => this.show(this.at, id), "Show this one");
      const image = make("img");
      image.alt = `image ${id}`;
      image.src = `${this.base}/images/${id}/thumbnail?side=256`;
      one.append(image);
      box.append(one);
    }
    return [make("h3", "", "Duplicates"), box];
  }

  tags(known) {
    const box = make("div", "tags");
    for (const { tag, provenance } of known.tags) {
      const chip = this.foreign("span", "tag", provenance === "person" ? tag : `${tag} (${provenance})`);
      chip.title = `Added by: ${provenance}`;
      const away = make("button", "", "×");
      away.type = "button";
      away.setAttribute("aria-label", `Remove the tag ${tag}`);
      away.addEventListener("click", () => this.tag(tag, false));
      chip.append(away);
      box.append(chip);
    }
    box.append(tagging(this.base, (tag) => this.tag(tag, true), "A tag for this picture"));
    return box;
  }

  async tag(tag, add) {
    const id = this.id;
    this.say(add ? "Adding…" : "Removing…");
    const slow = setTimeout(() => this.say("Waiting for another program that writes to this collection…"), 1500);
    try {
      await ask(`${this.base}/tags`, { tag, add, ids: [id] });
      this.say("");
      if (id === this.id) await this.about();
      this.more.querySelector(".tagging input")?.focus();
    } catch (error) {
      this.say(error.message);
    } finally {
      clearTimeout(slow);
    }
  }

  say(text) {
    this.said.textContent = text;
  }

  copyPath() {
    const path = this.known?.id === this.id ? this.known.place?.path : this.items[this.at].path;
    if (path) this.copied(path);
  }

  copied(text) {
    copy(text, this.facts, (said) => this.say(said));
  }

  async launch() {
    await launch(this.base, this.id, this.known?.opens ?? this.opens, (said) => this.say(said));
  }

  // Shows the original instead of the picture scaled for the window.
  whole() {
    if (!this.known?.shown || this.known.id !== this.id) return;
    if (this.original) return this.size(!this.actual);
    this.original = true;
    this.picture(this.items[this.at].alt, `${this.base}/images/${this.id}`);
  }

  // Shows its actual pixels, or fits it to the window.
  size(actual) {
    this.actual = actual;
    this.frame.classList.toggle("actual", actual);
    this.placeBoxes();
  }

  like(letter) {
    const id = this.id;
    this.address.leave(() => this.asked(id, letter));
    this.dialog.close();
  }

  pressed(event) {
    event.stopPropagation(); // Neither for the grid below nor for Streamlit's own keys.
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const to = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: this.items.length - 1 }[event.key];
    const acts = {
      m: () => this.like("m"),
      l: () => this.less && this.like("l"),
      o: () => this.launch(),
      y: () => this.copyPath(),
      z: () => this.whole(),
      t: () => this.boxes.childElementCount && this.showBoxes(this.boxes.hidden),
    };
    if (to !== undefined && !(this.actual && event.composedPath()[0] === this.frame)) this.show(to);
    else if (event.key in acts) acts[event.key]();
    else return;
    event.preventDefault();
  }
}

// Opens it in the system's viewer if the pages are served to this machine alone, else in another tab.
async function launch(base, id, opens, say) {
  if (!opens) {
    window.open(`${base}/images/${id}`, "_blank", "noreferrer");
    return;
  }
  try {
    await ask(`${base}/images/${id}/open`, {});
    say("Opened.");
  } catch (error) {
    say(error.message);
  }
}
