// A box over a picture, by which to search: drawn, moved and resized by mouse, finger or keyboard. Positions are shares
// of the picture. `done([x, y, width, height])` is called once it is chosen. Needs common.js and zoom.js.
const STEP = 0.02; // Of the picture, for each press of an arrow key.
const LEAST = 16; // Pixels of the picture on each side; a smaller box says nothing.
const CORNERS = ["nw", "ne", "sw", "se"];

class RegionBox {
  constructor(frame, canvas, zoom, done) {
    Object.assign(this, { frame, canvas, zoom, done });
    this.layer = make("div", "region");
    this.box = make("div", "region-box");
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "group");
    for (const corner of CORNERS) this.box.append(make("span", `corner ${corner}`));
    this.layer.append(this.box);
    this.bar = make("div", "region-bar");
    this.hint = make("span", "region-hint", "Draw a box around what to search for");
    const find = button("Search this part", "region-find", () => this.search(), "Search for pictures like what the box holds (Enter)");
    this.bar.append(this.hint, find, button("Cancel", "", () => this.cancel(), "Esc"));
    // Before the frame's own listeners, which would move the picture.
    const first = { capture: true };
    frame.addEventListener("pointerdown", (event) => this.down(event), first);
    frame.addEventListener("pointermove", (event) => this.move(event), first);
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => this.up(event), first);
    frame.addEventListener("dblclick", (event) => this.active && event.stopPropagation(), first);
    this.hide();
  }

  get active() {
    return !this.layer.hidden;
  }

  // Begins with the middle of what is visible.
  start() {
    this.layer.hidden = this.bar.hidden = false;
    this.frame.classList.add("drawing");
    const [frame, canvas] = [this.frame, this.canvas].map((node) => node.getBoundingClientRect());
    const sides = [
      [frame.left, frame.right, canvas.left, canvas.width],
      [frame.top, frame.bottom, canvas.top, canvas.height],
    ].map(([from, to, start, size]) => [
      Math.max(0, (from - start) / size),
      Math.min(1, (to - start) / size),
    ]);
    const [[left, right], [top, bottom]] = sides.map(([from, to]) => [from + (to - from) / 4, to - (to - from) / 4]);
    this.set(left, top, right, bottom);
    this.box.focus({ preventScroll: true });
  }

  hide() {
    this.drag = null;
    this.layer.hidden = this.bar.hidden = true;
    this.frame.classList.remove("drawing");
  }

  cancel() {
    this.hide();
    this.frame.focus();
  }

  search() {
    // The sides are rounded, since left and width could both be rounded up, beyond the picture.
    const round = (share) => Math.round(share * 1e4);
    const [x, y, width, height] = this.region;
    const [left, top] = [round(x), round(y)];
    this.hide();
    this.done([left, top, round(x + width) - left, round(y + height) - top].map((share) => share / 1e4));
  }

  // The least width and height in shares of the picture.
  get least() {
    return this.zoom.size.map((side) => Math.min(1, LEAST / Math.max(1, side)));
  }

  set(left, top, right, bottom) {
    this.region = [left, top, right - left, bottom - top];
    const [x, y, width, height] = this.region.map((share) => `${100 * share}%`);
    Object.assign(this.box.style, { left: x, top: y, width, height });
    const [wide, high] = this.zoom.size.map((side, i) => Math.round(side * this.region[2 + i]));
    this.box.setAttribute(
      "aria-label",
      `Part to search by, ${wide} by ${high} pixels. Arrows move it, Shift and arrows resize it, Enter searches.`,
    );
  }

  // Moves or resizes by shares of the picture, within it.
  shift(across, down, resize) {
    const [x, y, width, height] = this.region;
    const within = (value, low, high) => Math.min(Math.max(value, low), high);
    if (resize) {
      const [wide, high] = this.least;
      this.set(x, y, within(x + width + across, Math.min(1, x + wide), 1), within(y + height + down, Math.min(1, y + high), 1));
    } else {
      const [left, top] = [within(x + across, 0, 1 - width), within(y + down, 0, 1 - height)];
      this.set(left, top, left + width, top + height);
    }
  }

  // Whether a key press was for the box.
  pressed(event) {
    if (!this.active) return false;
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    const onButton = event.composedPath()[0].matches?.("button");
    if (step) this.shift(...step, event.shiftKey);
    else if (event.key === "Enter" && !onButton) this.search();
    else if (event.key === "Escape") this.cancel();
    else return false;
    event.preventDefault();
    return true;
  }

  // Where a pointer is, in shares of the picture.
  at(event) {
    const canvas = this.canvas.getBoundingClientRect();
    const within = (share) => Math.min(Math.max(share, 0), 1);
    return [within((event.clientX - canvas.left) / canvas.width), within((event.clientY - canvas.top) / canvas.height)];
  }

  down(event) {
    if (!this.active || event.button) return;
    event.stopPropagation();
    event.preventDefault(); // Else the browser would drag the picture.
    if (this.drag) return; // A second finger.
    const at = this.at(event);
    const [x, y, width, height] = this.region;
    const corner = CORNERS.find((name) => event.target.classList?.contains(name));
    if (corner) {
      // The opposite corner stays.
      this.drag = { anchor: [corner.includes("w") ? x + width : x, corner.includes("n") ? y + height : y] };
    } else if (event.target === this.box) this.drag = { from: at, left: x, top: y };
    else this.drag = { anchor: at, fresh: true };
    this.drag.pointer = event.pointerId;
    this.drag.start = [event.clientX, event.clientY];
    this.frame.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.active) return;
    event.stopPropagation();
    const { drag } = this;
    if (drag?.pointer !== event.pointerId) return;
    // A click draws no box.
    if (drag.fresh && Math.hypot(event.clientX - drag.start[0], event.clientY - drag.start[1]) < 5) return;
    drag.fresh = false;
    const at = this.at(event);
    if (drag.anchor) {
      const sides = at.map((to, i) => {
        const from = drag.anchor[i];
        const least = this.least[i];
        if (Math.abs(to - from) >= least) return [Math.min(from, to), Math.max(from, to)];
        const start = Math.min(Math.max(to < from ? from - least : from, 0), 1 - least);
        return [start, start + least];
      });
      this.set(sides[0][0], sides[1][0], sides[0][1], sides[1][1]);
    } else {
      const [, , width, height] = this.region;
      const [x, y] = [drag.left, drag.top].map((from, i) => {
        const most = 1 - (i ? height : width);
        return Math.min(Math.max(from + at[i] - drag.from[i], 0), most);
      });
      this.set(x, y, x + width, y + height);
    }
  }

  up(event) {
    if (!this.active) return;
    event.stopPropagation();
    if (this.drag?.pointer !== event.pointerId) return;
    this.drag = null;
    this.box.focus({ preventScroll: true });
  }
}
