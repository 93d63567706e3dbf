// Pictures by date: the headings of months and days, and the scrubber down the years at the right edge.
const MANY = 4; // Pictures on a day, on average, from which on each day of a month has a heading of its own.
const FEW_A_MONTH = 8; // Months with fewer pictures share a heading with those of their year beside them.
const SHOWN = 1200; // Milliseconds for which it is visible after scrolling, on phones.
const LABEL = 18; // Pixels between years.
const DAY_WORDS = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const MONTH_NAME = new Intl.DateTimeFormat("en-GB", { month: "long", timeZone: "UTC" });
const MONTH_WORDS = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });

// Headings by the number of the picture that each precedes, from [day or null, pictures] in their order: for each day of
// a month with many pictures a day, for a month, or for months of a year with few pictures. `time` is the newest month.
function headingsOf(days) {
  const made = {};
  let n = 0;
  const add = (text, size, time) => {
    made[n] = { text, note: `${size.toLocaleString("en")} ${size === 1 ? "picture" : "pictures"}`, size, time };
    n += size;
  };
  const months = [];
  for (const [day, size] of days) {
    const time = day?.slice(0, 7) ?? null;
    if (!months.length || months.at(-1).time !== time) months.push({ time, size: 0, days: [] });
    months.at(-1).size += size;
    months.at(-1).days.push([day, size]);
  }
  const yearOf = (at) => months[at]?.time?.slice(0, 4);
  for (let i = 0; i < months.length; ) {
    const { time, size, days: within } = months[i];
    let end = i + 1;
    if (time && size < FEW_A_MONTH) while (yearOf(end) === yearOf(i) && months[end].size < FEW_A_MONTH) end++;
    if (!time) add("Without a date", size, null);
    else if (end > i + 1) {
      const some = months.slice(i, end);
      const whole = yearOf(i - 1) !== yearOf(i) && yearOf(end) !== yearOf(i);
      const first = MONTH_NAME.format(new Date(`${some.at(-1).time}-01`));
      const text = whole ? yearOf(i) : `${first} to ${MONTH_WORDS.format(new Date(`${time}-01`))}`;
      add(text, some.reduce((sum, one) => sum + one.size, 0), time);
    } else if (within.length > 1 && size / within.length >= MANY)
      for (const [day, count] of within) add(DAY_WORDS.format(new Date(day)), count, time);
    else add(MONTH_WORDS.format(new Date(`${time}-01`)), size, time);
    i = end;
  }
  return made;
}

// The numbers behind a base64 text of little-endian ones.
function numbersOf(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return new Kind(bytes.buffer);
}

// A picture of which nothing but id and shape is known yet.
class Outline {
  constructor(id, ratio, base) {
    this.id = id;
    this.ratio = ratio;
    this.base = base;
  }

  get src() {
    return `${this.base}/images/${this.id}/thumbnail?side=256`;
  }
}
Object.assign(Outline.prototype, { outline: true, alt: "", title: "", note: "", mark: "", path: "", faint: false, side: 0, duplicates: [], reasons: [] });

class Scrubber {
  // `jump(y)` scrolls to a position of the grid.
  constructor(parent, jump) {
    this.jump = jump;
    this.stops = []; // Headings: their tops, and what they say.
    this.root = make("div", "scrubber");
    this.root.hidden = true;
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "slider");
    this.root.setAttribute("aria-label", "Date");
    this.root.setAttribute("aria-orientation", "vertical");
    this.years = make("div", "years");
    this.thumb = make("div", "thumb");
    this.when = make("span", "when");
    this.when.setAttribute("aria-hidden", "true");
    this.thumb.append(this.when);
    this.root.append(this.years, this.thumb);
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.root.setPointerCapture(event.pointerId);
      this.drags = true;
      this.root.classList.add("moving");
      this.drag(event);
      event.preventDefault();
    });
    this.root.addEventListener("pointermove", (event) => this.drags && this.drag(event));
    for (const end of ["pointerup", "pointercancel"])
      this.root.addEventListener(end, () => {
        this.drags = false;
        this.rest();
      });
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.resized = new ResizeObserver(() => this.label());
    this.resized.observe(this.root);
    parent.append(this.root);
  }

  close() {
    this.resized.disconnect();
    clearTimeout(this.timer);
    document.documentElement.removeAttribute("data-imseek-dates");
  }

  // Tells where the headings are in a grid of this height; without any, the scrubber is hidden.
  place(stops, height) {
    this.stops = stops;
    this.height = height;
    this.root.hidden = stops.length < 2;
    document.documentElement.toggleAttribute("data-imseek-dates", !this.root.hidden); // The page makes room.
    this.root.setAttribute("aria-valuemin", 0);
    this.root.setAttribute("aria-valuemax", Math.max(0, stops.length - 1));
    this.label();
  }

  // Writes the years as far as there is room for them, and a mark where there is none.
  label() {
    const room = this.root.clientHeight;
    if (this.root.hidden || !room) return;
    const made = [];
    let [last, free] = [undefined, -LABEL];
    for (const { top, time } of this.stops) {
      const year = time?.slice(0, 4) ?? "–";
      if (year === last) continue;
      last = year;
      const y = (top / this.height) * room;
      const node = make("span", y - free >= LABEL ? "year" : "mark", y - free >= LABEL ? year : "");
      if (y - free >= LABEL) free = y;
      node.style.top = `${y}px`;
      made.push(node);
    }
    this.years.replaceChildren(...made);
  }

  // Shows which part of the grid is visible.
  show(top, view) {
    if (this.root.hidden) return;
    const most = Math.max(1, this.height - view);
    this.at = this.stopAt(top + 1);
    const stop = this.stops[this.at];
    this.thumb.style.top = `${100 * Math.min(1, Math.max(0, top / most))}%`;
    this.when.textContent = stop.text;
    this.root.setAttribute("aria-valuenow", this.at);
    this.root.setAttribute("aria-valuetext", stop.text);
    this.view = view;
    if (this.seen !== undefined && Math.abs(top - this.seen) > view / 2) this.root.classList.add("moving");
    if (this.root.classList.contains("moving") && !this.drags) this.rest();
    if (this.seen === undefined || Math.abs(top - this.seen) > view / 2) this.seen = top;
  }

  rest() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.root.classList.remove("moving"), SHOWN);
  }

  stopAt(y) {
    let [low, high] = [0, this.stops.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.stops[middle].top <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  drag(event) {
    const { top, height } = this.root.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientY - top) / height));
    this.jump(share * Math.max(0, this.height - (this.view ?? 0)));
  }

  // By keyboard, to the heading before or after; a page is a year.
  pressed(event) {
    const year = (n) => this.stops[n].time?.slice(0, 4);
    const turn = (step) => {
      let n = this.at;
      while (this.stops[n + step] && year(n) === year(this.at)) n += step;
      return n;
    };
    const to = {
      ArrowDown: () => this.at + 1,
      ArrowRight: () => this.at + 1,
      ArrowUp: () => this.at - 1,
      ArrowLeft: () => this.at - 1,
      PageDown: () => turn(1),
      PageUp: () => turn(-1),
      Home: () => 0,
      End: () => this.stops.length - 1,
    }[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const n = Math.min(this.stops.length - 1, Math.max(0, to()));
    this.jump(this.stops[n].top);
  }
}
