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

const REGION = 110;  // pixels of a square in which the most frequent value is looked for
const SAMPLE = 120_000;  // points on the screen that are looked at
const LEAST = 3;  // points with a name, and the least share of them among those of its square
const SHARE = 0.35;
const LABEL = 24;  // characters of a name on the map

/** The names of regions on the screen, largest first: [text, x, y]. `values` are indices of `labels`, of which the last
 * two name nothing. Squares of one name that touch are one region. */
function nameRegions(plane, values, labels) {
  const [left, right, low, high] = plane.window(), side = REGION / plane.unit(), { order, sx, sy, flags } = plane;
  // Squares that stay where they are when the map is moved.
  const squares = new Map(), every = Math.max(1, Math.ceil(plane.visible() / SAMPLE));
  plane.ranges(left, right, low, high, (first, last) => {
    for (let k = first; k < last; k += every) {
      const value = values[order[k]];
      if (sx[k] < left || sx[k] > right || sy[k] < low || sy[k] > high || !flags[order[k]]) continue;
      const key = `${Math.floor(sx[k] / side)} ${Math.floor(sy[k] / side)}`;
      let square = squares.get(key);
      if (!square) squares.set(key, square = { total: 0, found: new Map() });
      square.total++;
      let sum = square.found.get(value);
      if (!sum) square.found.set(value, sum = [0, 0, 0]);
      sum[0]++;
      sum[1] += sx[k];
      sum[2] += sy[k];
    }
  });
  const named = new Map();
  for (const [key, { total, found }] of squares) {
    let best = -1, most = 0;
    for (const [value, [n]] of found) if (n > most) [best, most] = [value, n];
    if (most >= LEAST && most >= SHARE * total && best < labels.length - 2 && labels[best] !== "in none") named.set(key, [best, ...found.get(best)]);
  }
  const regions = [];
  while (named.size) {
    const [[key, [value]]] = named, waiting = [key];
    let [count, x, y, largest, at] = [0, 0, 0, 0, null];
    while (waiting.length) {
      const here = waiting.pop(), square = named.get(here);
      if (!square || square[0] !== value) continue;
      named.delete(here);
      const [, n, sumX, sumY] = square, [column, row] = here.split(" ").map(Number);
      [count, x, y] = [count + n, x + sumX, y + sumY];
      if (n > largest) [largest, at] = [n, [sumX / n, sumY / n]];
      for (let near = 0; near < 9; near++) waiting.push(`${column + near % 3 - 1} ${row + Math.floor(near / 3) - 1}`);
    }
    // The middle of a region may lie in another one.
    const middle = [x / count, y / count], apart = Math.hypot(middle[0] - at[0], middle[1] - at[1]);
    const text = labels[value].length <= LABEL ? labels[value] : `…${labels[value].slice(1 - LABEL)}`;
    regions.push([text, ...(apart < side ? middle : at), count]);
  }
  return regions.sort((a, b) => b[3] - a[3]);
}

/** Names of regions; one that would overlap an earlier one is left out. */
function drawLabels(context, plane, labels, style) {
  context.font = `600 13px ${style.fontFamily}`;
  context.textAlign = "center";
  context.lineWidth = 4;
  context.lineJoin = "round";
  const taken = [];
  for (const [text, x, y] of labels) {
    const wide = context.measureText(text).width / 2;
    const px = Math.max(wide + 4, Math.min(plane.width - wide - 4, plane.screenX(x))), py = plane.screenY(y);
    if (py < 14 || py > plane.height - 6) continue;
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

