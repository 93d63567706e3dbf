// A picture in a frame: fitted to it, enlarged by wheel, pinch or double click up to and beyond its own pixels, and
// moved. `fitted()` and `sharper(pixels)` tell that it was fitted again, or is shown with so many pixels on its longer
// side. Text over the picture can be selected and moves nothing.
const LARGEST = 8; // Screen pixels to one pixel of the picture.

const MOST_PIXELS = 60e6; // Larger pictures are only loaded whole to be enlarged.

class Zoom {
  constructor(frame, canvas, changed) {
    Object.assign(this, { frame, canvas, changed });
    this.size = [0, 0]; // Of the whole picture, in its own pixels.
    this.scale = this.fit = 1;
    this.at = [0, 0];
    this.fingers = new Map();
    frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    frame.addEventListener("dblclick", (event) => this.twice(event));
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => this.up(event));
    new ResizeObserver(() => (this.enlarged ? this.place() : this.reset())).observe(frame);
  }

  // Whether it is larger than its frame, or than it is when fitted.
  get enlarged() {
    return this.scale > this.fit * 1.001;
  }

  // One pixel of the picture to one of the screen.
  get actual() {
    return 1 / devicePixelRatio;
  }

  // Shows a picture of this size, fitted; nothing is enlarged by that.
  show(width, height) {
    this.size = [width, height];
    this.reset();
  }

  // The same picture, whose size is known now.
  resize(width, height) {
    if (!width || (width === this.size[0] && height === this.size[1])) return;
    const factor = this.size[0] ? this.size[0] / width : 1;
    const { enlarged } = this;
    this.size = [width, height];
    if (!enlarged) return this.reset();
    this.scale *= factor;
    this.measure();
    this.place();
  }

  measure() {
    const [width, height] = this.size;
    this.fit = Math.min(1, this.frame.clientWidth / width, this.frame.clientHeight / height) || 1;
  }

  reset() {
    this.measure();
    this.scale = this.fit;
    this.place();
  }

  // Enlarges it, so that the point of the frame stays where it is.
  to(scale, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const before = this.scale;
    this.scale = Math.min(Math.max(scale, this.fit), Math.max(LARGEST * this.actual, this.fit));
    const factor = this.scale / before;
    this.at = [x - (x - this.at[0]) * factor, y - (y - this.at[1]) * factor];
    this.place();
  }

  toggle(x, y) {
    if (this.enlarged) this.reset();
    else this.to(this.fit > 0.8 * this.actual ? 2 * this.fit : this.actual, x, y);
  }

  place() {
    const [width, height] = this.size.map((side) => side * this.scale);
    const room = [this.frame.clientWidth - width, this.frame.clientHeight - height];
    this.at = this.at.map((at, i) => (room[i] >= 0 ? room[i] / 2 : Math.min(0, Math.max(room[i], at))));
    Object.assign(this.canvas.style, {
      width: `${width}px`,
      height: `${height}px`,
      transform: `translate(${this.at[0]}px, ${this.at[1]}px)`,
    });
    this.frame.classList.toggle("enlarged", this.enlarged);
    this.changed(Math.max(width, height) * devicePixelRatio);
  }

  point(event) {
    const box = this.frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode ? 33 : 1;
    // Browsers report a pinch on a touchpad as a wheel with Ctrl, in small steps.
    this.to(this.scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), ...this.point(event));
  }

  twice(event) {
    if (!event.target.closest(".letters")) this.toggle(...this.point(event));
  }

  down(event) {
    if (event.button || event.target.closest(".letters")) return;
    this.fingers.set(event.pointerId, this.point(event));
    if (this.enlarged || this.fingers.size > 1) this.frame.setPointerCapture(event.pointerId);
  }

  move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = this.point(event);
    if (this.fingers.size === 2) {
      const [other] = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const far = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      this.to(this.scale * (far(now) / far(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (this.enlarged) {
      this.at = this.at.map((at, i) => at + now[i] - before[i]);
      this.place();
    }
    this.fingers.set(event.pointerId, now);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
  }
}

// Where a picture is with as many pixels on its longer side as it is shown with, and how many that are; null if what is
// shown, with `detail` pixels, is as good. `known` are its details.
function sharperSource(base, known, pixels, detail, enlarged) {
  const most = Math.max(known.width, known.height) || 1024;
  if (most <= detail || pixels <= detail * 1.05) return null;
  const small = !known.shown || (!enlarged && known.width * known.height > MOST_PIXELS);
  const sides = [2048, 4096].filter((side) => side > detail);
  if (small && !sides.length) return null;
  const side = small ? (sides.find((one) => one >= Math.min(pixels, most)) ?? sides.at(-1)) : most;
  return { side, src: `${base}/images/${known.id}${small ? `/thumbnail?side=${side}` : ""}` };
}
