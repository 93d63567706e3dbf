// One picture large, in a dialog over the page. `base` is the base URL of the collection's pictures; `asked(id,
// letter)` is called for requests to the page: m, more like this picture, or l, less; `searched(id, region)` for a
// search by a part of it. Needs common.js, changes.js, favourites.js, zoom.js, region.js
// and picture_address.js.
const LARGE_KEYS = [
  ["Arrows, Home, End", "go from picture to picture; arrows move an enlarged one"],
  ["+, -, 0", "larger, smaller, as large as the window"],
  ["z", "fit it to the window, or show it pixel by pixel"],
  ["f", "a favourite, or not"],
  ["1 to 5", "rate it; the same again: unrated"],
  ["t", "frames around the text in it, or none"],
  ["m", "more like this one"],
  ["l", "less like this one"],
  ["r", "draw a box in it, and search by that"],
  ["o", "open it"],
  ["y", "copy its path"],
  ["Ctrl+Z", "undo the last change"],
  ["Esc", "close"],
  ["?", "these keys"],
];

class Large {
  constructor(parent, asked, searched) {
    this.asked = asked;
    this.searched = searched;
    this.items = [];
    this.total = null; // How many pictures there are with those that are not loaded yet, if it is known.
    this.less = true; // Whether "less like this" is offered, which needs a search.
    this.dialog = make("dialog", "large");
    this.dialog.setAttribute("aria-label", "Picture");
    this.frame = make("div", "frame");
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "group");
    this.frame.setAttribute("aria-label", "Picture");
    this.canvas = make("div", "canvas");
    this.frame.append(this.canvas);
    this.zoom = new Zoom(this.frame, this.canvas, (pixels) => this.sharpen(pixels));
    this.region = new RegionBox(this.frame, this.canvas, this.zoom, (region) => this.part(region));
    this.ready = new Map(); // Pictures that are loaded in advance, by id.
    this.wait = make("div", "wait");
    this.previous = button("‹", "previous", () => this.show(this.at - 1), "Previous picture");
    this.next = button("›", "next", () => this.show(this.at + 1), "Next picture");
    const stage = make("div", "stage");
    this.film = make("div", "film");
    this.film.setAttribute("role", "group");
    this.film.setAttribute("aria-label", "Pictures before and after");
    this.stills = new Map(); // Its buttons by number.
    this.keys = new Keys(parent);
    stage.append(this.frame, this.previous, this.next, this.wait, this.region.bar, this.film);
    this.facts = make("div", "facts");
    const body = make("div", "body");
    body.append(stage, this.facts);
    this.dialog.append(body);
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.address = new PictureAddress(() => this.dialog.close());
    swipes(stage, () => this.actual || this.region.active, {
      left: () => this.show(this.at + 1),
      right: () => this.show(this.at - 1),
      up: () => (body.scrollTop = stage.offsetHeight), // On phones, what is known of the picture lies below it.
      down: () => (body.scrollTop > 0 ? (body.scrollTop = 0) : this.dialog.close()),
    });
    this.body = body;
    this.boxes = make("div", "boxes");
    this.changed = () => this.dialog.open && this.about();
    this.hearts = () => this.dialog.open && this.mend();
    this.dialog.addEventListener("close", () => {
      if (this.dialog.open) return; // The event comes late: Forward may have opened it again.
      this.region.hide();
      this.address.leave();
      changes().within(null);
      changes().listeners.delete(this.changed);
      favourites().listeners.delete(this.hearts);
      this.waiting?.abort();
      clearTimeout(this.resting);
      this.id = undefined;
      this.canvas.replaceChildren();
      this.ready.clear();
      this.stills.clear();
      this.film.replaceChildren();
      this.closed?.(this.alone ? null : this.at);
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    parent.append(this.dialog);
  }

  open(items, n, base) {
    this.items = items;
    this.base = base;
    if (!this.dialog.open) {
      this.dialog.showModal();
      changes().within(this.dialog);
      changes().listeners.add(this.changed);
      favourites().listeners.add(this.hearts);
    }
    this.show(n);
    this.frame.focus();
  }

  // Closes it as its part of the page goes away, which would take the messages about changes with it.
  leave() {
    this.closed = null;
    if (this.dialog.open) this.dialog.close();
  }

  // Whether the picture is not among the others, or not yet: the URL may name any.
  get alone() {
    return this.items[0]?.alone ?? false;
  }

  // Whether it is enlarged, so that gestures move it.
  get actual() {
    return this.zoom.enlarged;
  }

  // Opens the picture that the URL names, among others or alone.
  restore(items, base) {
    const id = PictureAddress.requested();
    if (id === null || this.dialog.open) return;
    const n = numberOf(id, items);
    const alone = { id, title: `Picture ${id}`, alt: "", note: "", path: "", reasons: [], duplicates: [], alone: true };
    this.open(n < 0 ? [alone] : items, Math.max(n, 0), base);
    if (n >= 0 && items[n].id !== id) this.show(n, id);
  }

  // Shows item `n`, or another picture in its place: one of its duplicates, or `other`, a card.
  show(n, id = this.items[n]?.id, other = null) {
    if (n < 0 || n >= this.items.length) return;
    this.writing = null;
    this.at = n;
    this.id = id;
    this.other = other;
    this.address.show(id);
    this.boxes.replaceChildren();
    this.region.hide();
    const item = this.items[n];
    this.previous.hidden = n === 0;
    this.next.hidden = n === this.items.length - 1;
    const shown = other ?? (id === item.id ? item : null);
    this.picture(shown, shown?.alt ?? "A duplicate");
    const head = make("div", "head");
    head.append(
      (this.count = make("span", "")),
      button("✕", "close", () => this.dialog.close(), "Close"),
    );
    this.said = make("div", "said");
    this.said.setAttribute("role", "status");
    this.more = make("div");
    const row = make("div", "row");
    row.append(button("More like this", "more", () => this.like("m")));
    if (this.less) row.append(button("Less like this", "less", () => this.like("l")));
    this.heart = button("", "favour", () => favourites().toggle(this.base, this.id));
    this.heart.append(heart(""));
    row.append(this.heart);
    this.mend();
    favourites().load(this.base, [id]);
    row.append(button("Search a part", "search-part", () => this.draw(), "Draw a box in the picture, and search by it (r)"));
    this.title = make("h2", "", shown ? shown.title : `A duplicate of ${item.title}`);
    this.facts.replaceChildren(head, this.title);
    if (id !== item.id) {
      const back = button("", "back", () => this.show(this.at), `Back to ${item.title}`);
      back.append("‹ ", ...nameNodes(item.title));
      this.facts.append(back);
    }
    if (item.note && id === item.id) this.facts.append(make("div", "dim", item.note));
    if (id === item.id) {
      for (const reason of item.reasons) {
        const line = make("div", "reason");
        line.append(...reasonNodes(reason, false));
        this.facts.append(line);
      }
    }
    this.alike = make("div", "alike");
    this.facts.append(row, this.said, this.alike, this.more);
    this.facts.scrollTop = 0;
    this.grown();
    this.reached?.(n);
    this.hold();
    this.about();
    this.strip();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.similar(), 300);
  }

  // Shows whether it is a favourite.
  mend() {
    const favourite = favourites().has(this.base, this.id);
    this.heart.classList.toggle("is-favourite", favourite);
    this.heart.setAttribute("aria-label", "Favourite");
    this.heart.title = "Favourite (f)";
    this.heart.setAttribute("aria-pressed", favourite);
  }

  // Loads the pictures before and after this one, the next first, once this one is there.
  prepare() {
    const near = [1, -1, 2].map((step) => this.items[this.at + step]?.id).filter((id) => id !== undefined);
    for (const id of this.ready.keys()) if (!near.includes(id) && id !== this.id) this.ready.delete(id);
    for (const id of near) {
      if (this.ready.has(id)) continue;
      const image = make("img");
      this.ready.set(id, image);
      image.src = this.small(id);
      image.decode().catch(() => this.ready.get(id) === image && this.ready.delete(id));
    }
  }

  // The small pictures below: some before and after this one.
  strip() {
    const [from, to] = [Math.max(0, this.at - 12), Math.min(this.items.length - 1, this.at + 12)];
    for (const [n, node] of this.stills) {
      if (n >= from && n <= to) continue;
      node.remove();
      this.stills.delete(n);
    }
    let next = this.film.firstChild;
    for (let n = from; n <= to; n++) {
      let node = this.stills.get(n);
      if (!node) {
        const item = this.items[n];
        node = button("", "still", () => this.show(n), item.title);
        node.tabIndex = -1; // The arrow keys do the same.
        node.append(still(`${this.base}/images/${item.id}/thumbnail?side=128`));
        this.stills.set(n, node);
      }
      if (node === next) next = next.nextSibling;
      else this.film.insertBefore(node, next);
      node.setAttribute("aria-current", n === this.at);
    }
    this.film.hidden = this.items.length < 2;
    const node = this.stills.get(this.at);
    this.film.scrollLeft = node.offsetLeft + node.offsetWidth / 2 - this.film.clientWidth / 2;
  }

  // Pictures that look similar, once one rests on this picture.
  async similar() {
    const { id, waiting } = this;
    let cards = [];
    try {
      ({ cards } = await ask(`${this.base}/images/${id}/similar`, undefined, { signal: waiting.signal }));
    } catch {
      return; // This is an extra: the picture's own details report what is wrong.
    }
    if (id !== this.id || !cards.length) return;
    const row = make("div", "same");
    for (const card of cards) {
      const one = button("", "one", () => this.show(this.at, card.id, card), card.title);
      one.append(still(card.src));
      row.append(one);
    }
    this.alike.replaceChildren(make("h3", "", "Similar pictures"), row);
  }

  // Says where one is, also once more `items` have been loaded, among which a picture that was alone may be.
  grown(items = this.items) {
    if (!this.dialog.open || !this.count) return;
    const n = this.alone ? numberOf(this.items[0].id, items) : -1;
    if (n >= 0 && items !== this.items) {
      this.items = items;
      return this.show(n, this.id, this.other);
    }
    if (this.alone) return;
    const of = Math.max(this.total ?? 0, this.items.length);
    this.count.textContent = `${(this.at + 1).toLocaleString("en")} of ${of.toLocaleString("en")}`;
    this.next.hidden = this.at === this.items.length - 1;
  }

  // The focused element may be gone, and key presses with it.
  hold() {
    const active = this.dialog.getRootNode().activeElement;
    if (!active || active.hidden || !this.dialog.contains(active)) this.frame.focus();
  }

  small(id) {
    return `${this.base}/images/${id}/thumbnail?side=1024`;
  }

  // Shows what is loaded in advance at once, otherwise the grid's thumbnail until the picture has come.
  picture(item, alt) {
    const { id } = this;
    const loaded = this.ready.get(id);
    const image = loaded?.complete && loaded.naturalWidth ? loaded : make("img");
    image.alt = alt;
    image.fetchPriority = "high";
    this.gone?.remove();
    this.gone = null;
    this.reason = "";
    this.source = this.small(id);
    this.image = image;
    this.detail = 1024; // Pixels of the longer side of what is shown.
    this.sized = item?.side > 0;
    const ratio = item?.ratio || 1;
    const side = item?.side || 1024;
    this.canvas.style.backgroundImage = item?.src ? `url("${item.src}")` : "";
    this.canvas.replaceChildren(image, this.boxes, this.region.layer);
    this.zoom.show(...(ratio >= 1 ? [side, side / ratio] : [side * ratio, side]).map((pixels) => Math.max(1, pixels)));
    const arrived = () => {
      if (image !== this.image) return;
      this.wait.textContent = "";
      this.canvas.style.backgroundImage = "";
      if (!this.sized) this.zoom.resize(image.naturalWidth, image.naturalHeight);
      this.prepare();
    };
    if (image === loaded) return arrived();
    this.wait.textContent = "Loading…";
    image.addEventListener("load", arrived);
    image.addEventListener("error", () => {
      if (image !== this.image) return;
      this.wait.textContent = "";
      this.canvas.style.backgroundImage = "";
      this.gone = make("div", "gone", this.lost());
      this.canvas.replaceChildren();
      this.frame.append(this.gone);
      this.explain(this.source);
      this.prepare();
    });
    image.src = this.source;
  }

  // Loads the picture with as many pixels as it is shown with, if it has them.
  sharpen(pixels) {
    clearTimeout(this.sharpening);
    if (!this.known || this.known.id !== this.id || this.gone) return;
    this.sharpening = setTimeout(async () => {
      const { id, image } = this;
      const source = sharperSource(this.base, this.known, pixels, this.detail, this.actual);
      if (!source) return;
      const better = make("img");
      better.alt = image.alt;
      better.src = source.src;
      this.wait.textContent = "Loading…";
      await better.decode().catch(() => null);
      if (id !== this.id || image !== this.image) return;
      this.wait.textContent = "";
      this.detail = source.side;
      if (!better.naturalWidth) return; // The preview stays.
      this.image = better;
      image.replaceWith(better);
    }, 150);
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
    let reason = "The server sends this picture, but this browser does not show it.";
    try {
      await ask(source);
    } catch (error) {
      reason = `${error.message}.`;
    }
    if (this.gone !== gone) return;
    this.reason = reason;
    gone.textContent = this.lost();
  }

  async about() {
    this.waiting?.abort();
    this.waiting = new AbortController();
    const { id, waiting } = this;
    try {
      const known = await ask(`${this.base}/images/${id}/about`, undefined, { signal: waiting.signal });
      if (id !== this.id) return;
      this.known = known;
      if (known.width && known.height) {
        this.sized = true;
        this.zoom.resize(known.width, known.height);
      }
      this.tell(known);
      this.zoom.place();
    } catch (error) {
      if (error.name !== "AbortError" && id === this.id) this.say(error.message);
    }
  }

  tell(known) {
    if (this.writing === known.id) return; // What is being written stays.
    if (this.gone) this.gone.textContent = this.lost();
    if ((this.alone || !this.title.textContent) && known.place) this.title.textContent = known.place.path.split("/").at(-1);
    this.image.alt ||= this.title.textContent; // Of some, nothing but the shape was known.
    const row = make("div", "row");
    row.append(button("Actual size", "original", () => this.whole(), "Show it pixel by pixel, or fitted (z)"), button("Open", "open", () => this.launch()));
    if (known.place) row.append(button("Copy path", "copy", () => this.copyPath()));
    const parts = [row];
    if (!known.shown && known.format)
      parts.push(make("div", "dim", `A preview: browsers do not show ${known.format}.`));
    parts.push(this.stars(known), this.caption(known));
    parts.push(...this.written(known), make("h3", "", "Tags"), this.tags(known));
    parts.push(...this.same());
    parts.push(make("h3", "", "Location"));
    if (known.place) {
      parts.push(this.scrolls(this.foreign("div", "path", known.place.path), "Path"));
      const within = { archive: "Inside an archive.", table: "In a table.", web: "On the web." }[known.place.kind];
      if (within) parts.push(make("div", "dim", within));
      else parts.push(button("Copy folder", "folder", () => this.copied(known.place.folder), known.place.folder));
      if (known.place.here === false) parts.push(make("div", "", "The file is missing."));
    } else parts.push(make("div", "dim", "Unknown: index its folder again."));
    if (known.gps) parts.push(...this.spot(known.gps));
    parts.push(make("h3", "", "Details"), headedRows(known.facts));
    if (known.columns.length) {
      const rest = make("details");
      rest.append(make("summary", "", `More (${known.columns.length})`), headedRows(known.columns));
      rest.open = this.unfolded ?? false;
      rest.addEventListener("toggle", () => (this.unfolded = rest.open));
      parts.push(rest);
    }
    this.more.replaceChildren(...parts);
    this.hold();
  }

  // The rating, to be changed; another press of the same star takes it back.
  stars(known) {
    const row = make("div", "stars");
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "Rating");
    for (let n = 1; n <= 5; n++) {
      const star = button(n <= known.rating ? "★" : "☆", "star", () => this.rate(n), `${n} ${n === 1 ? "star" : "stars"} (${n})`);
      star.setAttribute("aria-pressed", n === known.rating);
      row.append(star);
    }
    if (known.rating === -1) row.append(make("span", "dim", "rejected"));
    return row;
  }

  rate(n) {
    if (this.known?.id === this.id) this.edit({ rating: this.known.rating === n ? 0 : n });
  }

  // The caption, with a button that turns it into a field.
  caption(known) {
    const box = make("div", "captioned");
    if (known.caption) box.append(this.scrolls(this.foreign("div", "caption", known.caption), "Caption"));
    const opener = button(known.caption ? "Edit caption" : "Add a caption", "edit-caption", () => this.write(known, box));
    box.append(opener);
    return box;
  }

  write(known, box) {
    const form = make("form", "writing");
    const field = make("textarea");
    field.value = known.caption;
    field.rows = 3;
    field.maxLength = 2000;
    field.dir = "auto";
    field.setAttribute("aria-label", "Caption");
    const cancel = () => {
      this.writing = null;
      const before = this.caption(known);
      box.replaceWith(before);
      before.querySelector(".edit-caption").focus();
    };
    const row = make("div", "row");
    row.append(make("button", "plain save", "Save"), button("Cancel", "", cancel));
    form.append(field, row);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.writing = null;
      if (field.value.trim() === known.caption.trim()) return cancel();
      this.edit({ caption: field.value.trim() || null });
    });
    form.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && !event.shiftKey && event.target === field && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      } else if (event.key === "Escape") {
        event.preventDefault(); // It would close the large view.
        cancel();
      }
    });
    this.writing = known.id;
    box.replaceChildren(form);
    field.focus();
  }

  async edit(values) {
    const { id } = this;
    try {
      const { change } = await ask(`${this.base}/images/${id}/edit`, values);
      if (change) changes().made(this.base, change);
      else if (id === this.id) await this.about();
    } catch (error) {
      this.say(error.message);
    }
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
    const text = this.scrolls(make("div", "written"), "Text in the picture");
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
    const frames = matching.length ? matching : framed;
    for (const line of framed) {
      const frame = make("div", frames.includes(line) ? "box framed" : "box");
      const [left, top, width, height] = line.box.map((share) => `${100 * share}%`);
      Object.assign(frame.style, { left, top, width, height });
      // The text itself lies over the picture, unseen, so that it can be selected there.
      const letters = this.foreign("span", "letters", line.text);
      letters.style.fontSize = `${Math.min(80, 85 * line.box[3])}cqh`;
      frame.append(letters);
      this.boxes.append(frame);
    }
    requestAnimationFrame(() => this.stretch());
    if (framed.length) {
      this.toggle = button("Frames", "frames", () => this.showBoxes(!this.framed), "Frames around the text (t)");
      row.append(this.toggle);
      this.showBoxes(this.framing ?? matching.length > 0, false);
    }
    parts.push(row);
    return parts;
  }

  get framed() {
    return this.boxes.classList.contains("shown");
  }

  showBoxes(shown, chosen = true) {
    if (chosen) this.framing = shown;
    this.boxes.classList.toggle("shown", shown);
    this.toggle.setAttribute("aria-pressed", shown);
  }

  // Makes the letters as wide as the lines of the picture.
  stretch() {
    for (const letters of this.boxes.querySelectorAll(".letters")) {
      const width = letters.offsetWidth;
      if (width) letters.style.transform = `scaleX(${letters.parentNode.clientWidth / width})`;
    }
  }

  // May be scrolled, also by keyboard.
  scrolls(node, label) {
    node.tabIndex = 0;
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", label);
    return node;
  }

  foreign(name, className, text) {
    const made = make(name, className, text);
    made.dir = "auto";
    return made;
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
      const { change } = await ask(`${this.base}/tags`, { tag, add, ids: [id] });
      changes().made(this.base, change);
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

  // Shows its own pixels, one for each of the screen, or fits it to the window.
  whole() {
    this.zoom.toggle();
  }

  // Offers a box to be drawn in the picture.
  draw() {
    if (this.gone) return this.say("This picture cannot be shown, so no part of it can be chosen.");
    this.body.scrollTop = 0; // On phones, the picture may be above.
    this.region.start();
  }

  part(region) {
    const id = this.id;
    this.address.leave(() => this.searched(id, region));
    this.dialog.close();
  }

  like(letter) {
    const id = this.id;
    this.address.leave(() => this.asked(id, letter));
    this.dialog.close();
  }

  pressed(event) {
    event.stopPropagation(); // Neither for the grid below nor for Streamlit's own keys.
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    if (this.region.pressed(event)) return;
    const to = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: this.items.length - 1 }[event.key];
    if (/^[1-5]$/.test(event.key)) {
      this.rate(Number(event.key));
      event.preventDefault();
      return;
    }
    const acts = {
      m: () => this.like("m"),
      l: () => this.less && this.like("l"),
      r: () => this.draw(),
      o: () => this.launch(),
      y: () => this.copyPath(),
      z: () => this.whole(),
      f: () => favourites().toggle(this.base, this.id),
      t: () => this.boxes.childElementCount && this.showBoxes(!this.framed),
      "?": () => this.keys.show(LARGE_KEYS.filter(([key]) => this.less || key !== "l")),
      "+": () => this.zoom.to(this.zoom.scale * 1.5),
      "=": () => this.zoom.to(this.zoom.scale * 1.5),
      "-": () => this.zoom.to(this.zoom.scale / 1.5),
      0: () => this.zoom.reset(),
    };
    const step = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    if (step && this.actual && event.composedPath()[0] === this.frame) {
      this.zoom.at = this.zoom.at.map((at, i) => at + step[i]);
      this.zoom.place();
      event.preventDefault();
      return;
    }
    if (to !== undefined) this.show(to);
    else if (event.key in acts) acts[event.key]();
    else return;
    event.preventDefault();
  }
}

// The number of a picture, or of the one that it duplicates, among `items`; -1 if it is not there.
function numberOf(id, items) {
  return items.findIndex((item) => item.id === id || item.duplicates?.includes(id));
}

// Opens the picture that the URL names if `listOf(id)` returns a list with it, now and when the browser goes forward to
// it. If no part of a page has it, viewer.js shows it alone.
function reopens(large, root, listOf, base) {
  const reopen = () => {
    const id = PictureAddress.requested();
    const items = id === null || !root.isConnected ? null : listOf(id);
    if (items) large.restore(items, base);
  };
  picture.reopen = reopen;
  reopen();
}

// A small picture beside the large one; nothing where it cannot be shown.
function still(src) {
  const image = make("img");
  image.alt = "";
  image.decoding = "async";
  image.addEventListener("error", () => image.remove());
  image.src = src;
  return image;
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
