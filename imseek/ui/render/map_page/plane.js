"use strict";
// Positions of points: a plane that is moved and zoomed, and a grid that finds points near a position. The static page
// and the component of `imseek ui` are built from this file, points.js, density.js, tiles.js, card.js, gestures.js and
// legend.js.

const LARGEST = 4000, SMALLEST = 0.5;
const CELLS = 256;
const FEWEST = 200;  // points among which some may be outliers

/** `xs` and `ys` lie between -1 and 1, y upwards; `flags`: 1 shown in full, 2 paler (beside a selection), 0 dimmed.
 * `changed` is called when the view has changed. */
function makePlane(xs, ys, flags, changed) {
  const n = xs.length;
  const view = { x: 0, y: 0, scale: 1 };  // what is in the middle, and how many times it is enlarged
  // Cells of equal size over most points; those at the border hold the points outside too.
  const [left, right, low, high] = usualExtent(xs, ys, n, (i) => i);
  const side = Math.max(right - left, high - low, 1e-6), perUnit = CELLS / side;
  const at = (value, start) => Math.max(0, Math.min(CELLS - 1, Math.floor((value - start) * perUnit)));
  const column = (x) => at(x, left), row = (y) => at(y, low);
  const cellOf = new Uint16Array(n), starts = new Uint32Array(CELLS * CELLS + 1);
  for (let i = 0; i < n; i++) starts[(cellOf[i] = row(ys[i]) * CELLS + column(xs[i])) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
  const filled = starts.slice(), order = new Uint32Array(n);
  const sx = new Float32Array(n), sy = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const k = filled[cellOf[i]]++;
    [order[k], sx[k], sy[k]] = [i, xs[i], ys[i]];
  }

  const plane = {
    count: n, xs, ys, flags, view, width: 1, height: 1, ratio: 1,
    order, sx, sy,  // points by cell, row by row, and their places in this order
    looks: new Uint16Array(n),  // their shades and flags (256 each), by `looked`
    densest: Math.max(0, ...Array.from({ length: CELLS }, (_, r) => fullest(starts, r))) / (side / CELLS) ** 2,  // points per area


    unit: () => 0.47 * Math.min(plane.width, plane.height) * view.scale,  // pixels for 1
    screenX: (x) => plane.width / 2 + (x - view.x) * plane.unit(),
    screenY: (y) => plane.height / 2 - (y - view.y) * plane.unit(),
    planeX: (px) => view.x + (px - plane.width / 2) / plane.unit(),
    planeY: (py) => view.y - (py - plane.height / 2) / plane.unit(),
    dotSize: () => Math.max(2.5,
      Math.min(14, 2 * Math.sqrt(plane.width * plane.height / n) / 6 * Math.sqrt(view.scale))),

    resized(width, height) {
      plane.ratio = Math.min(window.devicePixelRatio || 1, 2);
      [plane.width, plane.height] = [Math.max(1, width), Math.max(1, height)];
      changed();
    },

    /** Takes up changed shades and flags. */
    looked() {
      const { looks, shades } = plane;
      for (let k = 0; k < n; k++) looks[k] = shades[order[k]] | flags[order[k]] << 8;
    },

    /** Calls `each(first, last)` for the ranges of `order` that hold the points of all cells that intersect a square. */
    ranges(left, right, low, high, each) {
      const from = column(left), to = column(right), last = row(high);
      let first = -1, end = -1;
      for (let r = row(low); r <= last; r++) {
        const start = starts[r * CELLS + from], stop = starts[r * CELLS + to + 1];
        if (start === stop) continue;
        if (start !== end) {
          if (end > first) each(first, end);
          first = start;
        }
        end = stop;
      }
      if (end > first) each(first, end);
    },

    /** Calls `each` for the points of all cells that intersect a square. */
    within(left, right, low, high, each) {
      plane.ranges(left, right, low, high, (first, last) => {
        for (let at = first; at < last; at++) each(order[at]);
      });
    },

    /** What is on the screen: left, right, low, high. */
    window() {
      const across = plane.width / 2 / plane.unit(), down = plane.height / 2 / plane.unit();
      return [view.x - across, view.x + across, view.y - down, view.y + down];
    },

    /** How many points there may be on the screen. */
    visible() {
      let found = 0;
      plane.ranges(...plane.window(), (first, last) => { found += last - first; });
      return found;
    },

    /** The point nearest to a position on the screen, -1 if none is near. */
    nearest(px, py) {
      const reach = Math.max(10, plane.dotSize()) / plane.unit(), x = plane.planeX(px), y = plane.planeY(py);
      let best = -1, least = reach * reach;
      plane.within(x - reach, x + reach, y - reach, y + reach, (i) => {
        const apart = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
        if (flags[i] && apart < least) [best, least] = [i, apart];
      });
      return best;
    },

    /** The nearest point to the right (1, 0), above (0, 1) and so on, if possible far enough away for the step to be
     * visible; from the middle if `from` is -1. */
    towards(from, right, up) {
      const x = from < 0 ? view.x : xs[from], y = from < 0 ? view.y : ys[from];
      const seen = from < 0 ? 0 : 10 / plane.unit();
      let best = from, least = Infinity, close = from, closest = Infinity;
      for (let i = 0; i < n; i++) {
        if (!flags[i] || i === from) continue;
        const dx = xs[i] - x, dy = ys[i] - y, apart = Math.hypot(dx, dy);
        const along = dx * right + dy * up, aside = Math.abs(dx * up) + Math.abs(dy * right);
        if (from >= 0 && (along <= 0 || aside > along)) continue;
        const cost = from < 0 ? apart : along + 2 * aside;
        if (apart >= seen && cost < least) [best, least] = [i, cost];
        if (apart > 0 && cost < closest) [close, closest] = [i, cost];
      }
      return least < Infinity ? best : close;
    },

    /** Moves just far enough to make a point visible. */
    reveal(i) {
      const px = plane.screenX(xs[i]), py = plane.screenY(ys[i]), border = 30;
      const over = (at, side) => Math.min(at - border, 0) || Math.max(at - (side - border), 0);
      plane.moveBy(-over(px, plane.width), -over(py, plane.height));
    },

    /** Moves so that the points shown in full are visible, with a margin of `border` pixels if there is room. A few that
     * lie far from all others do not make these small: zooming out shows them. */
    fit(border) {
      const shown = new Uint32Array(n);
      let count = 0;
      for (let i = 0; i < n; i++) if (flags[i] === 1) shown[count++] = i;
      if (!count) return;
      const [left, right, low, high] = usualExtent(xs, ys, count, (k) => shown[k]);
      [view.x, view.y, view.scale] = [(left + right) / 2, (low + high) / 2, 1];
      const inner = (side) => Math.max(Math.min(0.92 * side, side - border), 1);
      const across = Math.max((right - left) / inner(plane.width), (high - low) / inner(plane.height), 1e-9);
      plane.zoomTo(1 / across / plane.unit());
    },

    zoomTo(scale) {
      view.scale = Math.max(SMALLEST, Math.min(LARGEST * 2 / side, scale));
      changed();
    },

    /** Zooms by a factor around a position on the screen. */
    zoomBy(factor, px = plane.width / 2, py = plane.height / 2) {
      const x = plane.planeX(px), y = plane.planeY(py);
      plane.zoomTo(view.scale * factor);
      view.x = x - (px - plane.width / 2) / plane.unit();
      view.y = y + (py - plane.height / 2) / plane.unit();
    },

    moveBy(px, py) {
      view.x = Math.max(-1.5, Math.min(1.5, view.x - px / plane.unit()));
      view.y = Math.max(-1.5, Math.min(1.5, view.y + py / plane.unit()));
      changed();
    },
  };
  return plane;
}

/** Left, right, low and high of `count` points, of which `point(k)` is one. If a few on a side, one in two hundred, lie far
 * from the others, it is that of the others. */
function usualExtent(xs, ys, count, point) {
  if (!count) return [-1, 1, -1, 1];
  const every = Math.ceil(count / 20_000);
  return [xs, ys].flatMap((values) => {
    let [least, most] = [Infinity, -Infinity];
    for (let k = 0; k < count; k++) {
      const value = values[point(k)];
      if (value < least) least = value;
      if (value > most) most = value;
    }
    if (count < FEWEST) return [least, most];
    const some = Float64Array.from({ length: Math.floor(count / every) }, (_, k) => values[point(k * every)]).sort();
    const cut = Math.floor(some.length / 200), first = some[cut], last = some[some.length - 1 - cut], border = 0.1 * (last - first);
    return most - least > 1.5 * (last - first) ? [Math.max(least, first - border), Math.min(most, last + border)] : [least, most];
  });
}

/** The most points of a cell in a row of cells. */
function fullest(starts, row) {
  let most = 0;
  for (let c = row * CELLS; c < (row + 1) * CELLS; c++) most = Math.max(most, starts[c + 1] - starts[c]);
  return most;
}

