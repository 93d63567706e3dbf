// A listbox of pictures in justified rows. Only what is near the visible area is in the document, and what follows is
// loaded on the way down; of pictures by date, ids and shapes of all are loaded at once, and the rest where one looks.
// Needs common.js, favourites.js, albums.js, large.js and scrubber.js.
const GAP = 8; // Pixels between pictures of a row.
const BELOW = 14; // Pixels between rows.
const LINE = 18; // Pixels of a line of text below a picture.
const HEADING = 40; // Pixels of a heading with its margin,
const LOW_HEADING = 26; // and on phones.
const PHONE = 600; // Pixels of width.
const FEW = 40; // Up to so many pictures all are in the document.
const FAST = 3; // Pixels in a millisecond.
const LOWEST = 0.75; // Height of a row that takes one more picture, as a share of the usual height.
const NARROWEST = 0.6; // Ratios of width to height beyond these get margins, so that names have room.
const WIDEST = 3;
const SIDES = [128, 256, 512, 1024]; // Longer sides of thumbnails.
const DETAILS = 200; // Pictures whose names are requested at once.
const PLACE = "at"; // URL parameter: the number of the first visible picture.

export default function (component) {
  return mounted(component, Grid);
}

class Grid {
  constructor(parent) {
    this.parent = parent;
    this.selected = new Set();
    this.items = [];
    this.near = new Map(); // Elements of the cards that are in the document, by number.
    this.blocks = new Map(); // The same for headings and lines between cards.
    this.missing = new Set(); // Ids of pictures that cannot be shown.
    this.at = 0; // The card that Tab focuses.
    this.drawn = "";
    this.root = make("div", "grid");
    // Headings lie beside the list, since a listbox may only contain options.
    this.hearts = () => this.showHearts();
    favourites().listeners.add(this.hearts);
    this.over = make("div", "over");
    this.list = make("div", "list");
    this.list.setAttribute("role", "listbox");
    this.list.addEventListener("click", (event) => this.clicked(event));
    // A Shift-click selects from the focused card, so the focus stays there, and no text is selected.
    this.list.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("focusin", (event) => {
      const card = event.target.closest(".card");
      if (card) this.rove(Number(card.dataset.n));
    });
    this.root.append(this.over, this.list);
    this.end = make("div", "end");
    this.end.setAttribute("role", "status");
    this.top = button("↑ Back to the top", "to-top", () => this.toTop());
    this.top.hidden = true;
    this.said = make("div", "toast");
    this.said.setAttribute("role", "status");
    this.keys = new Keys(parent);
    this.keys.closed = () => this.focus(this.at);
    parent.append(this.root, this.end, this.top, this.said);
    this.large = new Large(
      parent,
      (id, key) => this.press(id, key),
      (id, region) => this.trigger("searched", { id, region }),
    );
    this.large.closed = (n) => this.focus(n ?? this.at);
    this.large.reached = (n) => n + 12 > this.items.length && this.load();
    this.scrubber = new Scrubber(parent, (y) => this.jump(y));
    this.scroller = scrollerOf(parent);
    this.listen = () => this.scrolled();
    this.scroller.addEventListener("scroll", this.listen, { passive: true });
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.root);
    if (this.scroller !== document) this.resized.observe(this.scroller);
  }

  close() {
    this.scroller.removeEventListener("scroll", this.listen);
    this.resized.disconnect();
    clearTimeout(this.placing);
    clearTimeout(this.resting);
    clearTimeout(this.naming);
    this.scrubber.close();
    this.large.leave();
    this.loading?.abort();
    favourites().listeners.delete(this.hearts);
  }

  update(data) {
    // The total stands for pictures that have come or gone among those that are not loaded yet.
    const later = data.timeline && [data.timeline, data.total, data.days];
    const drawn = JSON.stringify([data.cards, data.rule_after, data.rule, data.headings, data.more, later]);
    const another = drawn !== this.drawn;
    this.drawn = drawn;
    if (data.epoch !== this.epoch) {
      const before = this.epoch;
      this.epoch = data.epoch;
      this.selected = new Set(data.selected);
      this.told = another ? undefined : data.list;
      if (before !== undefined && !another) this.tell(true);
    }
    this.letters = new Set(data.letters);
    this.list.setAttribute("aria-label", data.label);
    this.base = data.base;
    this.large.opens = data.opens;
    this.large.less = data.less;
    this.large.total = data.total;
    this.help = data.help;
    this.selects = data.selects;
    this.list.setAttribute("aria-multiselectable", data.selects);
    this.root.classList.toggle("covers", !data.selects);
    this.remembers = data.remembers;
    this.id = data.list;
    if (data.row !== this.row) {
      this.row = data.row;
      if (!another) this.lay();
    }
    if (!another) return; // Focus and scroll position stay.
    this.fill(data);
    if (!this.base) return;
    favourites().load(this.base, this.items.map((item) => item.id));
    window.imseekPicture.reopen = () => this.root.isConnected && this.large.restore(this.items, this.base);
    window.imseekPicture.reopen();
  }

  // Shows another list of pictures.
  fill(data) {
    const before = this.items[this.at]?.id;
    const focused = this.list.contains(this.list.getRootNode().activeElement);
    this.loading?.abort();
    this.loading = null;
    this.failed = undefined;
    clearTimeout(this.placing);
    this.items = [...data.cards];
    this.headings = data.days ? headingsOf(data.days) : { ...data.headings };
    this.timeline = data.timeline;
    this.root.classList.toggle("by-date", Boolean(data.days));
    this.rule = data.rule_after === null ? null : { n: data.rule_after, text: data.rule };
    this.more = data.more;
    this.missing.clear();
    this.clear();
    this.rows = null;
    const ids = new Set(this.items.map((item) => item.id));
    const whole = !this.more && !this.timeline;
    const kept = this.told === this.id || whole ? [...this.selected] : [];
    const left = whole ? kept.filter((id) => ids.has(id)) : kept;
    const changed = left.length !== this.selected.size;
    this.selected = new Set(left);
    const same = this.items.findIndex((item) => item.id === before);
    this.at = same < 0 ? 0 : same;
    this.goal = this.remembers ? placeInAddress() : 0;
    this.about = withoutPlace();
    const subject = withoutPlace(history.imseek?.small);
    const another = subject !== this.subject;
    this.subject = subject;
    this.lay();
    if (this.timeline) this.loadTimeline();
    if (this.goal) this.seek();
    else if (this.remembers && (another || (same < 0 && this.visible().top > 0))) this.toTop();
    if (focused && this.items.length) this.focus(this.at);
    if (changed) this.tell(true);
    else this.mark();
  }

  // Removes the elements of cards from number `from` on, or all.
  clear(from = 0) {
    for (const [n, node] of this.near) {
      if (n < from) continue;
      drop(node);
      this.near.delete(n);
    }
    if (from) return;
    for (const node of this.blocks.values()) node.remove();
    this.blocks.clear();
  }

  // -- where everything lies ---------------------------------------------------------------------------------

  fit() {
    if (!this.root.isConnected || !this.items.length) return;
    const width = this.root.clientWidth;
    if (width === this.width) return this.draw(true);
    if (!this.rows) {
      this.lay();
      return this.seek();
    }
    const view = this.visible();
    const first = view.top > 0 ? this.firstVisible(view.top) : 0;
    this.lay();
    if (first) this.scrollTo(this.rows[this.rowOf(first)].top);
  }

  // Lays all cards out, or those that have been added.
  lay(added = false) {
    const width = (this.width = this.root.clientWidth);
    if (!width) return;
    const target = Math.min(this.row, width * 0.5);
    const focused = this.list.contains(this.list.getRootNode().activeElement);
    let [n, y] = [0, 0];
    let resumed = false;
    if (added && this.rows?.length) {
      const last = this.rows.pop();
      [n, y, resumed] = [last.first, last.top, true];
      this.clear(n);
    } else {
      [this.rows, this.between, this.lefts, this.widths] = [[], [], [], []];
      this.clear();
    }
    const { items } = this;
    while (n < items.length) {
      if (!resumed) y = this.above(n, y);
      resumed = false;
      let [end, sum] = [n, 0];
      while (end < items.length && (end === n || !this.breaks(end))) {
        sum += ratioOf(items[end++]);
        if (sum * target + GAP * (end - n - 1) >= width) break;
      }
      let room = width - GAP * (end - n - 1);
      let height = target;
      const full = sum * target >= room;
      if (full) {
        height = room / sum;
        const rest = sum - ratioOf(items[end - 1]);
        if (end - n > 1 && (room + GAP) / rest / target < target / height) {
          end -= 1;
          room += GAP;
          sum = rest;
          height = room / sum;
        }
        // One that would be left over joins the row, if that does not get much lower.
        const last = end < items.length && !this.breaks(end) && this.isEnd(end + 1);
        const joined = last ? (room - GAP) / (sum + ratioOf(items[end])) : 0;
        if (joined > LOWEST * target) {
          end += 1;
          height = joined;
        }
      }
      height = Math.round(height);
      let [x, lines] = [0, 1];
      for (let i = n; i < end; i++) {
        const left = Math.round(x);
        x += ratioOf(items[i]) * height;
        this.lefts[i] = left;
        this.widths[i] = (full && i === end - 1 ? width : Math.min(width, Math.round(x))) - left;
        x += GAP;
        lines = Math.max(lines, 1 + Boolean(items[i].note) + Boolean(items[i].reasons.length));
      }
      this.rows.push({ top: y, height, first: n, end, bottom: y + height + 4 + lines * LINE });
      y += height + 4 + lines * LINE + BELOW;
      n = end;
    }
    this.height = y;
    this.root.style.height = `${y}px`;
    this.root.classList.toggle("narrow", width < PHONE);
    const stops = this.between.filter(({ heading }) => heading?.time !== undefined);
    this.scrubber.place(stops.map(({ top, heading }) => ({ top, text: heading.text, time: heading.time })), y);
    this.draw(true);
    if (focused) this.near.get(this.at)?.focus({ preventScroll: true });
  }

  // Whether no picture follows number `n - 1` below the same heading.
  isEnd(n) {
    return n === this.items.length ? !this.more && !this.timeline : this.breaks(n);
  }

  breaks(n) {
    return this.headings[n] !== undefined || this.rule?.n === n;
  }

  // Makes room for a heading or line above card `n`, and returns where the card begins.
  above(n, y) {
    if (this.headings[n]) {
      this.between.push({ n, top: y + (n ? 8 : 0), heading: this.headings[n] });
      y += (this.width < PHONE ? LOW_HEADING : HEADING) + (n ? 8 : 0);
    }
    if (this.rule?.n === n) {
      this.between.push({ n, top: y, rule: this.rule.text });
      y += HEADING;
    }
    return y;
  }

  // What of the grid is visible, in its own coordinates.
  visible() {
    const box = this.root.getBoundingClientRect();
    const [top, height] =
      this.scroller === document
        ? [0, window.innerHeight]
        : [this.scroller.getBoundingClientRect().top, this.scroller.clientHeight];
    return { top: top - box.top, bottom: top - box.top + height, height };
  }

  // Pixels of what is visible that the bar at the top of the page covers.
  get covered() {
    return parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--imseek-bar")) || 0;
  }

  scrollTo(y) {
    const from = this.scroller === document ? document.scrollingElement : this.scroller;
    from.scrollTop += y - this.visible().top;
  }

  // The last row that begins at or above `value` of `key` (top or first).
  find(key, value) {
    let [low, high] = [0, this.rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle][key] <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  rowOf(n) {
    return this.find("first", n);
  }

  firstVisible(top) {
    let row = this.find("top", top);
    if (this.rows[row].bottom <= top && row + 1 < this.rows.length) row += 1;
    return this.rows[row].first;
  }

  scrolled() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      if (this.root.isConnected) this.draw();
    });
  }

  // Draws what is near the visible area; the rest leaves the document.
  draw(anew = false) {
    if (!this.rows?.length) {
      this.top.hidden = true;
      return this.finish();
    }
    const view = this.visible();
    this.scrubber.show(view.top + this.covered, view.height - this.covered);
    this.top.hidden = view.top < 2 * view.height;
    const moved = Math.abs(view.top - this.middle) > view.height / 3;
    this.hurry(view.top);
    if (anew || moved) {
      this.middle = view.top;
      const few = this.items.length <= FEW;
      const from = few ? 0 : this.find("top", view.top - view.height);
      const to = few ? this.rows.length - 1 : this.find("top", view.bottom + view.height);
      const wanted = new Set();
      for (let n = this.rows[from].first; n < this.rows[to].end; n++) wanted.add(n);
      wanted.add(this.at); // Else the focus would be lost.
      for (const [n, node] of this.near) {
        if (wanted.has(n)) continue;
        drop(node);
        this.near.delete(n);
      }
      let next = this.list.firstChild;
      for (const n of [...wanted].sort((a, b) => a - b)) {
        let node = this.near.get(n);
        if (!node) {
          node = this.card(n);
          this.near.set(n, node);
        }
        if (node === next) next = next.nextSibling;
        else this.list.insertBefore(node, next);
      }
      this.drawBetween(view);
      this.nameSoon();
    }
    if (this.remembers && !this.goal) {
      clearTimeout(this.placing);
      this.placing = setTimeout(() => this.place(), 250);
    }
    if (view.bottom + 3 * view.height > this.height) this.load(); // Reading it from the element would lay the page out.
    this.finish();
  }

  // While somebody scrolls fast, no pictures are requested that will have gone before they come.
  hurry(top) {
    const now = performance.now();
    const fast = this.seen && now - this.seen.now < 200 && Math.abs(top - this.seen.top) > FAST * (now - this.seen.now);
    this.seen = { top, now };
    if (fast) this.hurries = true;
    if (!this.hurries) return;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.hurries = false;
      for (const [n, card] of this.near) if (card.waits) this.show(n, card);
    }, 90);
  }

  show(n, card) {
    card.waits = false;
    card.querySelector(".frame").prepend(this.image(this.items[n], this.widths[n]));
  }

  drawBetween(view) {
    for (const one of this.between) {
      const near = one.top > view.top - view.height && one.top < view.bottom + view.height;
      const made = this.blocks.get(one);
      if (near && !made) {
        const node = one.heading ? this.heading(one.n, one.heading) : this.line(one.rule);
        node.style.top = `${one.top}px`;
        this.blocks.set(one, node);
        this.over.append(node);
      } else if (!near && made) {
        made.remove();
        this.blocks.delete(one);
      }
    }
  }

  // Goes to a position at once, below the bar at the top of the page.
  jump(y) {
    this.scrollTo(y - this.covered);
    this.draw();
  }

  // Loads what is known of all pictures by date: ids, shapes, and days.
  async loadTimeline() {
    const loading = (this.loading = new AbortController());
    try {
      const found = await ask(this.timeline, undefined, { signal: loading.signal });
      if (this.loading !== loading) return;
      const ids = numbersOf(found.ids, found.wide ? Float64Array : Uint32Array);
      const ratios = numbersOf(found.ratios, Uint16Array);
      const known = new Map(this.items.map((item) => [item.id, item]));
      const at = this.items[this.at]?.id;
      const items = Array.from(ids, (id, n) => known.get(id) ?? new Outline(id, ratios[n] / 1000, this.base));
      this.items.splice(0, this.items.length);
      for (const item of items) this.items.push(item); // The large view has the same list.
      this.headings = headingsOf(found.days);
      this.timeline = null;
      this.loading = null;
      this.at = Math.max(0, this.items.findIndex(({ id }) => id === at));
      const { top } = this.visible();
      this.lay();
      if (this.goal) this.seek();
      else if (top > 0) this.jump(top + this.covered);
      this.large.total = this.items.length;
      this.large.grown(this.items);
    } catch (error) {
      if (this.loading !== loading) return;
      this.loading = null;
      this.failed = error.message;
      this.finish();
    }
  }

  // Loads names and descriptions of the pictures in the document that are outlines, once one rests.
  nameSoon() {
    clearTimeout(this.naming);
    const there = () => [...this.near.keys()].filter((n) => this.items[n].outline);
    if (!there().length || !this.base) return;
    this.naming = setTimeout(async () => {
      const numbers = new Map(there().slice(0, DETAILS).map((n) => [this.items[n].id, n]));
      if (!numbers.size) return;
      const { items } = this;
      const { cards } = await ask(`${this.base}/cards?ids=${[...numbers.keys()].join()}`).catch(() => ({ cards: [] }));
      for (const card of cards) {
        const n = numbers.get(card.id);
        if (items[n]?.id !== card.id || !items[n].outline) continue;
        items[n] = { ...card, ratio: items[n].ratio };
        if (this.items === items && this.near.has(n)) this.name(this.near.get(n), items[n]);
      }
      if (this.items === items) favourites().load(this.base, cards.map((card) => card.id));
    }, 80);
  }

  // Writes what a card says below its picture.
  name(card, item) {
    const title = card.querySelector(".title");
    title.replaceChildren(...nameNodes(item.title));
    title.title = item.path || item.title;
    card.querySelector("img")?.setAttribute("alt", item.alt);
    card.label = item.title;
    this.mend(card, item);
  }

  // -- what follows ------------------------------------------------------------------------------------------

  // Loads the pictures that follow, if there are any.
  async load() {
    if (!this.more || this.loading || this.failed) return;
    const loading = (this.loading = new AbortController());
    this.finish();
    try {
      const page = await ask(this.more, undefined, { signal: loading.signal });
      if (this.loading !== loading) return;
      const start = this.items.length;
      this.items.push(...page.cards);
      for (const [n, heading] of Object.entries(page.headings)) this.headings[start + Number(n)] = heading;
      this.more = page.cards.length ? page.more : null;
      this.loading = null;
      this.lay(true);
      favourites().load(this.base, page.cards.map((item) => item.id));
      this.large.grown(this.items);
      if (this.goal) this.seek();
    } catch (error) {
      if (this.loading !== loading) return;
      this.loading = null;
      this.failed = error.message;
      this.goal = 0;
      this.finish();
    }
  }

  // What stands below the last picture.
  finish() {
    const state = this.failed ?? (this.loading ? "loading" : "");
    if (state === this.ended) return;
    this.ended = state;
    this.end.replaceChildren();
    if (this.failed)
      this.end.append(
        make("span", "", this.failed),
        button("Try again", "", () => {
          this.failed = undefined;
          if (this.timeline) this.loadTimeline();
          else this.load();
        }),
      );
    else if (state) this.end.append(make("span", "", "Loading more…"));
  }

  // Goes to the picture whose number is in the address, as soon as it is loaded.
  seek() {
    if (this.timeline) return; // As soon as all are known.
    if (this.goal >= this.items.length && this.more) return void this.load();
    const n = Math.min(this.goal, this.items.length - 1);
    if (!this.rows) return; // As soon as it has a width.
    const { top } = this.rows[this.rowOf(n)];
    // What follows makes room to scroll so far.
    if (this.more && !this.failed && top + this.visible().height > this.root.clientHeight) return void this.load();
    this.goal = 0;
    if (n <= 0) return;
    this.at = n;
    this.scrollTo(top);
    this.draw(true);
  }

  // Writes the number of the first visible picture into the address.
  place() {
    if (this.goal || withoutPlace() !== this.about) return; // The address is that of another search, which is under way.
    const view = this.visible();
    const n = view.top > 0 && this.rows.length ? this.firstVisible(view.top) : 0;
    const to = new URL(location.href);
    if (n === Number(to.searchParams.get(PLACE) ?? 0)) return;
    if (n) to.searchParams.set(PLACE, n);
    else to.searchParams.delete(PLACE);
    history.replaceState(history.state, "", to);
  }

  toTop() {
    (this.scroller === document ? document.scrollingElement : this.scroller).scrollTop = 0;
    this.at = 0;
    this.draw(true);
  }

  // -- cards -------------------------------------------------------------------------------------------------

  line(text) {
    const made = make("div", "rule", text);
    made.setAttribute("role", "separator");
    return made;
  }

  heading(n, { text, note, size, time }) {
    const made = make("div", time === undefined ? "heading" : "heading month");
    const title = make("span", "title", text);
    title.title = text;
    title.dir = "auto";
    const select = button("Select", "select", () => {
      const ids = this.items.slice(n, n + size).map((item) => item.id);
      const all = ids.every((id) => this.selected.has(id));
      ids.forEach((id) => (all ? this.selected.delete(id) : this.selected.add(id)));
      this.tell(true);
    });
    select.setAttribute("aria-label", `Select all of ${text}`);
    made.append(title, make("span", "note", note), select);
    return made;
  }

  card(n) {
    const item = this.items[n];
    const card = make("div", item.faint ? "card faint" : "card");
    const row = this.rows[this.rowOf(n)];
    Object.assign(card.style, { left: `${this.lefts[n]}px`, top: `${row.top}px`, width: `${this.widths[n]}px` });
    card.dataset.n = n;
    card.setAttribute("role", "option");
    card.setAttribute("aria-posinset", n + 1);
    card.setAttribute("aria-setsize", this.more || this.timeline ? -1 : this.items.length);
    if (this.selects) card.setAttribute("aria-selected", this.selected.has(item.id));
    card.tabIndex = n === this.at ? 0 : -1;
    const frame = make("div", "frame");
    frame.style.height = `${row.height}px`;
    // For the mouse; by keyboard, the space bar and letters do the same.
    if (this.selects) {
      const tick = make("span", "tick", "✓");
      tick.setAttribute("aria-hidden", "true");
      tick.title = "Select (space bar)";
      frame.append(tick);
    }
    if (this.letters.has("m")) {
      const like = make("span", "act", "≈");
      like.setAttribute("aria-hidden", "true");
      like.title = "More like this (m)";
      frame.append(like);
    }
    if (this.base) {
      const made = heart("heart");
      made.setAttribute("aria-hidden", "true");
      made.title = "Favourite (f)";
      frame.append(made);
      this.dragged(card, n);
    }
    if (item.mark) {
      const mark = make("span", "mark", item.mark);
      if (item.duplicates?.length) mark.title = `${item.duplicates.length} more of the same picture, or nearly`;
      frame.append(mark);
    }
    const title = make("div", "title");
    title.append(...nameNodes(item.title));
    title.title = item.path || item.title;
    card.append(frame, title);
    if (this.hurries) card.waits = true;
    else this.show(n, card);
    if (item.note) {
      const note = make("div", "note", item.note);
      note.title = item.note;
      card.append(" ", note); // Spaces keep lines apart where only their text counts.
    }
    const why = make("div", "why");
    if (item.reasons.length) {
      why.title = item.reasons.map(({ place, text }) => (text ? `${place}: ${text}` : place)).join(" · ");
      item.reasons.forEach((reason, i) => why.append(...(i ? [" · "] : []), ...reasonNodes(reason, true)));
      card.append(" ", why);
    }
    // What one sees, in its order.
    card.label = [item.mark, item.title, item.note, why.textContent].filter(Boolean).join(" ");
    this.mend(card, item);
    return card;
  }

  // Shows whether it is a favourite.
  mend(card, item) {
    const favourite = Boolean(this.base) && favourites().has(this.base, item.id);
    card.classList.toggle("favourite", favourite);
    card.setAttribute("aria-label", favourite ? `${card.label}, favourite` : card.label);
  }

  showHearts() {
    for (const [n, card] of this.near) this.mend(card, this.items[n]);
  }

  image(item, width) {
    if (!item.src) return make("div", "gone", item.alt); // The cover of an empty album.
    if (this.missing.has(item.id)) return this.gone();
    const image = make("img");
    image.decoding = "async";
    image.alt = item.alt;
    image.draggable = false; // The card is dragged instead.
    image.addEventListener("error", () => {
      if (!image.hasAttribute("src")) return;
      this.missing.add(item.id);
      image.replaceWith(this.gone());
    });
    // The side of a thumbnail is its longer one, and `w` means its width.
    const share = Math.min(1, item.ratio || 1);
    const sides = SIDES.filter((_, i) => !item.side || i === 0 || SIDES[i - 1] < item.side);
    image.sizes = `${width}px`;
    image.srcset = sides.map((side) => `${sized(item.src, side)} ${Math.max(1, Math.round(side * share))}w`).join(", ");
    image.src = item.src;
    // Small ones are not blown up.
    if (item.side) image.style.maxWidth = `${Math.round(item.side * share * 2)}px`;
    return image;
  }

  gone() {
    return make("div", "gone", "This picture cannot be shown");
  }

  // -- focus and selection -----------------------------------------------------------------------------------

  rove(n) {
    if (!this.items.length) return;
    const before = this.near.get(this.at);
    if (before) before.tabIndex = -1;
    this.at = n;
    const node = this.near.get(n);
    if (node) node.tabIndex = 0;
  }

  focus(n) {
    if (!this.rows?.length) return;
    const to = Math.min(n, this.items.length - 1);
    const view = this.visible();
    const row = this.rows[this.rowOf(to)];
    const bar = this.selected.size ? 110 : 12; // What floats at the bottom covers none of it.
    if (row.top < view.top + this.covered) this.scrollTo(row.top - 12 - this.covered);
    else if (row.bottom + bar > view.bottom) this.scrollTo(Math.min(row.top, row.bottom + bar - view.height));
    this.rove(to);
    this.draw(true);
    this.near.get(to).focus({ preventScroll: true });
  }

  clicked(event) {
    const card = event.target.closest(".card");
    if (!card) return;
    const n = Number(card.dataset.n);
    if (event.shiftKey && this.selects) this.range(n);
    else if (event.target.closest(".tick") || (this.selects && (event.ctrlKey || event.metaKey))) this.toggle(n);
    else if (event.target.closest(".heart")) favourites().toggle(this.base, this.items[n].id);
    else if (event.target.closest(".act")) this.press(this.items[n].id, "m");
    else {
      card.focus({ preventScroll: true });
      this.open(n);
      return;
    }
    card.focus({ preventScroll: true });
  }

  pressed(event) {
    if (!event.target.closest(".card")) return;
    const n = this.at;
    const last = this.items.length - 1;
    const to = {
      ArrowLeft: n - 1,
      ArrowRight: n + 1,
      ArrowUp: this.beside(n, -1),
      ArrowDown: this.beside(n, 1),
      Home: 0,
      End: last,
    }[event.key];
    if (to !== undefined && !event.altKey && !event.metaKey) {
      if (to >= 0 && to <= last) {
        if (event.shiftKey && this.selects) this.range(to);
        this.focus(to);
      }
    } else if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key !== "a" || event.altKey || !this.selects) return;
      this.items.forEach((item) => this.selected.add(item.id));
      this.tell(true);
    } else if (event.key === "Enter") this.open(n);
    else if (event.key === " ") this.selects ? this.toggle(n) : this.open(n);
    else if (event.key === "Escape" && this.selected.size) {
      this.selected.clear();
      this.tell(true);
    } else if (event.key === "c" && this.selected.size && this.selects) this.compare();
    else if (this.letters.has(event.key)) this.press(this.items[n].id, event.key);
    else if (event.key === "f" && this.base) favourites().toggle(this.base, this.items[n].id);
    else if (event.key === "?" && this.help.length) this.keys.show(this.help);
    else if (event.key === "o" && this.base)
      launch(this.base, this.items[n].id, this.large.opens, (said) => this.say(said));
    else if (event.key === "y" && this.items[n].path)
      copy(this.items[n].path, this.said, (said) => this.say(said));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The card above or below: in the next row, the one whose middle is nearest.
  beside(n, step) {
    const row = this.rows[this.rowOf(n) + step];
    if (!row) return -1;
    const middle = this.lefts[n] + this.widths[n] / 2;
    let best = row.first;
    for (let i = row.first; i < row.end; i++) {
      const off = (j) => Math.abs(this.lefts[j] + this.widths[j] / 2 - middle);
      if (off(i) < off(best)) best = i;
    }
    return best;
  }

  open(n) {
    if (this.base) this.large.open(this.items, n, this.base);
    else this.trigger("opened", this.items[n].id);
  }

  // Shows the selected pictures side by side: see bar.js.
  compare() {
    const n = this.selected.size;
    if (n >= FEWEST_COMPARED && n <= MOST_COMPARED) dispatchEvent(new CustomEvent("imseek-compare", { detail: this.chosen() }));
    else this.say(`Select two to four pictures to compare them. ${n.toLocaleString("en")} ${n === 1 ? "is" : "are"} selected.`);
  }

  press(id, key) {
    this.trigger("pressed", { id, key, list: this.id });
  }

  // Lets a card be dragged onto an album: what is selected, if it is one of them.
  dragged(card, n) {
    card.draggable = true;
    card.addEventListener("dragstart", (event) => {
      const { id } = this.items[n];
      const ids = this.selected.has(id) ? [...this.selected] : [id];
      event.dataTransfer.effectAllowed = "copy";
      event.dataTransfer.setData("text/plain", this.items[n].path);
      event.dataTransfer.setDragImage(card.querySelector("img") ?? card, 20, 20);
      albumTray().open(this.base, ids);
    });
    card.addEventListener("dragend", () => albumTray().close());
  }

  toggle(n) {
    const { id } = this.items[n];
    if (!this.selected.delete(id)) this.selected.add(id);
    this.tell(true);
  }

  range(n) {
    const [from, to] = [Math.min(this.at, n), Math.max(this.at, n)];
    for (let i = from; i <= to; i++) this.selected.add(this.items[i].id);
    this.tell(true);
  }

  mark() {
    if (!this.selects) return;
    for (const [n, card] of this.near) card.setAttribute("aria-selected", this.selected.has(this.items[n].id));
    this.root.classList.toggle("choosing", this.selected.size > 0);
  }

  tell(changed) {
    this.mark();
    if (!changed) return;
    this.told = this.id;
    this.setState("selected", { ids: this.chosen(), list: this.id });
  }

  // The selected ids in the order of the cards, then those that are not loaded.
  chosen() {
    const there = this.items.map((item) => item.id).filter((id) => this.selected.has(id));
    return [...new Set([...there, ...this.selected])];
  }

  say(text) {
    this.said.append(make("span", "", text));
    setTimeout(() => this.said.querySelector("span")?.remove(), 4000);
  }
}

function ratioOf(item) {
  return Math.min(WIDEST, Math.max(NARROWEST, item.ratio || 1));
}

function sized(src, side) {
  return src.replace(/([?&]side=)\d+/, `$1${side}`);
}

// Removes a card; a picture that has not arrived is not waited for.
function drop(node) {
  const image = node.querySelector("img");
  if (image && !image.complete) {
    image.removeAttribute("src");
    image.removeAttribute("srcset");
  }
  node.remove();
}

// The address without what may change while the same pictures are shown, and without parameters of these `names`.
function withoutPlace(names = []) {
  const to = new URL(location.href);
  for (const name of [PLACE, "size", "view", ...names]) to.searchParams.delete(name);
  return to.pathname + to.searchParams;
}

function placeInAddress() {
  const n = Number(new URL(location.href).searchParams.get(PLACE));
  return Number.isInteger(n) && n > 0 ? Math.min(n, 1e6) : 0;
}

// The element that scrolls what contains `node`.
function scrollerOf(node) {
  for (let at = node; at; at = at.parentNode ?? at.host) {
    if (!(at instanceof Element)) continue;
    if (at !== document.documentElement && /auto|scroll/.test(getComputedStyle(at).overflowY)) return at;
  }
  return document;
}
