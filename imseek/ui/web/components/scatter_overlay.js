// Drawn over the points of scatter.js: pictures as they load, names of regions, the lasso.

const SIDE = 128;  // pixels of a picture on the map
const LOADING = 3;  // pictures on the map that are asked for at the same time; the one that is pointed at never waits
const IMAGES = 1500;  // that are kept
const RESTS = 150;  // milliseconds for which the map does not move before pictures are asked for

/** Pictures of points. `source(i, side)` is the URL of one; `came` is called when one has loaded. */
class Loading {
  constructor(source, came) {
    [this.source, this.came] = [source, came];
    this.images = new Map();
    this.running = 0;
    this.wait();
  }

  clear() { this.images.clear(); }

  wait() { this.movedAt = performance.now(); }

  /** Null until it has loaded, or if it cannot be shown. */
  picture(i) {
    const image = this.images.get(i);
    if (image) return image.complete && image.naturalWidth ? image : null;
    if (image === null) return null;
    if (this.running >= LOADING || performance.now() - this.movedAt < RESTS) {
      this.waits = true;
      return null;
    }
    this.running++;
    if (this.images.size >= IMAGES) this.images.delete(this.images.keys().next().value);
    const made = new Image();
    const done = () => { this.running--; this.came(); };
    made.addEventListener("load", done);
    made.addEventListener("error", () => { this.images.set(i, null); done(); });
    made.src = this.source(i, SIDE);
    this.images.set(i, made);
    return null;
  }

  /** Retries soon if something is waiting. */
  later() {
    if (this.waits && !this.timer) this.timer = setTimeout(() => { this.timer = 0; this.came(); }, RESTS + 10);
    this.waits = false;
  }
}

/** Names at the centres of their regions; one that would overlap an earlier one is left out. */
function drawLabels(context, plane, labels, style) {
  context.font = `600 13px ${style.fontFamily}`;
  context.textAlign = "center";
  context.lineWidth = 4;
  context.lineJoin = "round";
  const taken = [];
  for (const [text, x, y] of labels) {
    const px = plane.screenX(x), py = plane.screenY(y), wide = context.measureText(text).width / 2;
    if (taken.some(([left, right, at]) => px - wide < right && px + wide > left && Math.abs(at - py) < 18)) continue;
    taken.push([px - wide, px + wide, py]);
    context.strokeStyle = style.backgroundColor;
    context.strokeText(text, px, py);
    context.fillStyle = style.color;
    context.fillText(text, px, py);
  }
}

function outline(context, corners, colour) {
  context.beginPath();
  for (const [px, py] of corners) context.lineTo(px, py);
  context.closePath();
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2;
  context.stroke();
  context.globalAlpha = 0.12;
  context.fill();
  context.globalAlpha = 1;
}

