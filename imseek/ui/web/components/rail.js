// Facets with live counts: a panel beside the pictures, or a sheet over them where there is no room. Needs common.js,
// changes.js, watch_app.js and world_map.js.
const WIDE = matchMedia("(min-width: 1100px)");
const FEW = 8; // Values that are shown at first.
const FOLDERS = 20; // Folders up to which there is no field to find them by,
const LINES = 400; // and the most that the server sends.
const PAUSE = 150; // Milliseconds without a key press, before values are found by a text.
const STATE = "imseek-rail"; // In localStorage: whether the panel is open, and which of its sections.
const FOLDED = new Set(["has_text", "camera", "aspect", "megapixels", "format"]); // At first.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export default function (component) {
  return mounted(component, Rail);
}

class Rail {
  constructor(parent) {
    this.sections = new Map(); // By column.
    this.opened = new Set(); // Folders whose subfolders are shown.
    this.view = null; // The part of the world that the map shows.
    this.state = readState();
    this.opener = make("button", "opener plain");
    this.opener.type = "button";
    this.opener.addEventListener("click", () => this.show(!this.shown, true));
    // Beside the pictures it is no dialog: one that is open would take the Esc meant for the large view.
    this.panel = make("div", "panel");
    this.panel.hidden = true;
    this.sheet = make("dialog", "sheet");
    this.sheet.setAttribute("aria-label", "Filters");
    const head = make("div", "head");
    this.clear = button("Clear all", "clear", () => this.trigger("changed", { column: "" }));
    head.append(make("h2", "", "Filters"), this.clear, button("✕", "away", () => this.show(false, true), "Close the filters"));
    this.said = make("div", "said");
    this.said.setAttribute("role", "status");
    this.body = make("div", "body");
    this.panel.append(head, this.said, this.body);
    parent.append(this.opener, this.sheet, this.panel);
    this.sheet.addEventListener("close", () => {
      changes().within(null);
      this.closed();
    });
    this.sheet.addEventListener("click", (event) => event.target === this.sheet && this.show(false));
    this.panel.addEventListener("keydown", (event) => {
      event.stopPropagation(); // Streamlit and the grid have keys of their own.
      if (event.key === "Escape" && WIDE.matches && !isTyping(event)) this.opener.focus();
    });
    this.turned = () => this.show(WIDE.matches && this.state.open !== false);
    WIDE.addEventListener("change", this.turned);
    this.shown = false;
  }

  close() {
    WIDE.removeEventListener("change", this.turned);
    delete document.documentElement.dataset.imseekRail;
    this.loading?.abort();
    if (this.sheet.open) this.sheet.close();
  }

  update(data) {
    const address = `${data.url}#${data.generation}`;
    this.chosen = data.chosen;
    const number = make("span", "number", String(data.chosen));
    this.opener.replaceChildren("Filters", ...(data.chosen ? [" ", number, make("span", "unseen", " chosen")] : []));
    this.clear.hidden = !data.chosen;
    const another = address !== this.address;
    this.address = address;
    const collection = data.url.split("?")[0];
    if (collection !== this.collection) {
      this.collection = collection;
      this.opened.clear();
      this.view = null;
    }
    this.url = data.url;
    if (!this.started) {
      this.started = true;
      this.show(WIDE.matches && this.state.open !== false);
    } else if (another && this.shown) this.load();
  }

  // Opens or closes the panel; `told`: somebody wants it so, from now on.
  show(shown, told = false) {
    if (told && WIDE.matches) this.save({ open: shown });
    if (this.sheet.open) this.sheet.close();
    this.shown = shown;
    const beside = WIDE.matches;
    this.panel.hidden = !shown;
    this.panel.classList.toggle("beside", beside);
    for (const [name, value] of [["role", "region"], ["aria-label", "Filters"]])
      beside ? this.panel.setAttribute(name, value) : this.panel.removeAttribute(name);
    if (beside === (this.panel.parentNode === this.sheet)) beside ? this.sheet.after(this.panel) : this.sheet.append(this.panel);
    if (shown && beside) document.documentElement.dataset.imseekRail = "open";
    else delete document.documentElement.dataset.imseekRail;
    if (shown && !beside) {
      this.sheet.showModal();
      changes().within(this.sheet);
    }
    this.opener.setAttribute("aria-expanded", shown);
    if (shown && this.address !== this.loaded) this.load();
    if (told && !shown) this.opener.focus();
  }

  closed() {
    if (this.sheet.open || WIDE.matches) return;
    this.shown = false;
    this.opener.setAttribute("aria-expanded", "false");
  }

  save(change) {
    Object.assign(this.state, change);
    try {
      localStorage.setItem(STATE, JSON.stringify(this.state));
    } catch {
      // Not permitted; it is forgotten then.
    }
  }

  async load() {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const { address } = this;
    this.body.setAttribute("aria-busy", "true");
    try {
      await drawn(loading.signal); // Counted earlier, the numbers would hold up the pictures.
      const { facets, note } = await ask(this.asking({}), undefined, { signal: loading.signal });
      if (this.loading !== loading) return;
      this.loaded = address;
      this.fill(facets);
      this.say(note || (facets.length ? "" : "These pictures have nothing to filter by."));
    } catch (error) {
      if (error.name !== "AbortError" && this.loading === loading) this.say(error.message);
    } finally {
      if (this.loading === loading) this.body.removeAttribute("aria-busy");
    }
  }

  // The URL of the counts, of one facet alone with `only`, by a text with `holding`.
  asking(more) {
    const to = new URL(this.url, location.href);
    for (const folder of this.opened) to.searchParams.append("open", folder);
    if (this.view) to.searchParams.set("view", this.view.map((one) => one.toFixed(6)).join());
    for (const [name, value] of Object.entries(more)) to.searchParams.set(name, value);
    return to.pathname + to.search;
  }

  say(text) {
    this.said.textContent = text;
  }

  fill(facets) {
    const there = new Set(facets.map(({ column }) => column));
    for (const [column, section] of this.sections) {
      if (there.has(column)) continue;
      section.root.remove();
      this.sections.delete(column);
    }
    facets.forEach((facet, n) => {
      if (!this.sections.has(facet.column)) {
        const section = new Section(this, facet);
        this.sections.set(facet.column, section);
        this.body.insertBefore(section.root, this.body.children[n] ?? null);
      }
      this.sections.get(facet.column).update(facet);
    });
  }

  choose(change) {
    this.trigger("changed", change);
  }
}

// One facet: a heading that folds it, and what can be chosen.
class Section {
  constructor(rail, facet) {
    this.rail = rail;
    this.column = facet.column;
    this.label = facet.label;
    this.text = "";
    this.all = false;
    this.root = make("section");
    const head = make("h3");
    this.fold = make("button", "fold");
    this.fold.type = "button";
    this.fold.append(make("span", "twist"), facet.label, (this.dot = make("span", "dot")));
    this.fold.addEventListener("click", () => this.open(this.content.hidden, true));
    head.append(this.fold);
    this.clear = button("Clear", "clear", () => rail.choose({ column: this.column }), `Clear ${facet.label}`);
    this.clear.setAttribute("aria-label", `Clear ${facet.label}`);
    const line = make("div", "line");
    line.append(head, this.clear);
    this.content = make("div", "content");
    this.root.append(line, this.content);
    this.open(rail.state.sections?.[this.column] ?? (facet.chosen || !FOLDED.has(this.column)));
  }

  open(shown, told = false) {
    this.content.hidden = !shown;
    this.fold.setAttribute("aria-expanded", shown);
    if (told) this.rail.save({ sections: { ...this.rail.state.sections, [this.column]: shown } });
  }

  update(facet) {
    const drawn = JSON.stringify([facet, this.all]);
    this.clear.hidden = !facet.chosen;
    this.dot.hidden = !facet.chosen;
    this.dot.setAttribute("aria-hidden", "true");
    if (this.text && !facet.found) {
      this.whole = facet; // What is being looked for stays.
      return void this.find();
    }
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    if (!facet.found) this.whole = facet;
    const active = this.root.getRootNode().activeElement;
    const key = this.content.contains(active) ? active.dataset.key : undefined;
    const kind = { dates: "dates", folders: "folders", locations: "locations" }[facet.kind] ?? "values";
    this[kind](facet);
    if (key === undefined) return;
    const again = [...this.content.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    again?.focus({ preventScroll: true });
  }

  // Boxes to tick, with a field to find values by where there are many.
  values(facet) {
    this.place(this.listed(facet), facet.kind === "values" && this.whole.distinct > FEW);
  }

  listed(facet) {
    const rows = facet.rows.filter((row, n) => this.all || this.text || n < FEW || row.chosen);
    const list = make("ul");
    list.append(...rows.map((row) => this.row(row)));
    const parts = [list];
    const left = facet.rows.length - rows.length;
    if (left > 0) parts.push(this.button(`${left.toLocaleString("en")} more`, "more", () => this.unfold(true)));
    else if (this.all && facet.rows.length > FEW && !this.text) parts.push(this.button("Fewer", "more", () => this.unfold(false)));
    if (!facet.rows.length) parts.push(make("p", "none", this.text ? "None with this text" : "None here"));
    else if (!left && facet.distinct > facet.rows.length)
      parts.push(make("p", "none", `${(facet.distinct - facet.rows.length).toLocaleString("en")} more: type a part of the name`));
    return parts;
  }

  // The places of pictures on a map, and as a list.
  locations(facet) {
    this.map ??= new WorldMap((view) => this.look(view), (row) => this.rail.choose({ column: this.column, value: row.value, on: !row.chosen }));
    this.map.update(facet, new URL("world", new URL(this.rail.url, location.href)).pathname);
    const parts = this.listed(facet);
    for (const node of [...this.content.children]) if (node !== this.map.root) node.remove();
    if (!this.map.root.parentNode) this.content.append(this.map.root); // Moving it would end a drag.
    this.content.append(...parts);
  }

  async look(view) {
    this.rail.view = view;
    this.drawn = null; // The map has moved since, even if the same is to be shown.
    await this.again();
  }

  // Shows this, below a field to find values by if there are many.
  place(parts, many) {
    if (!many) return this.content.replaceChildren(...parts);
    this.field ??= this.finder();
    if (this.field.parentNode !== this.content) return this.content.replaceChildren(this.field, ...parts);
    for (const node of [...this.content.children]) if (node !== this.field) node.remove(); // Moving it would take its focus.
    this.content.append(...parts);
  }

  unfold(all) {
    this.all = all;
    this.update(this.whole);
  }

  row(row) {
    const item = make("li", row.count || row.chosen ? "" : "empty");
    const label = make("label");
    const box = make("input");
    box.type = "checkbox";
    box.checked = row.chosen;
    box.dataset.key = `value ${row.value}`;
    box.addEventListener("change", () => this.rail.choose({ column: this.column, value: row.value, on: box.checked }));
    const name = make("span", "name", row.label);
    name.dir = "auto";
    name.title = row.value;
    label.append(box, name, this.count(row.count));
    item.append(label);
    if (row.place) {
      name.title = row.at;
      name.append(" ", make("span", "at", row.at));
      const zoom = button("+", "zoom", () => this.map.goTo(row.box), `Zoom in on ${row.label}, ${row.at}`);
      zoom.dataset.key = `zoom ${row.value}`;
      item.append(zoom);
    }
    return item;
  }

  count(n) {
    return make("span", "count", n.toLocaleString("en"));
  }

  button(text, className, act) {
    const made = button(text, className, act);
    made.dataset.key = className;
    return made;
  }

  finder() {
    const field = make("input", "finder");
    field.type = "search";
    field.placeholder = "Find";
    field.maxLength = 200;
    field.dataset.key = "finder";
    field.setAttribute("aria-label", `Find in ${this.label}`);
    field.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        this.text = field.value.trim();
        if (this.text) this.find();
        else this.update(this.whole);
      }, PAUSE);
    });
    return field;
  }

  // Shows the values that have the typed text in them.
  async find() {
    this.finding?.abort();
    const finding = (this.finding = new AbortController());
    const more = { only: this.column, holding: this.text };
    try {
      const { facets } = await ask(this.rail.asking(more), undefined, { signal: finding.signal });
      if (this.finding === finding && this.text && facets.length) this.update({ ...facets[0], found: this.text });
    } catch (error) {
      if (error.name !== "AbortError") this.rail.say(error.message);
    }
  }

  folders(facet) {
    const list = make("ul", "tree");
    for (const row of facet.rows) {
      const item = this.row(row);
      item.style.setProperty("--depth", row.depth);
      const twist = make("button", "fold");
      twist.type = "button";
      twist.append(make("span", "twist"));
      if (row.open === null) twist.classList.add("leaf");
      else {
        twist.setAttribute("aria-expanded", row.open);
        twist.setAttribute("aria-label", `Folders in ${row.label}`);
        twist.dataset.key = `fold ${row.value}`;
        twist.addEventListener("click", () => this.unfoldFolder(row.value, !row.open));
      }
      twist.disabled = row.open === null;
      item.prepend(twist);
      list.append(item);
    }
    const parts = [list];
    if (!facet.rows.length) parts.push(make("p", "none", this.text ? "None with this text" : "None here"));
    if (facet.rows.length >= LINES) parts.push(make("p", "none", `${LINES} are shown: type a part of a name`));
    this.place(parts, this.whole.distinct > FOLDERS);
  }

  async unfoldFolder(folder, open) {
    if (open) this.rail.opened.add(folder);
    else this.rail.opened.delete(folder);
    await this.again();
  }

  // Counts this facet alone again.
  async again() {
    this.counting?.abort(); // An earlier answer that comes later would undo this.
    const counting = (this.counting = new AbortController());
    try {
      const { facets } = await ask(this.rail.asking({ only: this.column }), undefined, { signal: counting.signal });
      if (this.counting === counting && facets.length) this.update(facets[0]);
    } catch (error) {
      if (error.name !== "AbortError") this.rail.say(error.message);
    }
  }

  dates(facet) {
    const years = facet.years.length ? facet.years : [];
    const parts = [years.length ? this.bars(facet, years, (year) => [`${year}-01-01`, `${year}-12-31`], (year) => year) : make("p", "none", "None here")];
    if (facet.months.length)
      parts.push(this.bars(facet, facet.months, daysOf, (month) => `${MONTHS[month.slice(5) - 1]} ${month.slice(0, 4)}`));
    const days = make("div", "days");
    for (const [name, label] of [["low", "From"], ["high", "Until"]]) {
      const field = make("input");
      field.type = "date";
      field.min = "1000-01-01"; // A year is typed digit by digit: 0002, 0020, 0202.
      field.value = facet[name] ?? "";
      field.dataset.key = name;
      field.addEventListener("change", () => {
        if (!field.checkValidity()) return;
        this.rail.choose({ column: this.column, [name]: field.value || null }); // The other day stays.
      });
      const line = make("label", "", label);
      line.append(field);
      days.append(line);
    }
    parts.push(days);
    this.content.replaceChildren(...parts);
  }

  // A bar for each time, as high as there are pictures. Shift and a click choose all up to the one that is chosen.
  bars(facet, counts, bounds, words) {
    const box = make("div", "bars");
    const most = Math.max(1, ...counts.map(([, n]) => n));
    for (const [time, n] of counts) {
      const [low, high] = bounds(time);
      const bar = make("button", "bar");
      bar.type = "button";
      bar.dataset.key = `time ${time}`;
      const inside = Boolean(facet.low || facet.high) && (!facet.low || facet.low <= low) && (!facet.high || high <= facet.high);
      bar.setAttribute("aria-pressed", inside);
      bar.title = `${words(time)}: ${n.toLocaleString("en")} ${n === 1 ? "picture" : "pictures"}`;
      bar.setAttribute("aria-label", bar.title);
      const fill = make("span", "fill");
      fill.style.height = n ? `${Math.max(6, (100 * n) / most)}%` : "0";
      bar.append(fill);
      bar.addEventListener("click", (event) => {
        const same = facet.low === low && facet.high === high;
        if (event.shiftKey && facet.low && facet.high)
          this.rail.choose({ column: this.column, low: low < facet.low ? low : facet.low, high: high > facet.high ? high : facet.high });
        else this.rail.choose(same ? { column: this.column } : { column: this.column, low, high });
      });
      box.append(bar);
    }
    const ends = make("div", "ends");
    if (counts.length) ends.append(make("span", "", words(counts[0][0])), make("span", "", counts.length > 1 ? words(counts.at(-1)[0]) : ""));
    const whole = make("div");
    whole.append(box, ends);
    return whole;
  }
}

function daysOf(month) {
  const [year, number] = month.split("-").map(Number);
  const last = new Date(Date.UTC(year, number, 0)).getUTCDate();
  return [`${month}-01`, `${month}-${last}`];
}

function readState() {
  try {
    const read = JSON.parse(localStorage.getItem(STATE));
    return read && typeof read === "object" ? read : {};
  } catch {
    return {};
  }
}
